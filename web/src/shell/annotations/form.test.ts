import { expect, test } from "vitest";
import { fileName, fromInput, toInput } from "./form.ts";

const AT = Date.UTC(2026, 10, 22, 9, 30);

test("a time is entered on the clock of the page", () => {
  expect(toInput(AT, "Europe/Madrid")).toBe("2026-11-22T10:30");
  expect(fromInput("2026-11-22T10:30", "Europe/Madrid")).toBe(AT);
  expect(fromInput("2026-11-22T09:30:05", "UTC")).toBe(AT + 5_000);
});

test.each(["", "2026-11-22", "2026-13-40T10:30", "now"])("%j is not a time", (text) => {
  expect(fromInput(text, "UTC")).toBeUndefined();
});

test("a file is named after the title, and no other file has its name", () => {
  expect(fileName("Release 2.4: Café!", [])).toBe("release-2-4-cafe");
  expect(fileName("Release 2.4", ["release-2-4", "release-2-4-2"])).toBe("release-2-4-3");
  expect(fileName("発表", [])).toBe("annotation");
  expect(fileName("x".repeat(200), [])).toMatch(/^x{60}$/);
});
