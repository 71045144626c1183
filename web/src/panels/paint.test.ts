import { expect, test } from "vitest";
import { isTransparent } from "./paint.ts";

test.each([
  ["transparent", true],
  ["rgba(0, 0, 0, 0)", true],
  ["color(srgb 1 1 1 / 0)", true],
  ["rgb(93, 102, 0)", false],
  ["rgba(93, 102, 0, 0.5)", false],
  ["color(srgb 1 1 0)", false],
])("%s is transparent: %s", (color, expected) => expect(isTransparent(color)).toBe(expected));
