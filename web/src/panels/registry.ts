import { Chart, type Panel } from "../gen/millrace/v1/dashboard_pb.ts";
import { activeUsersPanel } from "./ActiveUsersPanel.tsx";
import { customPanel } from "./CustomPanel.tsx";
import { errorRatePanel } from "./ErrorRatePanel.tsx";
import { liveVisitorsPanel } from "./LiveVisitorsPanel.tsx";
import type { PanelDefinition } from "./panel.ts";
import { signupFunnelPanel } from "./SignupFunnelPanel.tsx";
import { topFeaturesPanel } from "./TopFeaturesPanel.tsx";
import { topPagesPanel } from "./TopPagesPanel.tsx";
import { trafficAnomalyPanel } from "./TrafficAnomalyPanel.tsx";
import { trafficByCountryPanel } from "./TrafficByCountryPanel.tsx";

interface BuiltInPanel {
  definition: PanelDefinition;
  /** Used until the server has returned its list. */
  title: string;
}

const BUILT_IN: Record<string, BuiltInPanel> = {
  active_users: { definition: activeUsersPanel, title: "Active users" },
  signup_funnel: { definition: signupFunnelPanel, title: "Sign-up funnel" },
  top_features: { definition: topFeaturesPanel, title: "Top features" },
  error_rate: { definition: errorRatePanel, title: "Error rate" },
  live_visitors: { definition: liveVisitorsPanel, title: "Live visitors" },
  traffic_anomaly: { definition: trafficAnomalyPanel, title: "This hour against last week" },
  traffic_by_country: { definition: trafficByCountryPanel, title: "Traffic by country" },
  top_pages: { definition: topPagesPanel, title: "Top pages" },
};

const customDefinitions = new Map<string, PanelDefinition>();

/** Custom definitions are cached: a new `Body` component on each render would remount the panel. */
export function definitionOf(name: string, panel: Panel | undefined): PanelDefinition {
  const builtIn = BUILT_IN[name];
  if (builtIn) return builtIn.definition;
  const chart = panel?.chart ?? Chart.TABLE;
  const unit = panel?.unit ?? "";
  const key = `${chart} ${unit}`;
  const definition = customDefinitions.get(key) ?? customPanel(chart, unit);
  customDefinitions.set(key, definition);
  return definition;
}

export const panelTitle = (name: string, panel: Panel | undefined): string =>
  panel?.title || BUILT_IN[name]?.title || name;
