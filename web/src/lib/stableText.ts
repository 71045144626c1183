// Plain data as text and as a short key. Equal data gives equal text, in whatever order it was written.

/** Unlike JSON it knows bigints and bytes. Undefined fields are as good as absent ones. */
export const stableText = (data: unknown): string =>
  JSON.stringify(data, (_, value: unknown) => {
    if (typeof value === "bigint") return `${value}n`;
    if (value instanceof Uint8Array) return [...value];
    if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
  }) ?? "";

/** 64 bits of FNV-1a: texts of one page do not share them. */
export function shortKey(text: string): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(text)) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  }
  return hash.toString(36);
}
