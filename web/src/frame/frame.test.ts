import { describe, expect, test } from "vitest";
import { context, dimension, frame, HOUR, MINUTE, measure, START, timeColumn } from "../test/frames.ts";
import { cellFormat, figureText } from "./cellText.ts";
import { colorsByValue, dashesByValue, PALETTE } from "./colors.ts";
import { csvBytes, toCsv } from "./csv.ts";
import { toRanking } from "./ranking.ts";
import { rankingSummary, timeSeriesSummary } from "./summaries.ts";
import { OTHER_KEY, toTimeSeries } from "./timeSeries.ts";
import { emptyWords, figureWords, spanWords } from "./words.ts";

const minutes = (...offsets: number[]) => offsets.map((offset) => START + offset * MINUTE);

describe("time series", () => {
  test("a missing bucket is null, never a line across", () => {
    const series = toTimeSeries(frame([timeColumn(minutes(0, 1, 2, 5, 6)), measure("views", [1, 2, 3, 4, 5])]), {
      top: 5,
    });
    expect(series?.times).toEqual(minutes(0, 1, 2, 3, 4, 5, 6));
    expect(series?.series[0]?.values).toEqual([1, 2, 3, null, null, 4, 5]);
    expect(series?.interval).toBe(MINUTE);
  });

  test("NULL and values that are not finite are gaps, negative values stay", () => {
    const values = [null, Number.NaN, -3, 0];
    const series = toTimeSeries(frame([timeColumn(minutes(0, 1, 2, 3)), measure("change", values)]), { top: 5 });
    expect(series?.series[0]?.values).toEqual([null, null, -3, 0]);
  });

  test("a date column is a time axis whose days start at midnight of the zone, with 23 to 25 hours", () => {
    const days = [0, 1, 2, 4].map((day) => Date.UTC(2026, 9, 24) / (24 * HOUR) + day);
    const dated = frame([timeColumn(days, { type: "date" }), measure("views", [1, 2, 3, 4])], {
      context: context({ zone: "Europe/Madrid" }),
    });
    const series = toTimeSeries(dated, { top: 5 });
    expect(series?.times[0]).toBe(Date.UTC(2026, 9, 23, 22));
    expect(series?.series[0]?.values).toEqual([1, 2, 3, null, 4]);
    // The day of the change has 25 hours.
    expect((series?.ends[1] ?? 0) - (series?.times[1] ?? 0)).toBe(25 * HOUR);
  });

  test("the width of the buckets is the nominal one, also if the first is cut", () => {
    const cut = frame([timeColumn(minutes(-15, 0)), measure("started", [1, 2])], {
      context: context({ bucketSeconds: 3600, partialFrom: START }),
    });
    const series = toTimeSeries(cut, { top: 5 });
    expect(series?.interval).toBe(HOUR);
    expect(series?.times).toEqual(minutes(-15, 0));
    expect(series?.ends).toEqual([START, START + HOUR]);
    expect(series?.partialIndex).toBe(1);
    const days = [0, 1].map((day) => START / (24 * HOUR) + day).map(Math.floor);
    const dated = frame([timeColumn(days, { type: "date" }), measure("started", [1, 2])], {
      context: context({ bucketSeconds: 86_400 }),
    });
    expect(toTimeSeries(dated, { top: 5 })?.interval).toBe(24 * HOUR);
  });

  test("irregular times are not buckets", () => {
    const series = toTimeSeries(frame([timeColumn(minutes(0, 3, 4, 9, 30)), measure("views", [1, 2, 3, 4, 5])]), {
      top: 5,
    });
    expect(series?.interval).toBeNull();
    expect(series?.times).toHaveLength(5);
  });

  test("unsorted rows are sorted, and rows of the same bucket are added up only if they can be", () => {
    const columns = [
      timeColumn(minutes(1, 0, 1)),
      measure("views", [1, 2, 3]),
      measure("mean", [1, 2, 3], { additive: false }),
    ];
    const series = toTimeSeries(frame(columns), { top: 5 });
    expect(series?.series.map(({ values }) => values)).toEqual([
      [2, 4],
      [2, 3],
    ]);
  });

  const byCountry = (additive: boolean) =>
    frame([
      timeColumn(minutes(0, 0, 0, 1, 1)),
      dimension("country", ["ES", "FR", "DE", "ES", "FR"]),
      measure("views", [5, 3, 1, 6, 2], { additive }),
    ]);

  test("values of a dimension beyond the top are added up as other", () => {
    const series = toTimeSeries(byCountry(true), { top: 1 });
    expect(series?.series.map(({ key, label, values }) => ({ key, label, values }))).toEqual([
      { key: "ES", label: "Spain", values: [5, 6] },
      { key: OTHER_KEY, label: "Other (2)", values: [4, 2] },
    ]);
    expect(series?.others).toEqual({ count: 2, drawn: true });
  });

  test("values that cannot be added up are left out, and this is stated", () => {
    const series = toTimeSeries(byCountry(false), { top: 2 });
    expect(series?.series.map(({ label }) => label)).toEqual(["Spain", "France"]);
    expect(series?.others).toEqual({ count: 1, drawn: false });
    expect(series && timeSeriesSummary("Views", byCountry(false), series)).toContain("1 more not shown.");
  });

  test("the running bucket starts at partialFrom", () => {
    const running = frame([timeColumn(minutes(0, 1, 2)), measure("views", [1, 2, 3])], {
      context: context({ partialFrom: START + 2 * MINUTE }),
    });
    expect(toTimeSeries(running, { top: 5 })?.partialIndex).toBe(2);
  });

  test("50,000 rows of many series take linear time", () => {
    const shape = (rows: number) =>
      frame([
        timeColumn(Array.from({ length: rows }, (_, i) => START + Math.floor(i / 100) * MINUTE)),
        dimension(
          "page",
          Array.from({ length: rows }, (_, i) => `/page/${i % 100}`),
        ),
        measure(
          "views",
          Array.from({ length: rows }, (_, i) => i),
        ),
      ]);
    const series = toTimeSeries(shape(50_000), { top: 7 });
    expect(series?.times).toHaveLength(500);
    expect(series?.series).toHaveLength(8);
    expect(series?.others.count).toBe(93);
  });
});

