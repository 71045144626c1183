import { expect, test } from "vitest";
import { COLUMNS, overlaps } from "../dashboard/board/layout.ts";
import { fromTemplate, nameFor, TEMPLATES } from "./templates.ts";

const EVENTS = ["page_view", "feature_used", "signup_started", "signup_completed", "error_occurred", "login"];
const FIELDS = ["browser", "country_code", "device_type", "event_name", "page_url"];

test("every template fits into the grid, whatever events and fields there are", () => {
  for (const template of TEMPLATES) {
    for (let mask = 0; mask < 2 ** EVENTS.length; mask += 1) {
      const events = EVENTS.filter((_, index) => mask & (1 << index));
      for (const fields of [FIELDS, FIELDS.slice(0, 2), []]) {
        const { items } = fromTemplate(template, events, fields);
        for (const [index, { place }] of items.entries()) {
          expect(place.x + place.width).toBeLessThanOrEqual(COLUMNS);
          expect(Number.isInteger(place.x) && Number.isInteger(place.width)).toBe(true);
          for (const other of items.slice(index + 1)) expect(overlaps(place, other.place)).toBe(false);
        }
        expect(new Set(items.map(({ id }) => id)).size).toBe(items.length);
        expect(items.every(({ title }) => title !== "")).toBe(true);
      }
    }
  }
});

test("the templates use the events of the project", () => {
  const names = (template: "web" | "product" | "reliability") =>
    JSON.stringify(fromTemplate(template, EVENTS, FIELDS).items, (_, value) =>
      typeof value === "bigint" ? Number(value) : value,
    );
  expect(names("web")).toContain('"eventName":"page_view"');
  expect(names("product")).toContain(
    '"steps":[{"eventName":"signup_started"},{"eventName":"signup_completed"},{"eventName":"feature_used"}]',
  );
  expect(names("reliability")).toContain('"formula":"100 * A / B"');
  expect(fromTemplate("web", ["screen_view"], FIELDS).missing).toEqual([]);
});

test("what is missing is said, with the names that would do", () => {
  const { items, missing } = fromTemplate("web", ["login"], FIELDS);
  expect(items).toEqual([]);
  expect(missing).toEqual([{ role: "view", names: expect.arrayContaining(["page_view"]) }]);
  expect(fromTemplate("product", ["login"], FIELDS).missing.map(({ role }) => role)).toEqual(["signupStart", "signup"]);
  expect(fromTemplate("blank", [], [])).toEqual({ items: [], missing: [] });
});

test.each([
  ["Web", [], "web"],
  ["  Über uns: 2026!  ", [], "uber-uns-2026"],
  ["Web", ["web"], "web-2"],
  ["Web", ["web", "web-2"], "web-3"],
  ["日本", [], "dashboard"],
  ["x".repeat(100), ["x".repeat(60)], `${"x".repeat(60)}-2`],
])("%s is in a file of its own", (title, taken, name) => {
  expect(nameFor(title, taken as string[])).toBe(name);
  expect(name).toMatch(/^[a-z0-9_-]{1,64}$/);
});
