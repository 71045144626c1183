import { expect, test } from "vitest";
import { withHighlight } from "./highlight.ts";
import type { Plot } from "./plot.ts";

const plot = {
  series: [
    { key: "a", color: "--c1", axis: 0, high: [10, null] },
    { key: "b", color: "--c2", axis: 0, high: [20, 40] },
  ],
  compared: { lines: [{ key: "a", color: "--c1" }], spans: [], label: "" },
} as unknown as Plot;

test("the other series fade, with their earlier lines", () => {
  const shown = withHighlight(plot, "b");
  expect(shown?.series.map(({ color }) => color)).toEqual(["--line-strong", "--c2"]);
  expect(shown?.compared?.lines[0]?.color).toBe("--line-strong");
  expect(withHighlight(plot, undefined)).toBe(plot);
  expect(withHighlight(plot, "unknown")).toBe(plot);
});