describe("ranking", () => {
  const pages = (rows: number, additive: boolean) =>
    frame([
      dimension(
        "page_url",
        Array.from({ length: rows }, (_, i) => `/page/${i}`),
      ),
      measure(
        "views",
        Array.from({ length: rows }, () => 2),
        { additive, label: "Views" },
      ),
    ]);

  test("50,000 rows become the top and other, or the top and what is left out", () => {
    const other = toRanking(pages(50_000, true), { top: 10 });
    expect(other?.bars).toHaveLength(11);
    expect(other?.bars.at(-1)).toMatchObject({ label: "Other (49,990)", values: [99_980], isOther: true });
    // The sum of the others does not shorten the bars.
    expect(other?.measures[0]?.max).toBe(2);
    const left = toRanking(pages(50_000, false), { top: 10 });
    expect(left?.bars).toHaveLength(10);
    expect(left?.notShown).toBe(49_990);
  });

  test("negative values keep their sign and the scale covers them", () => {
    const ranking = toRanking(
      frame([dimension("plan", ["free", "pro"]), measure("change", [-45.2, 3], { type: "float", unit: "%" })]),
      { top: 10 },
    );
    expect(ranking?.measures[0]).toMatchObject({ min: -45.2, max: 3 });
    expect(ranking?.bars.map(({ texts }) => texts[0])).toEqual(["−45.2%", "3.0%"]);
  });

  test("the value that stands for many is told apart, and only single values can be filtered by", () => {
    const rows = frame([dimension("page_url", ["/", "(other)"]), measure("views", [2, 9])]);
    const ranking = toRanking(rows, { top: 10 });
    expect(ranking?.bars.map(({ isRest, value }) => [isRest, value?.cell])).toEqual([
      [false, "/"],
      [true, "(other)"],
    ]);
    const pairs = frame([dimension("page_url", ["/"]), dimension("country_code", ["ES"]), measure("views", [2])]);
    expect(toRanking(pairs, { top: 10 })?.bars[0]?.value).toBeUndefined();
    expect(toRanking(pages(3, true), { top: 2 })?.bars.at(-1)?.value).toBeUndefined();
  });

  test("the summary names the bars", () => {
    const source = pages(2, true);
    const ranking = toRanking(source, { top: 10 });
    expect(ranking && rankingSummary("Top pages", source, ranking)).toBe(
      "Top pages, 10:00–11:00. Views: /page/0 2, /page/1 2.",
    );
  });
});

describe("colours", () => {
  test("a value keeps its colour whatever its rank", () => {
    expect(colorsByValue(["ES", "FR", "DE"])).toEqual(colorsByValue(["DE", "ES", "FR"]));
    expect([...colorsByValue(["ES", "FR", "DE"])].sort()).toEqual([...colorsByValue(["FR", "DE", "ES"])].sort());
  });

  test("up to the size of the palette all colours differ", () => {
    const colors = colorsByValue(["ES", "FR", "DE", "GB", "US", "JP", "IN"]);
    expect(new Set(colors.values()).size).toBe(PALETTE.length);
    expect(colorsByValue(Array.from({ length: 30 }, (_, i) => `${i}`)).size).toBe(30);
  });

  test("beyond the palette no two of up to three times as many look the same, whatever their order", () => {
    const looks = (values: string[]) => {
      const colors = colorsByValue(values);
      const dashes = dashesByValue(colors);
      return values.map((value) => `${value}: ${colors.get(value)} ${dashes.get(value)}`).sort();
    };
    for (const count of [8, 12, 21]) {
      const releases = Array.from({ length: count }, (_, i) => `2026.${319 + i}`);
      const dashes = dashesByValue(colorsByValue(releases));
      expect(new Set(looks(releases).map((look) => look.split(": ")[1])).size, `${count}`).toBe(count);
      expect([...dashes.values()].filter((dash) => dash === 0)).toHaveLength(PALETTE.length);
      expect(looks(releases.toReversed())).toEqual(looks(releases));
    }
  });
});

