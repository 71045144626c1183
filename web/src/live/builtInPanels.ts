/** The panels of every server, in page order. They are queried before the server has returned its list. */
export const BUILT_IN_PANELS = [
  "active_users",
  "signup_funnel",
  "top_features",
  "error_rate",
  "live_visitors",
  "traffic_anomaly",
  "traffic_by_country",
  "top_pages",
] as const;
