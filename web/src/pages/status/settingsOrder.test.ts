import { expect, test } from "vitest";
import type { Setting } from "../../api/messages.ts";
import { shownSettings } from "./settingsOrder.ts";

const setting = (name: string, isDefault: boolean, change: Partial<Setting> = {}) =>
  ({ name, value: "1", secret: false, isDefault, description: `about ${name.toLowerCase()}`, ...change }) as Setting;
const all = [setting("A_LIMIT", true), setting("B_PORT", false), setting("C_LIMIT", false, { value: "2 GB" })];
const names = (search: string) => shownSettings(all, search).map(({ name }) => name);

test("settings that were changed are first, in the order of the server", () => {
  expect(names("")).toEqual(["B_PORT", "C_LIMIT", "A_LIMIT"]);
});

test("every word has to be in the name, the value or the description", () => {
  expect(names(" limit ")).toEqual(["C_LIMIT", "A_LIMIT"]);
  expect(names("ABOUT 2 gb")).toEqual(["C_LIMIT"]);
  expect(names("nothing")).toEqual([]);
});
