import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { FRAME, LIST_PANELS_RESPONSE } from "../gen/millrace/v1/dashboard_codec.ts";
import {
  Chart,
  ColumnRole,
  type Frame,
  FrameSchema,
  ListPanelsResponseSchema,
  PanelSize,
} from "../gen/millrace/v1/dashboard_pb.ts";
import { DataSource } from "../gen/millrace/v1/range_pb.ts";
import { decode as decodeBytes } from "./codec.ts";
import { decodeCatalog, decodeFrame } from "./decode.ts";

const context = {
  rangeStart: { seconds: 1_000n },
  rangeEnd: { seconds: 2_000n },
  timeZone: "Europe/Madrid",
  computedAt: { seconds: 2_000n, nanos: 500_999_999 },
  approximate: true,
  partialFrom: { seconds: 1_980n },
  span: "last 5 minutes",
  bucketSeconds: 3_600,
};
type FrameInit = Exclude<MessageInitShape<typeof FrameSchema>, Frame>;
const decode = (frame: FrameInit) =>
  decodeFrame(decodeBytes(FRAME, toBinary(FrameSchema, create(FrameSchema, { context, ...frame }))));
const column = (values: NonNullable<FrameInit["columns"]>[number]["values"], rest = {}) =>
  decode({ rows: 2, columns: [{ name: "x", values, ...rest }] }).columns[0];

test("the context is in Unix milliseconds", () => {
  expect(decode({}).context).toEqual({
    start: 1_000_000,
    end: 2_000_000,
    zone: "Europe/Madrid",
    computedAt: 2_000_500,
    approximate: true,
    partialFrom: 1_980_000,
    bucketSeconds: 3_600,
    span: "last 5 minutes",
  });
  expect(decode({ context: { ...context, partialFrom: undefined } }).context.partialFrom).toBeNull();
  expect(decode({ context: { ...context, bucketSeconds: 0 } }).context.bucketSeconds).toBeNull();
});

test("the context says where the figures come from, and what is not stored", () => {
  const stored = decode({
    context: { ...context, source: DataSource.EVENTS, requestedStart: { seconds: 500n } },
    comparison: { rows: 0, context },
  });
  expect(stored.context).toMatchObject({ source: "events", requestedStart: 500_000 });
  expect(stored.comparison?.context.start).toBe(1_000_000);
  expect(decode({ context: { ...context, source: DataSource.ROLLUP } }).context.source).toBe("rollup");
  expect(decode({}).comparison).toBeUndefined();
});

test("64-bit integers keep every digit: a column with one that is not safe as a number holds bigints", () => {
  expect(column({ case: "uint64Values", value: { values: [1n, 2n ** 53n - 1n] } })?.values).toEqual([1, 2 ** 53 - 1]);
  expect(column({ case: "uint64Values", value: { values: [1n, 2n ** 64n - 1n] } })?.values).toEqual([
    1n,
    18446744073709551615n,
  ]);
  expect(column({ case: "int64Values", value: { values: [-1n, -(2n ** 63n)] } })?.values).toEqual([
    -1n,
    -9223372036854775808n,
  ]);
});

test("null is not zero, and NaN is no value", () => {
  expect(column({ case: "int64Values", value: { values: [0n, 0n] } }, { nulls: [1] })?.values).toEqual([0, null]);
  expect(column({ case: "doubleValues", value: { values: [Number.NaN, 1.5] } })?.values).toEqual([null, 1.5]);
});

test("dates and times have types of their own", () => {
  expect(column({ case: "timestampValues", value: { values: [0n, 1_700_000_000_000n] } })).toMatchObject({
    type: "time",
    values: [0, 1_700_000_000_000],
  });
  expect(column({ case: "dateValues", value: { values: [-1n, 20_000n] } })).toMatchObject({
    type: "date",
    values: [-1, 20_000],
  });
});

test("columns keep label, role, unit and additivity", () => {
  const rest = { label: "Views", role: ColumnRole.MEASURE, unit: "%", additive: true };
  expect(column({ case: "boolValues", value: { values: [true, false] } }, rest)).toEqual({
    name: "x",
    label: "Views",
    type: "bool",
    role: "measure",
    unit: "%",
    additive: true,
    values: [true, false],
  });
});

test("a column that does not fit the rows, or a frame without context, is rejected", () => {
  expect(() => column({ case: "stringValues", value: { values: ["one"] } })).toThrow(
    "column x has 1 values for 2 rows",
  );
  expect(() => decode({ context: undefined })).toThrow("does not say what it was computed for");
});

test("figures have their comparison", () => {
  const { figures, threshold } = decode({
    threshold: 2,
    figures: [
      {
        label: "views",
        value: { case: "uint64Value", value: 2n ** 60n },
        comparison: { label: "last week", value: { case: "uint64Value", value: 10n }, changePct: -0.5 },
      },
      { label: "since", value: { case: "timestampValue", value: { seconds: 5n } } },
      { label: "rate", unit: "%", value: { case: undefined }, comparison: { label: "last week" } },
    ],
  });
  expect(threshold).toBe(2);
  expect(figures).toEqual([
    {
      label: "views",
      unit: "",
      value: 2n ** 60n,
      isTime: false,
      comparison: { label: "last week", value: 10, changePct: -0.5 },
    },
    { label: "since", unit: "", value: 5_000, isTime: true },
    {
      label: "rate",
      unit: "%",
      value: null,
      isTime: false,
      comparison: { label: "last week", value: null, changePct: null },
    },
  ]);
});

test("NaN in a comparison is no value", () => {
  const nan = { label: "last week", value: { case: "doubleValue" as const, value: Number.NaN }, changePct: Number.NaN };
  const { figures } = decode({ figures: [{ label: "rate", comparison: nan }] });
  expect(figures[0]?.comparison).toEqual({ label: "last week", value: null, changePct: null });
});

test("the catalogue has a spec for each panel, also from a server that sends none", () => {
  const response = create(ListPanelsResponseSchema, {
    panels: [
      { name: "bare" },
      {
        name: "full",
        title: "Full",
        chart: Chart.STACKED,
        refresh: { seconds: 1n, nanos: 500_000_000 },
        filterable: true,
        comparable: true,
        spec: { order: 3, size: PanelSize.LARGE, top: 7, events: ["page_view"] },
      },
      { name: "newer", chart: 99 as Chart },
    ],
    broken: [{ file: "x.sql", line: 3, message: "no title" }],
    version: "v",
    hasEvents: true,
    dimensions: [{ name: "page_url", events: ["page_view"] }],
    eventsRetentionDays: 90,
    rollupRetentionDays: 400,
  });
  const bytes = toBinary(ListPanelsResponseSchema, response);
  const catalog = decodeCatalog(decodeBytes(LIST_PANELS_RESPONSE, bytes));
  expect(catalog.panels).toMatchObject([
    { name: "bare", title: "bare", chart: "table", order: 1000, size: "medium", top: 10, events: [] },
    {
      name: "full",
      chart: "stacked",
      order: 3,
      size: "large",
      top: 7,
      events: ["page_view"],
      refreshSeconds: 1.5,
      filterable: true,
      comparable: true,
    },
    { name: "newer", chart: "table", filterable: false, comparable: false },
  ]);
  expect(catalog).toMatchObject({
    broken: [{ file: "x.sql", line: 3, message: "no title" }],
    version: "v",
    hasEvents: true,
    dimensions: [{ name: "page_url", events: ["page_view"] }],
    eventsRetentionDays: 90,
    rollupRetentionDays: 400,
  });
});
