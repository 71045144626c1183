import { formatCount } from "../lib/format.ts";
import { HorizontalBars } from "./charts/HorizontalBars.tsx";
import { type BodyProps, definePanel } from "./panel.ts";
import { type Feature, shapeTopFeatures } from "./topFeatures.ts";

const SERIES = [{ key: "users", label: "Unique users", color: "var(--c3)" }];
const DETAILS = [{ key: "events", label: "Events", color: "var(--muted)" }];

function Body({ data, summary }: BodyProps<Feature[]>) {
  const rows = data.map(({ name, users, events }) => ({ name, users, events }));
  return (
    <>
      <p className="mb-2 text-sm text-muted">Unique users</p>
      <HorizontalBars rows={rows} series={SERIES} details={DETAILS} summary={summary} format={formatCount} />
    </>
  );
}

export const topFeaturesPanel = definePanel(
  "topFeatures",
  "feature_used events with the property feature appear here.",
  shapeTopFeatures,
  Body,
);
