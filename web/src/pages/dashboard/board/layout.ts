// The grid of a dashboard: 12 columns, and as many rows as needed. Moving and resizing push other items away, and everything
// moves up as far as it can.

export const COLUMNS = 12;
/** The server's limits. */
export const MAX_Y = 1_000;
export const MAX_HEIGHT = 100;
/** Smaller items have no space for a figure. */
export const MIN_WIDTH = 2;

export interface Place {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Placed {
  id: string;
  place: Place;
}

export const overlaps = (a: Place, b: Place): boolean =>
  a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;

export const samePlace = (a: Place, b: Place): boolean =>
  a.x === b.x && a.y === b.y && a.width === b.width && a.height === b.height;

const clamp = (value: number, low: number, high: number): number => Math.max(low, Math.min(high, value));

/** The nearest place within the grid, in whole cells. */
export function withinGrid({ x, y, width, height }: Place): Place {
  const columns = clamp(Math.round(width), MIN_WIDTH, COLUMNS);
  return {
    x: clamp(Math.round(x), 0, COLUMNS - columns),
    y: clamp(Math.round(y), 0, MAX_Y),
    width: columns,
    height: clamp(Math.round(height), 1, MAX_HEIGHT),
  };
}

/** From the top, each row from the left: the order of the focus and of screen readers. */
export const readingOrder = (a: Placed, b: Placed): number => a.place.y - b.place.y || a.place.x - b.place.x;

const isFree = (place: Place, taken: Place[]): boolean => !taken.some((other) => overlaps(place, other));

/** Down until it is free, then up until something is in the way. */
function settle(place: Place, taken: Place[]): Place {
  let { y } = place;
  while (!isFree({ ...place, y }, taken)) y += 1;
  while (y > 0 && isFree({ ...place, y: y - 1 }, taken)) y -= 1;
  return { ...place, y };
}

/** In the order of the input, which keeps its length. */
function inInputOrder<T extends Placed>(items: readonly T[], places: Map<string, Place>): T[] {
  return items.map((item) => {
    const place = places.get(item.id) ?? item.place;
    return samePlace(place, item.place) ? item : { ...item, place };
  });
}

/** Without overlaps and without gaps above the items. */
export function compact<T extends Placed>(items: readonly T[]): T[] {
  const places = new Map<string, Place>();
  for (const { id, place } of [...items].sort(readingOrder)) {
    places.set(id, settle(withinGrid(place), [...places.values()]));
  }
  return inInputOrder(items, places);
}

/** Puts an item at a place. What is there makes way: upwards if the item comes from above and there is space, else downwards. */
export function place<T extends Placed>(items: readonly T[], id: string, to: Place): T[] {
  const moved = items.find((item) => item.id === id);
  if (!moved) return [...items];
  const target = withinGrid(to);
  const fromAbove = target.y > moved.place.y;
  const places = new Map<string, Place>([[id, target]]);
  for (const { id: other, place } of [...items].sort(readingOrder)) {
    if (other === id) continue;
    const taken = [...places.values()];
    const own = withinGrid(place);
    const above = { ...own, y: target.y - own.height };
    const makesWay = fromAbove && overlaps(own, target) && above.y >= 0 && isFree(above, taken);
    places.set(other, settle(makesWay ? above : own, taken));
  }
  return compact(inInputOrder(items, places));
}

const sameLayout = (a: readonly Placed[], b: readonly Placed[]): boolean =>
  a.every((item, index) => samePlace(item.place, (b[index] as Placed).place));

/** Moves an item by columns and rows. Rows are skipped until something changes: everything floats up. */
export function moveBy<T extends Placed>(items: readonly T[], id: string, columns: number, rows: number): T[] {
  const moved = items.find((item) => item.id === id);
  if (!moved) return [...items];
  const from = moved.place;
  const step = Math.sign(rows);
  if (step === 0) return place(items, id, { ...from, x: from.x + columns });
  const bottom = items.reduce((end, item) => Math.max(end, item.place.y + item.place.height), 0);
  for (let y = from.y + rows; y >= 0 && y <= bottom; y += step) {
    const next = place(items, id, { ...from, x: from.x + columns, y });
    if (!sameLayout(next, items)) return next;
  }
  return [...items];
}

export function resizeBy<T extends Placed>(items: readonly T[], id: string, columns: number, rows: number): T[] {
  const resized = items.find((item) => item.id === id);
  if (!resized) return [...items];
  const { x, y, width, height } = resized.place;
  const wanted = clamp(width + columns, MIN_WIDTH, COLUMNS - x);
  return place(items, id, { x, y, width: wanted, height: clamp(height + rows, 1, MAX_HEIGHT) });
}

/** The first free place of a size, from the top and from the left. */
export function firstFree(items: readonly Placed[], width: number, height: number): Place {
  const taken = items.map((item) => item.place);
  for (let y = 0; ; y += 1) {
    for (let x = 0; x + width <= COLUMNS; x += 1) {
      const candidate = { x, y, width, height };
      if (isFree(candidate, taken)) return candidate;
    }
  }
}
