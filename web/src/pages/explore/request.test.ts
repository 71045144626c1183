import { fromBinary, fromJson, toJson } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { decode, encode } from "../../api/codec.ts";
import {
  Aggregation,
  Bucket,
  Compare,
  FieldOperator,
  FunnelOrder,
  InsightChart,
  RetentionPeriod,
  TimeRange,
} from "../../api/messages.ts";
import { QUERY_FUNNEL, QUERY_PATHS, QUERY_RETENTION, QUERY_TREND } from "../../api/methods.ts";
import {
  QueryFunnelRequestSchema,
  QueryPathsRequestSchema,
  QueryRetentionRequestSchema,
  QueryTrendRequestSchema,
} from "../../gen/millrace/v1/explore_pb.ts";
import { Random } from "../../lib/random.testing.ts";
import { COMPARISONS, type Selection } from "../../query/query.ts";
import { PRESETS } from "../../query/range.ts";
import { questionText } from "./address.ts";
import { curlCommand, insightYaml, requestJson } from "./document.ts";
import {
  BUCKETS,
  CHARTS,
  funnelOf,
  MEASURES,
  OPERATORS,
  ORDERS,
  PERIODS,
  type Question,
  seriesOf,
  trendOf,
} from "./question.ts";
import { randomQuestion } from "./randomQuestion.testing.ts";
import { chartNumber, fromQuery, type Query, toQuery, withPageFilters } from "./request.ts";

const SELECTION: Selection = { range: "7d", zone: "Europe/Madrid" };
const METHODS = { trend: QUERY_TREND, funnel: QUERY_FUNNEL, retention: QUERY_RETENTION, paths: QUERY_PATHS };
const SCHEMAS = {
  trend: QueryTrendRequestSchema,
  funnel: QueryFunnelRequestSchema,
  retention: QueryRetentionRequestSchema,
  paths: QueryPathsRequestSchema,
};

/** As the server sends it back. */
function sent(query: Query): Query {
  const { request } = METHODS[query.case] as typeof QUERY_TREND;
  return { case: query.case, value: decode(request, encode(request, query.value as never)) } as unknown as Query;
}

test("every question survives its message, but for groups that select the same events without brackets", () => {
  const random = new Random(11);
  for (let i = 0; i < 1_000; i += 1) {
    const question = randomQuestion(random);
    const back = fromQuery(sent(toQuery(question, SELECTION)), chartNumber(question.chart));
    expect(toQuery(back, SELECTION)).toEqual(toQuery(question, SELECTION));
    const again = fromQuery(sent(toQuery(back, SELECTION)), chartNumber(back.chart));
    expect(questionText(again)).toBe(questionText(back));
  }
});

test("bodies over HTTP are the same messages", () => {
  const random = new Random(13);
  const selections: Selection[] = [
    SELECTION,
    { range: { from: Date.UTC(2026, 9, 1), to: Date.UTC(2026, 9, 8) }, zone: "UTC", compare: "week" },
    { range: "this-week", zone: "UTC", compare: "previous", filters: [{ dimension: "plan", value: "a b" }] },
  ];
  for (let i = 0; i < 500; i += 1) {
    const question = randomQuestion(random);
    const selection = random.pick(selections);
    const { case: kind, value } = toQuery(question, selection);
    const { request } = METHODS[kind] as typeof QUERY_TREND;
    const schema = SCHEMAS[kind] as typeof QueryTrendRequestSchema;
    const ofJson = fromJson(schema, JSON.parse(requestJson(question, selection)));
    const ofMessage = fromBinary(schema, encode(request, value as never));
    expect(toJson(schema, ofJson)).toEqual(toJson(schema, ofMessage));
  }
});

test("numbers are those of the contract", () => {
  const names = (enumeration: object) => Object.values(enumeration).filter((value) => typeof value === "string");
  expect(names(Aggregation)).toHaveLength(MEASURES.length + 1);
  expect(MEASURES.indexOf("p95") + 1).toBe(Aggregation.P95);
  expect(MEASURES.indexOf("unlinked") + 1).toBe(Aggregation.UNLINKED_VISITORS);
  expect(names(FieldOperator)).toHaveLength(OPERATORS.length + 1);
  expect(OPERATORS.indexOf("between") + 1).toBe(FieldOperator.BETWEEN);
  expect(names(Bucket)).toHaveLength(BUCKETS.length + 1);
  expect(names(TimeRange)).toHaveLength(PRESETS.length + 1);
  expect(PRESETS.indexOf("this-month") + 1).toBe(TimeRange.TIME_RANGE_THIS_MONTH);
  expect(names(Compare)).toHaveLength(COMPARISONS.length + 1);
  expect(names(InsightChart)).toHaveLength(CHARTS.length + 1);
  expect(CHARTS.indexOf("time") + 1).toBe(InsightChart.TIME_TO_CONVERT);
  expect(names(FunnelOrder)).toHaveLength(ORDERS.length + 1);
  expect(names(RetentionPeriod)).toHaveLength(PERIODS.length + 1);
});

test("the page's filters come first, with any of the values of a dimension", () => {
  const filters = [
    { dimension: "country_code", value: "ES" },
    { dimension: "plan", value: "pro" },
    { dimension: "country_code", value: "DE" },
  ];
  const { items } = withPageFilters({ match: "any", items: [] }, filters);
  expect(items).toMatchObject([
    { field: "country_code", values: ["ES", "DE"] },
    { field: "plan", values: ["pro"] },
    { type: "group", group: { match: "any" } },
  ]);
});

test("a question as a command and as a file", () => {
  const question: Question = {
    ...funnelOf(["signup_started", "it's"]),
    window: 86_400,
    by: "device_type",
    where: {
      match: "any",
      items: [
        { type: "field", not: false, field: "plan", op: "is-not", values: ["free", "yes", "a: b"] },
        { type: "did", not: true, event: "refund", where: { match: "all", items: [] }, within: 1_209_600 },
      ],
    },
    chart: "steps",
  };
  expect(curlCommand(question, SELECTION, "https://example.com/m/")).toContain(
    'curl \'https://example.com/m/api/query/funnel\' \\\n  -d \'{"steps":[{"event_name":"signup_started"},{"event_name":"it\'\\\'\'s"}],"window":"86400s"',
  );
  expect(insightYaml(question, SELECTION, { title: "Sign-up: all", description: "" })).toBe(`title: "Sign-up: all"
chart: steps
funnel:
  steps:
    - event_name: signup_started
    - event_name: "it's"
  window: 1d
  filter:
    any:
      - field:
          field: plan
          operator: is_not
          values: [free, "yes", "a: b"]
      - not:
          did:
            event_name: refund
            within: 14d
  breakdown: device_type
  range:
    time_range: 7d
    time_zone: Europe/Madrid
`);
  expect(insightYaml(trendOf([seriesOf("")]), SELECTION, { title: "Any", description: "x" })).toContain(
    "  series:\n    - {}\n",
  );
});
