export const kioskStrings = {
  title: "Wall display",
  intro:
    "The chosen dashboards are shown one after the other, without controls. The address holds the choice: a reload continues.",
  choose: "Dashboards",
  every: "Change every",
  seconds: (seconds: number) => (seconds < 60 ? `${seconds} s` : `${seconds / 60} min`),
  range: "Time range",
  ownRanges: (other: string) => `Each dashboard's own, or ${other}`,
  oneRange: (range: string) => `${range}, for all`,
  start: "Start",
  thisPage: "Show only this page",
  none: "Choose at least one dashboard",
  loading: "Loading the dashboards",
  failed: (reason: string) => `The dashboards could not be loaded: ${reason}. This page can be shown alone.`,
  position: (index: number, count: number) => `${index} of ${count}`,
  over: (titles: string[]) => `Over the threshold: ${titles.join(", ")}`,
  stale: (count: number) => `${count} ${count === 1 ? "panel is" : "panels are"} not up to date`,
} as const;
