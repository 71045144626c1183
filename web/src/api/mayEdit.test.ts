import { expect, test } from "vitest";
import { mayEdit } from "./mayEdit.ts";

const caller = (change: { scope?: string; role?: string }) => ({
  required: true,
  caller: { project: "default", scope: "read", canLogOut: true, projects: ["default"], ...change },
});

test("who may save: everybody without keys, admin keys, editors and admins", () => {
  expect(mayEdit(undefined)).toBe(false);
  expect(mayEdit({ required: false })).toBe(true);
  expect(mayEdit({ required: true })).toBe(false);
  expect(mayEdit(caller({ scope: "read" }))).toBe(false);
  expect(mayEdit(caller({ scope: "admin" }))).toBe(true);
  expect(mayEdit(caller({ role: "viewer" }))).toBe(false);
  expect(mayEdit(caller({ role: "editor" }))).toBe(true);
  expect(mayEdit(caller({ role: "admin", scope: "admin" }))).toBe(true);
});
