import { Chart, type Panel } from "../gen/millrace/v1/dashboard_pb.ts";
import { BUILT_IN_PANELS } from "../live/builtInPanels.ts";

export interface PanelLayout {
  main: string[];
  small: string[];
  wide: string[];
}

const MAIN: string[] = ["active_users", "signup_funnel", "top_features", "error_rate"];

/** Sorts panels into grids by size: single numbers are small, all others are as large as a main panel. */
export function layoutPanels(listed: Panel[] | undefined): PanelLayout {
  const builtIn: string[] = BUILT_IN_PANELS.filter((name) => !listed || listed.some((panel) => panel.name === name));
  const custom = (listed ?? []).filter((panel) => !builtIn.includes(panel.name));
  const secondary = builtIn.filter((name) => !MAIN.includes(name));
  const isSmall = (name: string) => name === "live_visitors" || name === "traffic_anomaly";
  return {
    main: builtIn.filter((name) => MAIN.includes(name)),
    small: [
      ...secondary.filter(isSmall),
      ...custom.filter((panel) => panel.chart === Chart.NUMBER).map((panel) => panel.name),
    ],
    wide: [
      ...secondary.filter((name) => !isSmall(name)),
      ...custom.filter((panel) => panel.chart !== Chart.NUMBER).map((panel) => panel.name),
    ],
  };
}
