import { Chart, type Panel } from "../gen/millrace/v1/dashboard_pb.ts";
import { activeUsersPanel } from "./ActiveUsersPanel.tsx";
import { customPanel } from "./CustomPanel.tsx";
import { errorRatePanel } from "./ErrorRatePanel.tsx";
import { liveVisitorsPanel } from "./LiveVisitorsPanel.tsx";
import type { PanelView } from "./panel.ts";
import { signupFunnelPanel } from "./SignupFunnelPanel.tsx";
import { topFeaturesPanel } from "./TopFeaturesPanel.tsx";
import { topPagesPanel } from "./TopPagesPanel.tsx";
import { trafficAnomalyPanel } from "./TrafficAnomalyPanel.tsx";
import { trafficByCountryPanel } from "./TrafficByCountryPanel.tsx";

interface Known {
  view: PanelView;
  /** Until the server has told its own. */
  title: string;
}

const KNOWN: Record<string, Known> = {
  active_users: { view: activeUsersPanel, title: "Active users" },
  signup_funnel: { view: signupFunnelPanel, title: "Sign-up funnel" },
  top_features: { view: topFeaturesPanel, title: "Top features" },
  error_rate: { view: errorRatePanel, title: "Error rate" },
  live_visitors: { view: liveVisitorsPanel, title: "Live visitors" },
  traffic_anomaly: { view: trafficAnomalyPanel, title: "This hour against last week" },
  traffic_by_country: { view: trafficByCountryPanel, title: "Traffic by country" },
  top_pages: { view: topPagesPanel, title: "Top pages" },
};

const customViews = new Map<string, PanelView>();

/** The view of any panel. The same panel gets the same view each time, or React would draw it anew with each update. */
export function viewOf(name: string, panel: Panel | undefined): PanelView {
  const known = KNOWN[name];
  if (known) return known.view;
  const chart = panel?.chart ?? Chart.TABLE;
  const unit = panel?.unit ?? "";
  const key = `${chart} ${unit}`;
  const view = customViews.get(key) ?? customPanel(chart, unit);
  customViews.set(key, view);
  return view;
}

export const titleOf = (name: string, panel: Panel | undefined): string => panel?.title || KNOWN[name]?.title || name;