describe("text", () => {
  test("whole numbers that are names have no separators", () => {
    const format = (column: ReturnType<typeof measure>) => cellFormat(column, context())(column.values[0]);
    expect(format(measure("year", [2026], { role: "detail" }))).toBe("2026");
    expect(format(measure("user_id", [18_446_744_073_709_551_615n], { role: "detail" }))).toBe("18446744073709551615");
    expect(format(measure("views", [2026]))).toBe("2,026");
  });

  test("the decimals of a column are the same in all rows", () => {
    const column = measure("mean", [1, 2.5, 3.25], { type: "float" });
    const format = cellFormat(column, context());
    expect(column.values.map(format)).toEqual(["1.00", "2.50", "3.25"]);
  });

  test("a figure keeps all digits of a 64-bit integer", () => {
    const figure = { label: "", unit: "", value: 9_007_199_254_740_993n, isTime: false };
    expect(figureText(figure, frame([]))).toBe("9,007,199,254,740,993");
  });

  test("words come from the frame's context", () => {
    expect(spanWords(context())).toBe("10:00–11:00");
    expect(spanWords(context({ span: "last 5 minutes" }))).toBe("last 5 minutes");
    expect(emptyWords(frame([]), ["page_view"])).toBe("No page_view events 10:00–11:00");
    expect(emptyWords(frame([]), [])).toBe("No data 10:00–11:00");
    const comparison = { label: "at the same time last week", value: 5, changePct: null };
    expect(figureWords({ label: "page views", unit: "", value: 7, isTime: false, comparison }, frame([]))).toBe(
      "7 page views (not enough history to compare)",
    );
  });
});

describe("CSV", () => {
  const hostile = frame([
    timeColumn([START]),
    dimension("page_url", ['/a;=HYPERLINK("x")']),
    measure("id", [18_446_744_073_709_551_615n], { role: "detail" }),
    measure("mean", [17_858.711828526066], { type: "float" }),
    measure("secret", [1], { role: "hidden" }),
  ]);

  test("the raw file has the names of the statement, all digits and instants with their offset", () => {
    const madrid = { ...hostile, context: context({ zone: "Europe/Madrid" }) };
    expect(toCsv(madrid, "raw")).toBe(
      'bucket_start,page_url,id,mean\r\n2026-11-21T11:00:00.000+01:00,"/a;=HYPERLINK(""x"")",18446744073709551615,17858.711828526066\r\n',
    );
  });

  test("the raw file does not change texts that look like formulas", () => {
    expect(toCsv(frame([dimension("phone", ["+34 600", "-foo", "@x", "=1"])]), "raw")).toBe(
      "phone\r\n+34 600\r\n-foo\r\n@x\r\n=1\r\n",
    );
  });

  test("the file for spreadsheets guards formulas after every separator", () => {
    const texts = ["=1", "a;=1", "a\t=1", "a\n=1", "＝1", "a,-1", ' "=1', "+34", "a-b"];
    const lines = toCsv(frame([dimension("text", texts)]), "spreadsheet");
    const fields = ["'=1", "a;'=1", "a\t'=1", "a\n'=1", "'＝1", "a,'-1", `' ""=1`, "'+34", "a-b"];
    expect(lines.slice('"text"\r\n'.length)).toBe(fields.map((text) => `"${text}"\r\n`).join(""));
  });

  test("the file for spreadsheets is UTF-16 with a byte order mark, which Excel reads without a dialog in every region", () => {
    const bytes = csvBytes(frame([dimension("città", ["Málaga"]), measure("a", [1])]), "spreadsheet");
    expect([...bytes.slice(0, 6)]).toEqual([0xff, 0xfe, 0x22, 0, 0x63, 0]);
    expect(new TextDecoder("utf-16le").decode(bytes)).toBe('"città"\t"a"\r\n"Málaga"\t1\r\n');
    expect([...csvBytes(frame([dimension("é", [])]), "raw")]).toEqual([0xc3, 0xa9, 13, 10]);
  });

  test("the file for spreadsheets has the words of the page, and numbers that are not escaped", () => {
    const countries = frame([dimension("country_code", ["ES"], { label: "Country" }), measure("change", [-5])]);
    expect(toCsv(hostile, "spreadsheet")).toContain('"=""18446744073709551615"""\t17858.71183\r\n');
    expect(toCsv(countries, "spreadsheet")).toContain('"Country"\t"change"\r\n"Spain"\t-5\r\n');
  });
});
