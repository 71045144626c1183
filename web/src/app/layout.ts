import { Chart, type Panel } from "../gen/millrace/v1/dashboard_pb.ts";
import { BUILT_IN_PANELS } from "../live/builtInPanels.ts";

export interface PanelLayout {
  main: string[];
  small: string[];
  wide: string[];
}

const MAIN: string[] = ["active_users", "signup_funnel", "top_features", "error_rate"];

/** The panels' places. A single number needs little room, everything else as much as a main panel. */
export function layoutPanels(listed: Panel[] | undefined): PanelLayout {
  const known: string[] = BUILT_IN_PANELS.filter((name) => !listed || listed.some((panel) => panel.name === name));
  const dropped = (listed ?? []).filter((panel) => !known.includes(panel.name));
  const more = known.filter((name) => !MAIN.includes(name));
  const isSmall = (name: string) => name === "live_visitors" || name === "traffic_anomaly";
  return {
    main: known.filter((name) => MAIN.includes(name)),
    small: [
      ...more.filter(isSmall),
      ...dropped.filter((panel) => panel.chart === Chart.NUMBER).map((panel) => panel.name),
    ],
    wide: [
      ...more.filter((name) => !isSmall(name)),
      ...dropped.filter((panel) => panel.chart !== Chart.NUMBER).map((panel) => panel.name),
    ],
  };
}
