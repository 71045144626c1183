// Texts of the charts of funnels, retention, paths and single numbers.

import { formatCount, pluralize } from "../lib/format.ts";

export const strings = {
  funnel: {
    name: (title: string, steps: number) => `${title}: funnel of ${pluralize(steps, "step")}`,
    ofFirst: (pct: string) => `${pct} of the first step`,
    wentOn: (pct: string) => `${pct} went on`,
    median: (time: string) => `median ${time}`,
    dropped: (count: number, pct: string) => `${formatCount(count)} dropped off (${pct})`,
    /** Some of them can still go on. */
    notYet: (count: number, pct: string) => `${formatCount(count)} have not gone on (${pct})`,
    reachedLabel: (step: string, count: number) => `${formatCount(count)} reached ${step}: show them`,
    /** Begins with the visible text. */
    droppedLabel: (dropped: string, step: string) => `${dropped} before ${step}: show them`,
    nobody: "Nobody entered in this range.",
    running: (count: number) => `Entered recently: ${formatCount(count)} may still convert.`,
    truncated: (count: number) =>
      `Of ${pluralize(count, "visitor")} only the first 10,000 events were considered, because they have more.`,
    notShown: (count: number) => `${pluralize(count, "more value")} in the table.`,
    scale: "The bars of a value begin with its own first step.",
  },
  time: {
    name: (title: string) => `${title}: time to convert`,
    none: "Nobody reached the last step in this range.",
    median: "Median",
    mean: "Mean",
    p90: "90th percentile",
    bar: (label: string, count: number, pct: string) => `${label}: ${formatCount(count)} (${pct})`,
    caption: "Conversions by the time they took",
    interval: "Time",
    count: "Conversions",
    share: "Share",
  },
  retention: {
    name: (title: string) => `${title}: retention by cohort`,
    cohort: "Cohort",
    visitors: "Visitors",
    mean: "Mean",
    meanHint: "Of the complete cells of each period",
    incomplete: "Dashed cells can still grow: their period has not ended for everyone.",
    empty: "Nobody started in these periods.",
    value: "Value",
    all: "All visitors",
    hint: "Arrow keys move between cells.",
    curve: (title: string) => `${title}: mean retention by period`,
    cohortLabel: (label: string, count: number) => `${label}: show its ${pluralize(count, "visitor")}`,
  },
  paths: {
    name: (title: string) => `${title}: paths`,
    empty: "No paths in this range.",
    /** Names of the columns. */
    start: "Start",
    end: "End",
    step: (index: number) => (index > 0 ? `Step ${index}` : `${-index} before`),
    began: "Visit began",
    ended: "Visit ended",
    others: (count: number) => (count > 0 ? pluralize(count, "other") : "Others"),
    from: "From",
    to: "To",
    node: (name: string, count: number, pct: string) => `${name} ${formatCount(count)} · ${pct} of the column`,
    before: (name: string) => `Before ${name}`,
    after: (name: string) => `After ${name}`,
    nothingBefore: "Nothing: paths begin here.",
    nothingAfter: "Nothing: paths are followed up to here.",
    choose: "Choose a step to see what came before and after it.",
    mean: (time: string) => `mean ${time}`,
    truncated: (count: number) =>
      `Of ${pluralize(count, "visitor")} only the first 10,000 events were considered, because they have more.`,
  },
  number: {
    more: (count: number) => `${pluralize(count, "more line")} in the table.`,
    sparkline: (label: string) => `${label} over the range`,
    none: "nothing to compare with",
    earlier: (value: string) => `${value} in the earlier period`,
  },
};
