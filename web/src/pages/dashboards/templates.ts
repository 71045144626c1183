// Dashboards to start from, made of the events that a project has.

import { Aggregation, type Init, InsightChart, type QueryTrendRequest, RetentionPeriod } from "../../api/messages.ts";
import type { Board, BoardItem, Content } from "../dashboard/board/board.ts";
import { COLUMNS, type Place } from "../dashboard/board/layout.ts";
import { listStrings } from "./strings.ts";

const words = listStrings.itemTitles;

export const TEMPLATES = ["web", "product", "reliability", "blank"] as const;
export type Template = (typeof TEMPLATES)[number];

/** Usual names of an event, the most usual first. */
const ROLES = {
  view: ["page_view", "pageview", "$pageview", "page_viewed", "screen_view"],
  error: ["error_occurred", "error", "exception", "$exception", "crash", "app_error"],
  signupStart: ["signup_started", "sign_up_started", "registration_started"],
  signup: ["signup_completed", "sign_up", "signup", "user_signed_up", "registered", "registration_completed"],
  use: ["feature_used", "login", "session_started", "action"],
} as const;
type Role = keyof typeof ROLES;

export interface Draft {
  items: BoardItem[];
  /** What no event was found for, with the names that would have done. */
  missing: { role: Role; names: readonly string[] }[];
}

type Entry = Omit<BoardItem, "id">;

/** `events`: the names of the project's events, most frequent first. `fields`: what the server can break down by. */
export function fromTemplate(template: Template, events: readonly string[], fields: readonly string[]): Draft {
  const known = new Set(events);
  const missing: Draft["missing"] = [];
  const find = (role: Role): string | undefined => {
    const found = ROLES[role].find((name) => known.has(name));
    if (found === undefined) missing.push({ role, names: ROLES[role] });
    return found;
  };
  const entries = { web, product, reliability, blank: () => [] }[template](find, events, new Set(fields));
  return { items: stacked(entries).map((item, index) => ({ ...item, id: String(index) })), missing };
}

type Find = (role: Role) => string | undefined;

const trend = (request: Init<QueryTrendRequest>): Content => ({ case: "trend", value: request });
const count = (eventName: string, aggregation = Aggregation.EVENTS) => trend({ series: [{ eventName, aggregation }] });
const ranking = (eventName: string, field: string) => trend({ series: [{ eventName }], breakdown: [field], limit: 10 });

const at = (x: number, y: number, width: number, height: number): Place => ({ x, y, width, height });
const figure = (index: number, of: number, title: string, content: Content): Entry => {
  const width = COLUMNS / of;
  return { title, content, chart: InsightChart.LINE, place: at(index * width, 0, width, 2) };
};
const card = (
  title: string,
  content: Content,
  place: Place,
  chart: InsightChart = InsightChart.UNSPECIFIED,
): Entry => ({
  title,
  content,
  chart,
  place,
});

/** Rankings beside each other, as many as there are fields. */
function rankings(y: number, eventName: string, wanted: [title: string, field: string][], known: Set<string>): Entry[] {
  const found = wanted.filter(([, field]) => known.has(field)).slice(0, 3);
  const width = COLUMNS / Math.max(1, found.length);
  return found.map(([title, field], index) =>
    card(title, ranking(eventName, field), at(index * width, y, width, 5), InsightChart.HORIZONTAL_BAR),
  );
}

function web(find: Find, _: readonly string[], fields: Set<string>): Entry[] {
  const view = find("view");
  if (view === undefined) return [];
  return [
    figure(0, 4, words.visitors, count(view, Aggregation.VISITORS)),
    figure(1, 4, words.sessions, count(view, Aggregation.SESSIONS)),
    figure(2, 4, words.views, count(view)),
    figure(3, 4, words.viewsPerVisitor, count(view, Aggregation.EVENTS_PER_VISITOR)),
    card(
      words.traffic,
      trend({
        series: [{ eventName: view, aggregation: Aggregation.VISITORS }, { eventName: view }],
      }),
      at(0, 2, COLUMNS, 5),
      InsightChart.AREA,
    ),
    ...rankings(
      7,
      view,
      [
        [words.pages, "page_url"],
        [words.countries, "country_code"],
        [words.devices, "device_type"],
        [words.browsers, "browser"],
      ],
      fields,
    ),
  ];
}

