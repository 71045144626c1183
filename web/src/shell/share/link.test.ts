import { expect, test } from "vitest";
import { COMPARISONS, type Filter } from "../../query/query.ts";
import { PRESETS, type Range } from "../../query/range.ts";
import { formatSearch, parseSearch, readView, rejectedValues, type View, withFilter, writeView } from "../view.ts";
import { sharedLink, sharedSearch } from "./link.ts";

const HOME = "Europe/Madrid";
const MINUTE = 60_000;

/** Numbers that are the same in every run. */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}
const random = randomNumbers(18);
const oneOf = <T>(values: readonly T[]): T => values[random(values.length)] as T;
const ZONES = [...Intl.supportedValuesOf("timeZone"), "UTC"];
const VALUES = ["/pricing", "ES", "a b", "x&y=z", "50%", "#1", "1:2", "é", "日本", "+", "“q”", " ", "?", "a/b\\c"];

function randomRange(): Range {
  if (random(3) > 0) return oneOf(PRESETS);
  // Seconds and hours that a clock shows twice are among them.
  const from = Date.now() - MINUTE * (60 + random(2_000_000)) - 1_000 * random(60);
  const start = Math.floor(from / 1_000) * 1_000;
  return random(2) === 0 ? { from: start } : { from: start, to: start + MINUTE + 1_000 * random(1_000_000) };
}

function randomView(): View {
  let filters: Filter[] = [];
  for (let count = random(5); count > 0; count -= 1) {
    filters = withFilter(filters, { dimension: oneOf(["country_code", "page_url", "plan"]), value: oneOf(VALUES) });
  }
  return {
    range: randomRange(),
    zone: oneOf(ZONES),
    compare: random(2) === 0 ? undefined : oneOf(COMPARISONS),
    filters: filters.length > 0 ? filters : undefined,
    panel: random(4) === 0 ? "error rate/2" : undefined,
    wall: random(5) === 0,
    rotate: random(5) === 0 ? ["web", "api-2"] : undefined,
    every: random(5) === 0 ? 10 + random(600) : undefined,
    own: random(5) === 0 || undefined,
  };
}

test("any view survives its address, and the address its view", () => {
  for (let run = 0; run < 1_000; run += 1) {
    const view = randomView();
    const text = formatSearch(writeView(view));
    // Parameters only change their order and their escapes in a browser.
    const again = parseSearch(new URL(`http://host/${text}`).search);
    expect(readView(again, HOME), text).toEqual(view);
    expect(formatSearch(writeView(readView(again, HOME))), text).toBe(text);
    expect(rejectedValues(again, HOME), text).toEqual({});
  }
});

test("a moving link is the view itself, and a frozen one the view with the span that was shown", () => {
  for (let run = 0; run < 500; run += 1) {
    const view = randomView();
    const search = { ...writeView(view), login: "kept" };
    expect(readView(sharedSearch(search, HOME), HOME)).toEqual(view);
    const from = Math.floor(Date.now() / MINUTE - 1 - random(100_000)) * MINUTE;
    const span = { from, to: from + MINUTE * (1 + random(10_000)) };
    const frozen = sharedSearch(search, HOME, span);
    const fixed = { ...view, range: span, own: undefined };
    expect(readView(frozen, HOME)).toEqual(fixed);
    expect(frozen.login).toBe("kept");
    const url = new URL(sharedLink(`http://host/sub/explore?old=1#there`, search, HOME, span));
    expect(url.pathname + url.hash).toBe("/sub/explore#there");
    expect(readView(parseSearch(url.search), HOME)).toEqual(fixed);
  }
});
