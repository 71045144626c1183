import { expect, test } from "vitest";
import { formatUrlState, parseUrlState, type UrlState } from "./urlState.ts";

const HOME = "Europe/Madrid";

test("an empty query string is the last hour in the browser's time zone", () => {
  expect(parseUrlState("", HOME)).toEqual({ range: "1h", zone: HOME, panel: undefined, wall: false });
});

test.each<UrlState>([
  { range: "1h", zone: "Europe/Madrid", wall: false },
  { range: "6h", zone: "UTC", panel: "error_rate", wall: false },
  { range: "24h", zone: "America/Argentina/Buenos_Aires", panel: "my panel&x", wall: true },
  { range: "7d", zone: "Asia/Kolkata", wall: true },
])("URL state round-trips: %o", (state) => {
  expect(parseUrlState(formatUrlState(state), "Asia/Tokyo")).toEqual({ panel: undefined, ...state });
});

test("URLs are readable", () => {
  expect(formatUrlState({ range: "6h", zone: "UTC", panel: "error_rate", wall: false })).toBe(
    "?range=6h&zone=utc&panel=error_rate",
  );
  expect(formatUrlState({ range: "1h", zone: HOME, wall: false })).toBe("?range=1h&zone=Europe/Madrid");
});

test("invalid values fall back to the defaults", () => {
  expect(parseUrlState("?range=99y&zone=Mars/Olympus&wall=yes", HOME)).toMatchObject({
    range: "1h",
    zone: HOME,
    wall: false,
  });
  expect(parseUrlState("?zone=local", HOME).zone).toBe(HOME);
});
