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
 * Each value takes its own colour, or the next free one. Who gives way depends on the values alone, not on their order.
 * Beyond the palette, colours repeat.
 */
export function colorsByValue(keys: string[]): Map<string, string> {
  const ordered = [...keys].sort((a, b) => priority(a) - priority(b) || (a < b ? -1 : 1));
  const colors = new Map<string, string>();
  const used = new Set<number>();
  // First those who get their own colour, so that a value is moved only if another has its colour.
  const displaced: string[] = [];
  for (const key of ordered) {
    const slot = preferred(key);
    if (used.has(slot)) displaced.push(key);
    else {
      used.add(slot);
      colors.set(key, PALETTE[slot] ?? OTHER_COLOR);
    }
  }
  for (const key of displaced) {
    let slot = preferred(key);
    if (used.size < PALETTE.length) while (used.has(slot)) slot = (slot + 1) % PALETTE.length;
    used.add(slot);
    colors.set(key, PALETTE[slot] ?? OTHER_COLOR);
  }
  return colors;
}

export const colorByPosition = (index: number): string => PALETTE[index % PALETTE.length] ?? OTHER_COLOR;
