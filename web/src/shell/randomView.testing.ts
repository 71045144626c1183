// Random views, for property tests of addresses.

import type { Random } from "../lib/random.testing.ts";
import { COMPARISONS, type Filter } from "../query/query.ts";
import { PRESETS, type Range } from "../query/range.ts";
import { type View, withFilter } from "./view.ts";

const MINUTE = 60_000;
const ZONES = [...Intl.supportedValuesOf("timeZone"), "UTC"];
const VALUES = ["/pricing", "ES", "a b", "x&y=z", "50%", "#1", "1:2", "é", "日本", "+", "“q”", " ", "?", "a/b\\c"];

function randomRange(random: Random): Range {
  if (random.below(3) > 0) return random.pick(PRESETS);
  // Seconds and hours that a clock shows twice are among them.
  const from = Date.now() - MINUTE * (60 + random.below(2_000_000)) - 1_000 * random.below(60);
  const start = Math.floor(from / 1_000) * 1_000;
  return random.chance(50) ? { from: start } : { from: start, to: start + MINUTE + 1_000 * random.below(1_000_000) };
}

export function randomView(random: Random): View {
  let filters: Filter[] = [];
  for (let count = random.below(5); count > 0; count -= 1) {
    const dimension = random.pick(["country_code", "page_url", "plan"]);
    filters = withFilter(filters, { dimension, value: random.pick(VALUES) });
  }
  return {
    range: randomRange(random),
    zone: random.pick(ZONES),
    compare: random.chance(50) ? undefined : random.pick(COMPARISONS),
    filters: filters.length > 0 ? filters : undefined,
    panel: random.chance(25) ? "error rate/2" : undefined,
    wall: random.chance(20),
    rotate: random.chance(20) ? ["web", "api-2"] : undefined,
    every: random.chance(20) ? 10 + random.below(600) : undefined,
    own: random.chance(20) || undefined,
  };
}
