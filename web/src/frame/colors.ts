// Colours by value: a country keeps its colour when the range or its rank changes.

/** CSS variables. */
export const PALETTE = ["--c1", "--c2", "--c3", "--c4", "--c5", "--c6", "--c7"];
export const OTHER_COLOR = "--other";

/** FNV-1a. */
function hash(text: string, seed: number): number {
  let value = seed;
  for (let i = 0; i < text.length; i += 1) value = Math.imul(value ^ text.charCodeAt(i), 16_777_619);
  // Mixed, because the lowest bits decide.
  value = Math.imul(value ^ (value >>> 15), 2_246_822_507);
  return (value ^ (value >>> 13)) >>> 0;
}

const preferred = (key: string) => hash(key, 2_166_136_261) % PALETTE.length;
const priority = (key: string) => hash(key, 40_389);

/**
 * Each value takes its own colour, or the next one that fewer have. Who gives way depends on the values alone, not on their order.
 * Beyond the palette, colours repeat: see `dashesByValue`.
 */
export function colorsByValue(keys: string[]): Map<string, string> {
  const ordered = [...keys].sort((a, b) => priority(a) - priority(b) || (a < b ? -1 : 1));
  const colors = new Map<string, string>();
  const used = PALETTE.map(() => 0);
  // First those who get their own colour, so that a value is moved only if another has its colour.
  const displaced: string[] = [];
  for (const key of ordered) {
    const slot = preferred(key);
    if (used[slot]) displaced.push(key);
    else {
      used[slot] = 1;
      colors.set(key, PALETTE[slot] ?? OTHER_COLOR);
    }
  }
  for (const key of displaced) {
    let slot = preferred(key);
    const least = Math.min(...used);
    while (used[slot] !== least) slot = (slot + 1) % PALETTE.length;
    used[slot] = least + 1;
    colors.set(key, PALETTE[slot] ?? OTHER_COLOR);
  }
  return colors;
}

/** How many others have the colour of a value before it: what is drawn with the same colour has another dash. */
export function dashesByValue(colors: ReadonlyMap<string, string>): Map<string, number> {
  const seen = new Map<string, number>();
  const dashes = new Map<string, number>();
  for (const [key, color] of colors) {
    const before = seen.get(color) ?? 0;
    dashes.set(key, before);
    seen.set(color, before + 1);
  }
  return dashes;
}

export const colorByPosition = (index: number): string => PALETTE[index % PALETTE.length] ?? OTHER_COLOR;
export const dashByPosition = (index: number): number => Math.floor(index / PALETTE.length);
