// The questions of Explore that compute what a built-in panel shows over the range.

import { type Chart, type Measure, type Question, seriesOf, trendOf } from "../explore/question.ts";

const trend = (event: string, measure: Measure, chart: Chart, by: string[] = [], top?: number): Question => ({
  ...trendOf([seriesOf(event, measure)]),
  by,
  chart,
  ...(top !== undefined && { top }),
});

const QUESTIONS: Record<string, Question> = {
  active_users: trend("", "sessions", "area"),
  error_rate: { ...trendOf([seriesOf("error_occurred"), seriesOf("")]), formula: "100 * A / B" },
  signup_funnel: { ...trendOf([seriesOf("signup_started"), seriesOf("signup_completed")]), chart: "bar" },
  top_features: trend("feature_used", "visitors", "ranking", ["properties.feature"], 10),
  top_pages: trend("page_view", "events", "ranking", ["properties.page_url"], 20),
  traffic_by_country: trend("page_view", "events", "stacked", ["country_code"], 5),
};

export const panelQuestion = (panel: string): Question | undefined => QUESTIONS[panel];
export const PANELS_WITH_QUESTION = Object.keys(QUESTIONS);
