import { expect, test } from "vitest";
import {
  countryName,
  formatBytes,
  formatChange,
  formatCompact,
  formatCount,
  formatDecimal,
  formatDuration,
  formatPercent,
  formatThreshold,
  formatTicks,
  formatValue,
  pluralize,
} from "./format.ts";

const plain = (text: string) => text.replaceAll("\u00a0", " ");

test("counts have thousands separators, every digit, and a real minus", () => {
  expect(formatCount(1_234_567)).toBe("1,234,567");
  expect(formatCount(18_446_744_073_709_551_615n)).toBe("18,446,744,073,709,551,615");
  expect(formatCount(-5)).toBe("−5");
});

test("percentages have no space, two decimals below 10 and one above, also at the seam", () => {
  expect([0.4, 64.62, 9.994, 9.996, -3].map(formatPercent)).toEqual(["0.40%", "64.6%", "9.99%", "10.0%", "−3.00%"]);
  expect(formatThreshold(1)).toBe("1%");
});

test("a value that rounds to zero has no sign", () => {
  expect(formatPercent(-0.001)).toBe("0.00%");
  expect(formatChange(-0.001)).toBe("0.00%");
  expect(formatChange(0.001)).toBe("0.00%");
});

test("a change has a sign", () => {
  expect([12.34, -3, 0].map(formatChange)).toEqual(["+12.3%", "−3.00%", "0.00%"]);
});

test("durations use units by magnitude, chosen after rounding", () => {
  expect(
    [840, 999.6, 12_400, 59_960, 185_000, 7_500_000, 3_599_900, -840, 0.25].map(formatDuration).map(plain),
  ).toEqual(["840 ms", "1.0 s", "12.4 s", "1 min 0 s", "3 min 5 s", "2 h 5 min", "1 h 0 min", "−840 ms", "0.25 ms"]);
});

test("compact numbers are not rounded to fewer than three digits", () => {
  expect([950, 1350, 82_500, 999_950, 1_234_567].map(formatCompact)).toEqual(["950", "1.35K", "82.5K", "1M", "1.23M"]);
  expect(plain(formatCompact(18_446_744_073_709_551_615n))).toBe("1.84 × 10¹⁹");
});

test("small decimals do not become zero", () => {
  expect([0.5, 0.000412, 12.345].map(formatDecimal)).toEqual(["0.5", "0.000412", "12.35"]);
});

test("bytes are scaled, and a unit that is a word stays out of the value", () => {
  expect(plain(formatBytes(18_446_744_073_709_551_615n))).toBe("18.4 EB");
  expect(plain(formatBytes(999))).toBe("999 bytes");
  expect(formatValue(1234, "users")).toBe("1,234");
  expect(formatValue(Number.NaN, "")).toBe("not a number");
});

test("the labels of an axis have the same decimals and are exact", () => {
  expect(formatTicks([0, 500, 1000, 1500], "")).toEqual(["0", "500", "1,000", "1,500"]);
  expect(formatTicks([0, 50_000, 100_000, 150_000], "")).toEqual(["0", "50K", "100K", "150K"]);
  expect(formatTicks([0, 0.5, 1, 1.5], "%")).toEqual(["0%", "0.5%", "1.0%", "1.5%"]);
  expect(formatTicks([-20_000, 0, 20_000], "")).toEqual(["−20K", "0", "20K"]);
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
