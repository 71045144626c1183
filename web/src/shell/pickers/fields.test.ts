import { expect, test } from "vitest";
import { storedValue, valueWords } from "./fields.ts";

test("a typed name of a country is its code, if that is what the events have", () => {
  expect(storedValue("country_code", "Germany", [])).toBe("DE");
  expect(storedValue("country_code", "de", [])).toBe("DE");
  expect(storedValue("country_code", "Atlantis", [])).toBe("Atlantis");
  expect(storedValue("properties.country", "Germany", ["DE", "ES"])).toBe("DE");
  expect(storedValue("properties.country", "Germany", ["Germany"])).toBe("Germany");
  expect(storedValue("plan", "Germany", [])).toBe("Germany");
});

test("a name that is no code does not look like the country", () => {
  expect([valueWords("country_code", "DE"), valueWords("country_code", "Germany")]).toEqual(["Germany", "“Germany”"]);
});
