import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { GetActiveUsersResponseSchema } from "../gen/millrace/v1/dashboard_pb.ts";
import { shapeActiveUsers } from "./activeUsers.ts";
import { DISPLAY, minute, minuteMs } from "./panels.fixture.ts";

const VALUE = create(GetActiveUsersResponseSchema, {
  activeUsers: 1234n,
  series: [
    { bucket: minute(0), activeUsers: 1000n },
    { bucket: minute(1), activeUsers: 1500n },
    { bucket: minute(2), activeUsers: 300n, incomplete: true },
  ],
  context: { approximate: true },
});

test("the number covers the last 5 minutes and the peak covers the range", () => {
  const { data, approximate, empty } = shapeActiveUsers(VALUE, DISPLAY);
  expect(data).toMatchObject({ now: 1234, peak: 1500 });
  expect(approximate).toBe(true);
  expect(empty).toBe(false);
});

test("the summary contains the number and the peak", () => {
  expect(shapeActiveUsers(VALUE, DISPLAY).summary).toBe(
    "1,234 active users now. At most 1,500 within a minute of the last hour.",
  );
});

test("the table has every bucket and marks the incomplete one", () => {
  expect(shapeActiveUsers(VALUE, DISPLAY).table.rows.at(-1)).toEqual([minuteMs(2), 300, true]);
});
