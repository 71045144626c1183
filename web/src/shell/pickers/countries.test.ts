import { expect, test } from "vitest";
import { countryCode } from "./countries.ts";

test("names of countries are those of their codes", () => {
  expect(["Germany", "russia", " United Kingdom", "Spain", "Unknown", "Atlantis"].map(countryCode)).toEqual([
    "DE",
    "RU",
    "GB",
    "ES",
    "ZZ",
    undefined,
  ]);
});
