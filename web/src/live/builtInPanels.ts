/** The panels that every server has, in the order of the page; asked for before the server has listed its own. */
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
