import { expect, test } from "vitest";
import { COLUMNS, compact, firstFree, moveBy, overlaps, type Placed, place, readingOrder, resizeBy } from "./layout.ts";

/** A generator with a seed, so that a failure can be repeated. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function randomItems(next: (below: number) => number): Placed[] {
  return Array.from({ length: 1 + next(12) }, (_, index) => {
    const width = 2 + next(11);
    return {
      id: String(index),
      place: { x: next(COLUMNS - width + 1), y: next(20), width, height: 1 + next(6) },
    };
  });
}

function expectValid(items: Placed[], note: string) {
  for (const [index, { place: one }] of items.entries()) {
    expect(one.x >= 0 && one.y >= 0 && one.x + one.width <= COLUMNS, `${note}: ${JSON.stringify(one)}`).toBe(true);
    for (const { place: other } of items.slice(index + 1)) expect(overlaps(one, other), note).toBe(false);
  }
}

const canMoveUp = (items: Placed[], { id, place: one }: Placed) =>
  one.y > 0 && !items.some((other) => other.id !== id && overlaps({ ...one, y: one.y - 1 }, other.place));

function expectCompact(items: Placed[], note: string) {
  for (const item of items) expect(canMoveUp(items, item), `${note}: item ${item.id} floats`).toBe(false);
}

test("whatever is moved, resized or compacted: nothing overlaps, nothing floats, nothing is lost", () => {
  for (let seed = 1; seed <= 300; seed += 1) {
    const next = random(seed);
    let items = compact(randomItems(next));
    expectValid(items, `seed ${seed}`);
    expectCompact(items, `seed ${seed}`);
    expect(compact(items)).toEqual(items);
    for (let step = 0; step < 6; step += 1) {
      const note = `seed ${seed}, step ${step}`;
      const id = String(next(items.length));
      const before = items;
      const action = next(3);
      if (action === 0) {
        const own = before.find((item) => item.id === id) as Placed;
        items = place(before, id, { ...own.place, x: next(14) - 1, y: next(25) - 1 });
      } else if (action === 1) items = moveBy(before, id, next(3) - 1, next(3) - 1);
      else items = resizeBy(before, id, next(5) - 2, next(5) - 2);
      expectValid(items, note);
      expectCompact(items, note);
      expect(items.map((item) => item.id)).toEqual(before.map((item) => item.id));
      for (const [index, item] of items.entries()) {
        const old = before[index] as Placed;
        if (item.id === id && action === 2) continue;
        expect([item.place.width, item.place.height], note).toEqual([old.place.width, old.place.height]);
      }
    }
  }
});

const A = { id: "a", place: { x: 0, y: 0, width: 6, height: 4 } };
const B = { id: "b", place: { x: 6, y: 0, width: 6, height: 4 } };
const C = { id: "c", place: { x: 0, y: 4, width: 12, height: 3 } };
const placesOf = (items: Placed[]) => Object.fromEntries(items.map(({ id, place: { x, y } }) => [id, [x, y]]));

test("an item that is moved down changes places with the one below", () => {
  expect(placesOf(moveBy([A, C], "a", 0, 1))).toEqual({ a: [0, 3], c: [0, 0] });
});

test("an item that is moved up changes places with the one above", () => {
  expect(placesOf(moveBy([A, C], "c", 0, -1))).toEqual({ a: [0, 3], c: [0, 0] });
});

test("an item that cannot move leaves everything as it is", () => {
  expect(moveBy([A, B, C], "a", 0, -1)).toEqual([A, B, C]);
  expect(moveBy([A, B, C], "c", 0, 1)).toEqual([A, B, C]);
  expect(moveBy([A, B, C], "unknown", 1, 1)).toEqual([A, B, C]);
});

test("an item that is moved over another one pushes it down", () => {
  expect(placesOf(place([A, B, C], "b", { ...B.place, x: 3 }))).toEqual({ b: [3, 0], a: [0, 4], c: [0, 8] });
});

test("a larger item pushes what is below it", () => {
  expect(placesOf(resizeBy([A, B, C], "a", 0, 2))).toEqual({ a: [0, 0], b: [6, 0], c: [0, 6] });
});

test("sizes stay within the grid", () => {
  const [grown] = resizeBy([A], "a", 20, 200);
  expect(grown?.place).toEqual({ x: 0, y: 0, width: 12, height: 100 });
  const [shrunk] = resizeBy([A], "a", -20, -20);
  expect(shrunk?.place).toEqual({ x: 0, y: 0, width: 2, height: 1 });
});

test("the first free place is found from the top and from the left", () => {
  expect(firstFree([A, C], 6, 4)).toEqual({ x: 6, y: 0, width: 6, height: 4 });
  expect(firstFree([A, B, C], 3, 2)).toEqual({ x: 0, y: 7, width: 3, height: 2 });
  expect(firstFree([], 12, 4)).toEqual({ x: 0, y: 0, width: 12, height: 4 });
});

test("the order of reading is from the top and from the left", () => {
  expect([C, B, A].sort(readingOrder).map(({ id }) => id)).toEqual(["a", "b", "c"]);
});
