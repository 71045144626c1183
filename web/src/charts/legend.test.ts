import { expect, test } from "vitest";
import { toTimeSeries } from "../frame/timeSeries.ts";
import { context, dimension, frame, MINUTE, measure, START, timeColumn } from "../test/frames.ts";
import { legendText } from "./legendText.ts";
import { toPlot } from "./plot.ts";

function legend(columns: Parameters<typeof frame>[0], top = 5) {
  const source = frame(columns, { context: context({ partialFrom: START + 2 * MINUTE }) });
  const data = toTimeSeries(source, { top });
  if (!data) throw new Error("not a time series");
  return legendText(toPlot(source, data, "line", 200), data.others, data.interval);
}
const times = timeColumn([START, START + MINUTE, START + 2 * MINUTE]);

test("counts have their total, ratios their last complete value, and the legend says which", () => {
  const counts = legend([times, measure("views", [5, 6, 1], { unit: "page views" })]);
  expect(counts.entries[0]?.value).toBe("12");
  expect(counts.notes).toEqual(["page views per minute, total"]);
  const rate = legend([times, measure("rate", [5, 6, 90], { unit: "%", type: "float", additive: false })]);
  expect(rate.entries[0]?.value).toBe("6.00%");
  expect(rate.notes).toEqual(["per minute, last complete value"]);
});

test("values that are not drawn are counted", () => {
  const repeated = timeColumn([START, START, START + MINUTE]);
  const columns = [repeated, dimension("page", ["a", "b", "a"]), measure("mean", [3, 2, 1], { additive: false })];
  expect(legend(columns, 1).notes).toContain("1 more not shown");
});
