// Random questions, for property tests.

import type { Random } from "../../lib/random.testing.ts";
import {
  BUCKETS,
  CHARTS,
  type EventRef,
  type Group,
  type Item,
  KINDS,
  MEASURES,
  needsProperty,
  OPERATORS,
  ORDERS,
  PERIODS,
  type Question,
  type Series,
} from "./question.ts";

const TEXTS = [
  "page_view",
  "signup_started",
  "a b",
  "and",
  "or",
  "not",
  "any",
  "did",
  "where",
  "*",
  "(",
  ")",
  '"',
  "\\",
  "é ✓",
  "/pricing?a=1&b=2",
  "times",
  "within",
  "from",
  "to",
  "x:y",
  "50%",
  "a+b",
  "#",
  "properties.plan",
  "is",
  " lead",
  "trail ",
  "tab\there",
  "line\nbreak",
];

const text = (random: Random) => random.pick(TEXTS);

function item(random: Random, depth: number): Item {
  const not = random.chance(20);
  const type = depth > 2 ? "field" : random.pick(["field", "field", "field", "did", "group"] as const);
  if (type === "group") return { type, not, group: group(random, depth + 1) };
  if (type === "did") {
    return {
      type,
      not,
      event: random.chance(20) ? "" : text(random),
      where: random.chance(50) ? group(random, depth + 1, true) : { match: "all", items: [] },
      ...(random.chance(30) && { times: 1 + random.below(1000) }),
      ...(random.chance(30) && { within: 1 + random.below(10_000_000) }),
    };
  }
  return {
    type,
    not,
    field: random.chance(10) ? "" : text(random),
    op: random.pick(OPERATORS),
    values: random.many(3, () => (random.chance(10) ? "" : text(random))),
  };
}

/** A "did" without conditions has no group, so an empty "any" one does not occur there. */
function group(random: Random, depth = 0, filled = false): Group {
  const items = random.many(3, () => item(random, depth));
  if (filled && items.length === 0) items.push(item(random, 3));
  return { match: random.pick(["all", "any"] as const), items };
}

const event = (random: Random): EventRef => ({
  event: random.chance(20) ? "" : text(random),
  where: random.chance(40) ? group(random) : { match: "all", items: [] },
});

function series(random: Random): Series {
  const measure = random.pick(MEASURES);
  return { ...event(random), measure, property: needsProperty(measure) && random.chance(80) ? text(random) : "" };
}

export function randomQuestion(random: Random): Question {
  const common = {
    where: random.chance(40) ? group(random) : ({ match: "all", items: [] } as Group),
    ...(random.chance(30) && { top: 1 + random.below(50) }),
    ...(random.chance(30) && { chart: random.pick(CHARTS) }),
  };
  const bucket = random.chance(30) ? { bucket: random.pick(BUCKETS) } : {};
  const by = () => (random.chance(40) ? text(random) : "");
  switch (random.pick(KINDS)) {
    case "trend":
      return {
        kind: "trend",
        series: random.many(4, () => series(random)),
        formula: random.chance(30) ? "100 * B / (A + 1)" : "",
        by: random.many(2, () => text(random)),
        ...bucket,
        ...common,
      };
    case "funnel":
      return {
        kind: "funnel",
        steps: random.many(4, () => event(random)),
        ...(random.chance(40) && { window: 1 + random.below(7_776_000) }),
        order: random.pick(ORDERS),
        exclusions: random.many(2, () => ({
          ...event(random),
          ...(random.chance(40) && { from: 1 + random.below(9) }),
          ...(random.chance(40) && { to: 1 + random.below(9) }),
        })),
        per: random.pick(["visitor", "session", "properties.team"]),
        by: by(),
        attribution: random.pick(["first", "last", 1, 2, 10] as const),
        ...bucket,
        ...common,
      };
    case "retention":
      return {
        kind: "retention",
        start: event(random),
        back: event(random),
        period: random.pick(PERIODS),
        ...(random.chance(40) && { periods: 1 + random.below(31) }),
        recurring: random.chance(50),
        orAfter: random.chance(50),
        rolling: random.chance(50),
        plain: random.chance(50),
        by: by(),
        ...common,
      };
    case "paths":
      return {
        kind: "paths",
        ...(random.chance(60) && { event: event(random) }),
        before: random.chance(50),
        only: random.many(3, () => text(random)),
        field: random.chance(30) ? text(random) : "",
        rules: random.many(2, () => ({ pattern: text(random), name: random.chance(50) ? text(random) : "" })),
        ...(random.chance(40) && { steps: 1 + random.below(5) }),
        ...common,
      };
  }
}