/** So many of the most frequent events are drawn. */
const MOST_FREQUENT = 5;

function product(find: Find, events: readonly string[], _: Set<string>): Entry[] {
  const start = find("signupStart");
  const signup = find("signup");
  const use = find("use");
  const frequent = events.slice(0, MOST_FREQUENT);
  if (frequent.length === 0) return [];
  const entries: Entry[] = [
    figure(0, 3, words.visitors, count("", Aggregation.VISITORS)),
    figure(1, 3, words.sessions, count("", Aggregation.SESSIONS)),
    signup === undefined ? figure(2, 3, words.events, count("")) : figure(2, 3, words.signups, count(signup)),
    card(words.mostFrequent, trend({ series: frequent.map((eventName) => ({ eventName })) }), at(0, 2, COLUMNS, 5)),
  ];
  const steps = [start, signup, use].filter((name) => name !== undefined);
  if (steps.length >= 2) {
    const funnel: Content = {
      case: "funnel",
      value: { steps: steps.map((eventName) => ({ eventName })), window: { seconds: 7n * 86_400n, nanos: 0 } },
    };
    entries.push(card(words.funnel, funnel, at(0, 7, 6, 5), InsightChart.STEPS));
  }
  if (signup !== undefined) {
    const paths: Content = { case: "paths", value: { event: { eventName: signup }, steps: 4 } };
    entries.push(card(words.paths, paths, at(0, 17, COLUMNS, 5), InsightChart.FLOW));
  }
  const first = signup ?? use;
  if (first !== undefined) {
    const retention: Content = {
      case: "retention",
      value: { start: { eventName: first }, return: {}, period: RetentionPeriod.WEEK, periods: 8 },
    };
    entries.push(card(words.retention, retention, at(6, 7, 6, 5)));
  }
  return entries;
}

function reliability(find: Find, _: readonly string[], fields: Set<string>): Entry[] {
  const error = find("error");
  if (error === undefined) return [];
  const rate = trend({
    series: [{ eventName: error }, { eventName: "" }],
    formula: "100 * A / B",
  });
  return [
    figure(0, 3, words.errorRate, rate),
    figure(1, 3, words.errors, count(error)),
    figure(2, 3, words.affected, count(error, Aggregation.VISITORS)),
    card(words.errorRate, rate, at(0, 2, COLUMNS, 5)),
    ...rankings(
      7,
      error,
      [
        [words.errorPages, "page_url"],
        [words.errorCountries, "country_code"],
        [words.errorDevices, "device_type"],
      ],
      fields,
    ),
  ];
}

/** Without the rows that nothing is on. */
function stacked(entries: Entry[]): Entry[] {
  const starts = [...new Set(entries.map(({ place }) => place.y))].sort((a, b) => a - b);
  const moved = new Map<number, number>();
  let y = 0;
  for (const start of starts) {
    moved.set(start, y);
    y += Math.max(...entries.filter(({ place }) => place.y === start).map(({ place }) => place.height));
  }
  return entries.map((entry) => ({
    ...entry,
    place: { ...entry.place, y: moved.get(entry.place.y) ?? entry.place.y },
  }));
}

/** A name for the file, that no other dashboard has. */
export function nameFor(title: string, taken: readonly string[]): string {
  const plain = title
    .normalize("NFKD")
    .toLowerCase()
    .replace(/\p{M}/gu, "")
    .replaceAll(/[^a-z0-9]+/g, "-")
    .replaceAll(/^-+|-+$/g, "")
    .slice(0, 60);
  const base = plain || "dashboard";
  if (!taken.includes(base)) return base;
  for (let number = 2; ; number += 1) {
    const name = `${base.slice(0, 60)}-${number}`;
    if (!taken.includes(name)) return name;
  }
}

export const newBoard = (name: string, title: string, items: BoardItem[]): Board => ({
  name,
  title,
  description: "",
  project: "",
  items,
  builtIn: false,
  etag: "",
  automatic: false,
});
