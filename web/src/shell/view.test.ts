import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { PRESETS } from "../query/range.ts";
import {
  formatSearch,
  parseSearch,
  readView,
  rejectedValues,
  type View,
  viewSearch,
  withFilter,
  writeView,
} from "./view.ts";

const HOME = "Europe/Madrid";
beforeAll(() => void vi.useFakeTimers({ now: Date.UTC(2026, 10, 21, 10) }));
afterAll(() => void vi.useRealTimers());
const read = (text: string) => readView(parseSearch(text), HOME);
const write = (view: View) => formatSearch(writeView(view));

test("an empty address is the last hour in the browser's time zone, which nobody has chosen", () => {
  expect(read("")).toEqual({ range: "1h", own: true, zone: HOME, panel: undefined, wall: false });
  for (const named of ["?range=1h", "?from=2026-11-01", "?range=2y"]) expect(read(named).own).toBeUndefined();
  expect(read("?range=7d&own=1")).toMatchObject({ range: "7d", own: true });
});

test.each<View>([
  { range: "1h", zone: "Europe/Madrid", wall: false },
  { range: "6h", zone: "UTC", panel: "error_rate", wall: false },
  { range: "24h", zone: "America/Argentina/Buenos_Aires", panel: "my panel&x", wall: true },
  { range: "7d", zone: "Asia/Kolkata", wall: true },
  ...PRESETS.map((range): View => ({ range, zone: "UTC", wall: false })),
  { range: "30d", zone: "UTC", compare: "previous", wall: false },
  { range: "1h", zone: "UTC", wall: true, rotate: ["web", "api-errors"], every: 45 },
  { range: "7d", own: true, zone: "UTC", wall: true, rotate: ["web", "api-errors"] },
  { range: "today", zone: HOME, compare: "week", panel: "error_rate", wall: true },
  { range: { from: Date.UTC(2026, 9, 1) }, zone: HOME, wall: false },
  { range: { from: Date.UTC(2026, 9, 1, 10, 5), to: Date.UTC(2026, 9, 8) }, zone: "Asia/Kathmandu", wall: false },
  // Both instants are 02:30 on the clock, and the second one has seconds.
  { range: { from: Date.UTC(2026, 9, 25, 0, 30), to: Date.UTC(2026, 9, 25, 1, 30, 5) }, zone: HOME, wall: false },
  {
    range: "6h",
    zone: "UTC",
    filters: [
      { dimension: "country_code", value: "ES" },
      { dimension: "country_code", value: "FR" },
      { dimension: "page_url", value: "https://a.example/?q=1&r=2:3,4#é" },
    ],
    wall: false,
  },
])("views survive the address: %o", (view) => {
  expect(read(write(view))).toEqual({ panel: undefined, ...view });
  expect(rejectedValues(parseSearch(write(view)), HOME)).toEqual({});
  expect(write(read(write(view)))).toBe(write(view));
});

test("times are those of the clock of the zone, and a zone that is switched keeps the instants", () => {
  const day = { from: Date.UTC(2026, 9, 31, 23), to: Date.UTC(2026, 10, 1, 23) };
  expect(write({ range: day, zone: HOME })).toBe("?from=2026-11-01T00:00&to=2026-11-02T00:00&zone=Europe/Madrid");
  expect(read("?from=2026-11-01&to=2026-11-02").range).toEqual(day);
  expect(write({ range: day, zone: "UTC" })).toBe("?from=2026-10-31T23:00&to=2026-11-01T23:00&zone=utc");
  expect(read("?from=2026-11-01T00:00Z&range=6h").range).toEqual({ from: Date.UTC(2026, 10, 1) });
});

test("comparison and filters are readable", () => {
  const filters = [{ dimension: "page_url", value: "/a b" }];
  expect(write({ range: "30d", zone: "UTC", compare: "week", filters })).toBe(
    "?range=30d&zone=utc&compare=week&filter=page_url:/a+b",
  );
  expect(read("?compare=none").compare).toBeUndefined();
  expect(read("?filter=a:1&filter=a:1&filter=b:2").filters).toHaveLength(2);
});

