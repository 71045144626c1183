import { expect, test } from "vitest";
import { shortKey, stableText } from "./stableText.ts";

test("equal data has equal text, whatever the order of its fields", () => {
  expect(stableText({ a: 1n, b: [{ c: 1, d: 2 }], e: undefined })).toBe(stableText({ b: [{ d: 2, c: 1 }], a: 1n }));
  expect(stableText({ a: 1n })).not.toBe(stableText({ a: 1 }));
  expect(stableText([1, 2])).not.toBe(stableText([2, 1]));
  expect(stableText(new Uint8Array([1]))).toBe("[1]");
});

test("different texts have different keys", () => {
  const keys = Array.from({ length: 2_000 }, (_, index) => shortKey(`text ${index}`));
  expect(new Set(keys).size).toBe(2_000);
  expect(shortKey("Málaga")).toBe(shortKey("Málaga"));
});
