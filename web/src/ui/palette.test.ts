import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { OTHER_COLOR, PALETTE } from "../frame/colors.ts";
import { ciede2000, contrast, difference, VISIONS, type Vision } from "./colorDifference.testing.ts";

const css = readFileSync(new URL("./tokens.css", import.meta.url), "utf8");
function colorOf(variable: string, theme: "light" | "dark"): string {
  const [, light = "", dark = ""] = new RegExp(`${variable}: light-dark\\((#\\w{6}), (#\\w{6})\\)`).exec(css) ?? [];
  return theme === "light" ? light : dark;
}

/** Of any two: colours follow the values, so any two may be next to each other. */
function closest(colors: string[], vision: Vision): [difference: number, a: string, b: string] {
  const pairs = colors.flatMap((a, index) =>
    colors.slice(index + 1).map((b) => [difference(a, b, vision), a, b] as const),
  );
  const [first] = pairs.sort(([a], [b]) => a - b);
  if (!first) throw new Error("one colour");
  return [...first];
}

/**
 * The palette of eight that Okabe and Ito made to be distinguished with any vision ("Color Universal Design", 2008), which Wong
 * recommends for figures ("Points of view: Color blindness", Nature Methods 8, 2011).
 */
const OKABE_ITO = ["#000000", "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7"];

const VISION_NAMES = Object.keys(VISIONS) as Vision[];

test.each((["light", "dark"] as const).flatMap((theme) => VISION_NAMES.map((vision) => [theme, vision] as const)))(
  "in the %s theme, with vision %s, no two colours are closer than those of Okabe and Ito",
  (theme, vision) => {
    const colors = [...PALETTE, OTHER_COLOR].map((variable) => colorOf(variable, theme));
    const threshold = closest(OKABE_ITO, vision)[0];
    // Their closest pairs: 21.7 with normal vision, and 12.2, 11.6 and 10.9 with the deficiencies.
    expect(threshold).toBeGreaterThan(10);
    const found = closest(colors, vision);
    expect(found[0], found.join(" ")).toBeGreaterThanOrEqual(threshold);
  },
);

test.each(["light", "dark"] as const)("in the %s theme, every colour has a contrast of 3:1 on a card", (theme) => {
  for (const variable of [...PALETTE, OTHER_COLOR])
    expect(contrast(colorOf(variable, theme), colorOf("--card", theme)), variable).toBeGreaterThanOrEqual(3);
});

// From the supplementary data of Sharma, Wu and Dalal.
test.each([
  [[50, 2.6772, -79.7751], [50, 0, -82.7485], 2.0425],
  [[50, -1.3802, -84.2814], [50, 0, -82.7485], 1],
  [[50, 2.5, 0], [50, 0, -2.5], 4.3065],
  [[50, 2.5, 0], [58, 24, 15], 19.4535],
  [[60.2574, -34.0099, 36.2677], [60.4626, -34.1751, 39.4387], 1.2644],
  [[22.7233, 20.0904, -46.694], [23.0331, 14.973, -42.5619], 2.0373],
  [[2.0776, 0.0795, -1.135], [0.9033, -0.0636, -0.5514], 0.9082],
] as const)("the difference of %j and %j is %d", (a, b, expected) => {
  expect(ciede2000(a, b)).toBeCloseTo(expected, 4);
});