test.each([
  ["?from=yesterday", { interval: "yesterday to now" }],
  ["?to=2026-11-01", { interval: "? to 2026-11-01" }],
  ["?from=2026-11-02&to=2026-11-01", { interval: "2026-11-02 to 2026-11-01" }],
  ["?from=2026-11-01&to=soon", { interval: "2026-11-01 to soon" }],
  ["?from=2026-02-31", { interval: "2026-02-31 to now" }],
  ["?from=2999-01-01", { interval: "2999-01-01 to now" }],
  ["?from=1999-01-01", { interval: "1999-01-01 to now" }],
  ["?range=2h", { range: "2h" }],
  ["?compare=month", { compare: "month" }],
  ["?filter=ES&filter=country_code:&filter=country_code:ES", { filters: ["ES", "country_code:"] }],
])("of %s what cannot be shown is named", (text, rejected) => {
  expect(rejectedValues(parseSearch(text), HOME)).toEqual(rejected);
  expect(read(text)).toMatchObject({ range: "1h" });
  expect(read(text).compare).toBeUndefined();
  // What remains is shown, and the address says so.
  expect(rejectedValues(writeView(read(text)), HOME)).toEqual({});
});

test("more filters than the server accepts are named", () => {
  const text = (count: number) => Array.from({ length: count }, (_, i) => `filter=d${i}:v`).join("&");
  expect(rejectedValues(parseSearch(`?${text(11)}`), HOME)).toEqual({ filters: ["d10:v"] });
  expect(read(`?${text(10)}`).filters).toHaveLength(10);
  expect(withFilter(read(`?${text(10)}`).filters, { dimension: "more", value: "v" })).toHaveLength(10);
  expect(withFilter([], { dimension: "a", value: "v" })).toEqual([{ dimension: "a", value: "v" }]);
});

test("addresses are readable", () => {
  expect(write({ range: "6h", zone: "UTC", panel: "error_rate" })).toBe("?range=6h&zone=utc&panel=error_rate");
  expect(write({ range: "1h", zone: HOME })).toBe("?range=1h&zone=Europe/Madrid");
});

test("parameters of others are kept, repeated ones as well", () => {
  const search = writeView(read("?a=1&a=2&b=%26&range=6h"), parseSearch("?a=1&a=2&b=%26&range=6h"));
  expect(formatSearch(search)).toBe("?range=6h&zone=Europe/Madrid&a=1&a=2&b=%26");
});

test("a rotation has usable names and a time that can be read", () => {
  expect(read("?rotate=web,,web,../x,product&every=2")).toMatchObject({ rotate: ["web", "product"], every: 5 });
  expect(read("?rotate=&every=soon")).toMatchObject({ rotate: undefined, every: undefined });
  expect(write({ range: "1h", zone: "UTC", wall: true, rotate: ["a", "b"], every: 30 })).toBe(
    "?range=1h&zone=utc&wall=1&rotate=a,b&every=30",
  );
});

test("unusable values get the defaults, and are named", () => {
  expect(read("?range=99y&zone=Mars/Olympus&wall=yes")).toMatchObject({ range: "1h", zone: HOME, wall: false });
  expect(rejectedValues(parseSearch("?range=99y&zone=Mars/Olympus"))).toEqual({ range: "99y", zone: "Mars/Olympus" });
  expect(rejectedValues(parseSearch("?range=1h&zone=utc"))).toEqual({});
  expect(rejectedValues(parseSearch("?zone=local"))).toEqual({});
});

test("a link to another page keeps what is looked at, and not where on the page", () => {
  const search = parseSearch("?range=6h&zone=utc&compare=week&filter=a:1&filter=b:2&panel=error_rate&wall=1&query=x");
  expect(formatSearch(viewSearch(search))).toBe("?range=6h&zone=utc&compare=week&filter=a:1&filter=b:2");
});
