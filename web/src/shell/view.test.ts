import { expect, test } from "vitest";
import { formatSearch, parseSearch, readView, rejectedValues, type View, writeView } from "./view.ts";

const HOME = "Europe/Madrid";
const read = (text: string) => readView(parseSearch(text), HOME);
const write = (view: View) => formatSearch(writeView(view));

test("an empty address is the last hour in the browser's time zone", () => {
  expect(read("")).toEqual({ range: "1h", zone: HOME, panel: undefined, wall: false });
});

test.each<View>([
  { range: "1h", zone: "Europe/Madrid", wall: false },
  { range: "6h", zone: "UTC", panel: "error_rate", wall: false },
  { range: "24h", zone: "America/Argentina/Buenos_Aires", panel: "my panel&x", wall: true },
  { range: "7d", zone: "Asia/Kolkata", wall: true },
])("views survive the address: %o", (view) => {
  expect(read(write(view))).toEqual({ panel: undefined, ...view });
});

test("addresses are readable", () => {
  expect(write({ range: "6h", zone: "UTC", panel: "error_rate" })).toBe("?range=6h&zone=utc&panel=error_rate");
  expect(write({ range: "1h", zone: HOME })).toBe("?range=1h&zone=Europe/Madrid");
});

test("parameters of others are kept, repeated ones as well", () => {
  const search = writeView(read("?a=1&a=2&b=%26&range=6h"), parseSearch("?a=1&a=2&b=%26&range=6h"));
  expect(formatSearch(search)).toBe("?range=6h&zone=Europe/Madrid&a=1&a=2&b=%26");
});

test("unusable values get the defaults, and are named", () => {
  expect(read("?range=99y&zone=Mars/Olympus&wall=yes")).toMatchObject({ range: "1h", zone: HOME, wall: false });
  expect(rejectedValues(parseSearch("?range=99y&zone=Mars/Olympus"))).toEqual({ range: "99y", zone: "Mars/Olympus" });
  expect(rejectedValues(parseSearch("?range=1h&zone=utc"))).toEqual({});
  expect(rejectedValues(parseSearch("?zone=local"))).toEqual({});
});
