import { expect, test } from "vitest";
import { fuzzyFilter, fuzzyMatch } from "./fuzzy.ts";

const first = (query: string, texts: string[]) => fuzzyFilter(query, texts, (text) => text)[0]?.item;
const marked = (query: string, text: string) =>
  fuzzyMatch(query, text)
    ?.positions.map((position) => text[position])
    .join("");

test("letters are found in their order, whatever their case and accents", () => {
  expect(marked("exp", "Explore")).toBe("Exp");
  expect(marked("l7d", "Last 7 days")).toBe("L7d");
  expect(marked("sao", "America/São Paulo")).toBe("São");
  expect(fuzzyMatch("ox", "Explore")).toBeUndefined();
  expect(fuzzyMatch("explorer", "Explore")).toBeUndefined();
  expect(fuzzyMatch("", "anything")?.positions).toEqual([]);
});

test("words are found in any order", () => {
  expect(fuzzyMatch("hours last", "Last 24 hours")).toBeDefined();
  expect(fuzzyMatch("hours first", "Last 24 hours")).toBeUndefined();
});

test("beginnings of words and letters side by side come first", () => {
  expect(first("er", ["Enlarge Referrers", "Error rate", "Weather"])).toBe("Error rate");
  expect(first("li", ["Daily list", "Live events"])).toBe("Live events");
  expect(first("dh", ["Dashboard", "Data and health"])).toBe("Data and health");
  expect(first("utc", ["Time zone: Etc/UCT", "Time zone: UTC"])).toBe("Time zone: UTC");
  // The letters of a word, not the first ones that occur.
  expect(fuzzyMatch("rate", "Error rate")?.positions).toEqual([6, 7, 8, 9]);
});

test("what fits far worse than the best is left out", () => {
  const found = fuzzyFilter("last d", ["Asia/Vladivostok", "Last 7 days", "Australia/Sydney"], (text) => text);
  expect(found.map(({ item }) => item)).toEqual(["Last 7 days"]);
});

test("without a query everything is listed in its order", () => {
  const texts = ["b", "a", "c"];
  expect(fuzzyFilter(" ", texts, (text) => text).map(({ item }) => item)).toEqual(texts);
});

test("long texts do not take long", () => {
  const text = "a".repeat(5_000);
  expect(fuzzyMatch("a".repeat(30), text)?.positions).toHaveLength(30);
});
