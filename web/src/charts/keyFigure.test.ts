import { expect, test } from "vitest";
import { context, dimension, frame, MINUTE, measure, START, timeColumn } from "../test/frames.ts";
import { keyFigure, sparkOf, sparkPaths } from "./keyFigure.ts";

const times = [START, START + MINUTE, START + 2 * MINUTE];

test("the first figure, the change, and the course without the running bucket", () => {
  const comparison = { label: "last week", value: 4, changePct: 25 };
  const result = frame([timeColumn(times), measure("views", [1, 2, 3])], {
    figures: [
      { label: "now", unit: "", value: 5, isTime: false },
      { label: "in complete minutes", unit: "", value: 5, isTime: false, comparison },
    ],
    context: context({ partialFrom: START + 2 * MINUTE }),
  });
  expect(keyFigure(result)).toEqual({
    figure: result.figures[0],
    comparison,
    others: [result.figures[1]],
    spark: [
      { at: START, value: 1 },
      { at: START + MINUTE, value: 2 },
    ],
  });
});

test("a result over time without figures is its total, compared with that of the earlier period", () => {
  const columns = [timeColumn([START, START, START + MINUTE]), dimension("country", ["ES", "FR", "ES"])];
  const result = frame([...columns, measure("views", [1, 2n, 3], { label: "Page views" })], {
    comparison: frame([...columns, measure("views", [1, 1, 2])]),
  });
  expect(keyFigure(result).figure).toEqual({
    label: "Page views",
    unit: "",
    value: 6,
    isTime: false,
    comparison: { label: "before", value: 4, changePct: 50 },
  });
  expect(keyFigure(result).spark.map(({ value }) => value)).toEqual([3, 3]);
});

test("what cannot be added up has neither a total nor a course by value", () => {
  const result = frame([
    timeColumn([START, START]),
    dimension("country", ["ES", "FR"]),
    measure("visitors", [1, 2], { additive: false }),
  ]);
  expect(sparkOf(result)).toEqual([]);
});

test("gaps interrupt the line, and a long one is thinned out", () => {
  const points = [1, 2, null, 4, 0].map((value, index) => ({ at: index, value }));
  expect(sparkPaths(points, 40, 8)).toEqual(["M0.0 6.0L10.0 4.0", "M30.0 0.0L40.0 8.0"]);
  expect(sparkPaths(points.slice(0, 1), 40, 8)).toEqual([]);
  expect(
    sparkPaths(
      [0, 0].map((value, at) => ({ at, value })),
      40,
      8,
    ),
  ).toEqual(["M0.0 8.0L40.0 8.0"]);
  const many = Array.from({ length: 1000 }, (_, at) => ({ at, value: at % 7 }));
  expect(sparkPaths(many, 100, 10)[0]?.match(/L/g)?.length).toBeLessThan(130);
});
