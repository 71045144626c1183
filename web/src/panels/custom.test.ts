import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { Chart, PanelTableSchema, type ValueSchema } from "../gen/millrace/v1/dashboard_pb.ts";
import { shapeCustom } from "./custom.ts";
import { DISPLAY, minute, minuteMs } from "./panels.fixture.ts";

type Value = MessageInitShape<typeof ValueSchema>;
const text = (value: string): Value => ({ kind: { case: "stringValue", value } });
const whole = (value: bigint): Value => ({ kind: { case: "uint64Value", value } });
const at = (n: number): Value => ({ kind: { case: "timestampValue", value: minute(n) } });
const share = (value: number): Value => ({ kind: { case: "doubleValue", value } });
const none: Value = {};

const TIME = { name: "bucket_start", type: "DateTime('UTC')" };
const COUNT = { name: "order_count", type: "UInt64" };

test("a number is the first column of the first row, with its unit", () => {
  const table = create(PanelTableSchema, { columns: [COUNT], rows: [{ values: [whole(1234n)] }] });
  expect(shapeCustom(table, Chart.NUMBER, "orders", DISPLAY).headline).toEqual(["1,234 orders"]);
});

test("each numeric column of the first column's kind becomes a line", () => {
  const table = create(PanelTableSchema, {
    columns: [
      TIME,
      COUNT,
      { name: "refunds", type: "Nullable(UInt64)" },
      { name: "refund_rate_pct", type: "Float64" },
      { name: "incomplete", type: "UInt8" },
    ],
    rows: [
      { values: [at(0), whole(3n), none, share(50), whole(0n)] },
      { values: [at(1), whole(4n), none, share(50), whole(1n)] },
    ],
  });
  const { data } = shapeCustom(table, Chart.LINE, "", DISPLAY);
  expect(data.series.map(({ label }) => label)).toEqual(["Order count", "Refunds"]);
  expect(data.points).toEqual([
    { at: minuteMs(0), incomplete: false, values: { "Order count": 3, Refunds: null } },
    { at: minuteMs(1), incomplete: true, values: { "Order count": 4, Refunds: null } },
  ]);
});

test("each value of a text column becomes a line", () => {
  const table = create(PanelTableSchema, {
    columns: [TIME, { name: "plan", type: "LowCardinality(String)" }, COUNT],
    rows: [{ values: [at(0), text("free"), whole(3n)] }, { values: [at(0), text("pro"), whole(4n)] }],
  });
  const { data } = shapeCustom(table, Chart.LINE, "", DISPLAY);
  expect(data.points).toEqual([{ at: minuteMs(0), incomplete: false, values: { free: 3, pro: 4 } }]);
});

test("each value of the first column becomes a horizontal bar", () => {
  const table = create(PanelTableSchema, {
    columns: [{ name: "plan", type: "String" }, COUNT],
    rows: [{ values: [text("free"), whole(3n)] }],
  });
  expect(shapeCustom(table, Chart.HORIZONTAL_BAR, "", DISPLAY).data.bars).toEqual([
    { name: "free", values: { "Order count": 3 } },
  ]);
});

test("a table without rows is empty and NULL differs from zero", () => {
  const columns = [COUNT];
  expect(shapeCustom(create(PanelTableSchema, { columns }), Chart.TABLE, "", DISPLAY).empty).toBe(true);
  const table = create(PanelTableSchema, { columns, rows: [{ values: [none] }] });
  expect(shapeCustom(table, Chart.TABLE, "", DISPLAY).table.rows).toEqual([[null]]);
});
