import { expect, test } from "vitest";
import {
  countryName,
  formatChange,
  formatCount,
  formatDuration,
  formatPercent,
  formatThreshold,
  pluralize,
} from "./format.ts";

const plain = (text: string) => text.replaceAll("\u00a0", " ");

test("counts have thousands separators", () => {
  expect(formatCount(1_234_567)).toBe("1,234,567");
});

test("small percentages have two decimals, large ones have one", () => {
  expect(plain(formatPercent(0.4))).toBe("0.40 %");
  expect(plain(formatPercent(64.62))).toBe("64.6 %");
  expect(plain(formatThreshold(1))).toBe("1 %");
});

test("a change has a sign", () => {
  expect(plain(formatChange(12.34))).toBe("+12.3 %");
  expect(plain(formatChange(-3))).toBe("−3.00 %");
  expect(plain(formatChange(0))).toBe("±0.00 %");
});

test("durations use units by magnitude", () => {
  expect([840, 12_400, 185_000, 7_500_000].map(formatDuration).map(plain)).toEqual([
    "840 ms",
    "12.4 s",
    "3 min 5 s",
    "2 h 5 min",
  ]);
});

test("country codes become names", () => {
  expect(countryName("ES")).toBe("Spain");
  expect(countryName("ZZ")).toBe("Unknown");
  expect(countryName("not a code")).toBe("not a code");
});

test("pluralize uses the singular for one", () => {
  expect(pluralize(1, "visitor")).toBe("1 visitor");
  expect(pluralize(2, "visitor")).toBe("2 visitors");
});
