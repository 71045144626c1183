// How an insight is drawn, by the names of the contract. The generated enum brings those of all other messages along; the
// first view needs this one alone. The compiler compares the numbers.

import type { InsightChart } from "../gen/millrace/v1/insights_pb.ts";

export const INSIGHT_CHARTS: { readonly [Name in keyof typeof InsightChart]: (typeof InsightChart)[Name] } = {
  UNSPECIFIED: 0,
  LINE: 1,
  AREA: 2,
  STACKED: 3,
  BAR: 4,
  HORIZONTAL_BAR: 5,
  NUMBER: 6,
  TABLE: 7,
  STEPS: 8,
  TIME_TO_CONVERT: 9,
  FLOW: 10,
};
