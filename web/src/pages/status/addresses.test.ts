import { expect, test } from "vitest";
import { formatSearch } from "../../shell/view.ts";
import { readConditions } from "../live/conditions.ts";
import { eventAddress } from "./addresses.ts";

test("an event leads to its trend and to its live events", () => {
  const { explore, live } = eventAddress("page_view", { range: "7d", filter: "country_code:ES" });
  expect(formatSearch(explore)).toBe("?range=7d&s=page_view");
  expect(formatSearch(live)).toBe("?range=7d&where=event_name:page_view");
});

test("names and values with signs stay what they are", () => {
  const { live } = eventAddress('say "hi": now', {}, { name: "properties.a:b", value: "x:y" });
  expect(readConditions(live.where as string[]).conditions).toEqual([
    { field: "event_name", operator: "is", value: 'say "hi": now' },
    { field: "properties.a:b", operator: "is", value: "x:y" },
  ]);
});
