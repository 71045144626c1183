import { expect, test } from "vitest";
import { context, dimension, frame, HOUR, MINUTE, measure, START, timeColumn } from "../test/frames.ts";
import { toCsv } from "./csv.ts";
import type { Frame } from "./frame.ts";
import { timeSeriesSummary } from "./summaries.ts";
import { toTimeSeries } from "./timeSeries.ts";
import { comparedSpanWords, noChangeWords } from "./words.ts";

const DAY = 24 * HOUR;
const minutes = (start: number, ...offsets: number[]) => offsets.map((offset) => start + offset * MINUTE);
const earlier = (columns: Frame["columns"], start = START - HOUR) =>
  frame(columns, { context: context({ start, end: start + HOUR }) });
const series = (source: Frame) => {
  const found = toTimeSeries(source, { top: 2 });
  if (!found) throw new Error("not a time series");
  return found;
};

test("the buckets of the earlier period are at those of the range, also if it has fewer", () => {
  const comparison = earlier([timeColumn(minutes(START - HOUR, 0, 2)), measure("views", [7, 9])]);
  const source = frame([timeColumn(minutes(START, 0, 1, 2, 3)), measure("views", [1, 2, 3, 4])], { comparison });
  const { series: drawn, compared } = series(source);
  expect(drawn[0]?.compared).toEqual([7, null, 9, null]);
  expect(compared?.spans).toEqual([
    [START - HOUR, START - HOUR + MINUTE],
    null,
    [START - HOUR + 2 * MINUTE, START - HOUR + 3 * MINUTE],
    null,
  ]);
  expect(comparedSpanWords(source)).toBe("09:00–10:00");
  expect(timeSeriesSummary("Views", source, series(source))).toContain("Compared with 09:00–10:00.");
});

test("days correspond to days across a change of the clock", () => {
  const zone = "Europe/Madrid";
  const midnight = (day: number) => Date.UTC(2026, 9, day) - (day <= 25 ? 2 : 1) * HOUR;
  const days = [24, 25, 26, 27].map(midnight);
  const before = [17, 18, 19, 20].map(midnight);
  const over = (times: number[], values: number[], comparison?: Frame) =>
    frame([timeColumn(times), measure("views", values)], {
      context: context({ zone, start: times[0], end: (times[3] ?? 0) + DAY, bucketSeconds: 86_400 }),
      comparison,
    });
  const { series: drawn, compared, times, ends } = series(over(days, [1, 2, 3, 4], over(before, [5, 6, 7, 8])));
  expect(times).toEqual(days);
  expect(ends).toEqual([25, 26, 27, 28].map(midnight));
  expect(drawn[0]?.compared).toEqual([5, 6, 7, 8]);
  expect(compared?.spans[3]).toEqual([midnight(20), midnight(21)]);
});

test("a missing day starts at midnight, and weeks at that of Monday", () => {
  const zone = "Europe/Madrid";
  const monday = (day: number) => Date.UTC(2026, 9, day) - (day <= 25 ? 2 : 1) * HOUR;
  const weeks = frame([timeColumn([monday(12), monday(33)]), measure("views", [1, 2])], {
    context: context({ zone, start: monday(12), end: monday(40), bucketSeconds: 7 * 86_400 }),
  });
  expect(series(weeks).times).toEqual([12, 19, 26, 33].map(monday));
  expect(series(weeks).series[0]?.values).toEqual([1, null, null, 2]);
  expect(series(weeks).ends.at(-1)).toBe(monday(40));
});

const byCountry = () => {
  const comparison = earlier([
    timeColumn(minutes(START - HOUR, 0, 0, 0, 1)),
    dimension("country_code", ["FR", "ES", "PT", "ES"]),
    measure("views", [4, 5, 1, 6]),
  ]);
  return frame(
    [
      timeColumn(minutes(START, 0, 0, 1, 1)),
      dimension("country_code", ["ES", "FR", "ES", "FR"]),
      measure("views", [30, 10, 20, 15]),
    ],
    { comparison },
  );
};

test("values of a dimension are compared by value, and their total has those of the earlier period only", () => {
  const { series: drawn, compared } = series(byCountry());
  expect(drawn.map(({ key, compared }) => [key, compared])).toEqual([
    ["ES", [5, 6]],
    ["FR", [4, null]],
  ]);
  expect(compared?.total).toEqual([10, 6]);
  expect(drawn[0]?.value).toEqual({ dimension: "country_code", cell: "ES" });
});

test("files have the earlier values in further columns", () => {
  expect(toCsv(byCountry(), "raw")).toBe(
    [
      "bucket_start,country_code,views,bucket_start_compared,views_compared",
      "2026-11-21T10:00:00.000Z,ES,30,2026-11-21T09:00:00.000Z,5",
      "2026-11-21T10:00:00.000Z,FR,10,2026-11-21T09:00:00.000Z,4",
      "2026-11-21T10:01:00.000Z,ES,20,2026-11-21T09:01:00.000Z,6",
      "2026-11-21T10:01:00.000Z,FR,15,,",
      "",
    ].join("\r\n"),
  );
  expect(toCsv(byCountry(), "spreadsheet")).toContain('"From (compared)"\t"views (compared)"');
  const ranking = frame([dimension("page_url", ["/a", "/b"]), measure("views", [3, 2])], {
    comparison: earlier([dimension("page_url", ["/b", "/c"]), measure("views", [9, 8])]),
  });
  expect(toCsv(ranking, "raw")).toBe("page_url,views,views_compared\r\n/a,3,\r\n/b,2,9\r\n");
});

test("a zero before, or a rate of nothing, is not called missing history", () => {
  expect(noChangeWords({ label: "", value: 0, changePct: null })).toBe("nothing to compare with");
  expect(noChangeWords({ label: "", value: null, changePct: null })).toBe("nothing to compare with");
  expect(noChangeWords({ label: "", value: 3, changePct: null })).toBe("not enough history to compare");
});
