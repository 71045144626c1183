// A folder of custom panels for MILLRACE_PANELS_DIR.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface PanelFile {
  name: string;
  title: string;
  chart: "number" | "line" | "bar" | "horizontal-bar" | "table" | (string & {});
  sql: string;
  unit?: string;
  description?: string;
}

/** All events of the range. */
export const ALL_EVENTS = "SELECT sum(rows.events) AS events FROM {{total('')}} AS rows";

export interface PanelFolder {
  readonly path: string;
  write(panel: PanelFile): void;
  remove(name: string): void;
  close(): void;
}

export function panelFolder(panels: PanelFile[] = []): PanelFolder {
  const path = mkdtempSync(join(tmpdir(), "millrace-panels-"));
  const folder: PanelFolder = {
    path,
    write({ name, title, chart, sql, unit = "events", description = "A test panel" }) {
      const header = { title, description, unit, chart, refresh: "5s" };
      const lines = Object.entries(header).map(([key, value]) => `-- ${key}: ${value}\n`);
      writeFileSync(join(path, `${name}.sql`), `${lines.join("")}${sql}\n`);
    },
    remove: (name) => rmSync(join(path, `${name}.sql`)),
    close: () => rmSync(path, { recursive: true, force: true }),
  };
  for (const panel of panels) folder.write(panel);
  return folder;
}

/** `count` panels over time, lines and bars in turn, each with two measures by minute. */
export function chartPanels(count: number): PanelFile[] {
  return Array.from({ length: count }, (_, index) => ({
    name: `chart_${String(index + 1).padStart(2, "0")}`,
    title: `Chart ${index + 1}`,
    chart: index % 2 === 0 ? "line" : "bar",
    sql: `SELECT toDateTime(bucket, 'UTC') AS minute,
    sumIf(rows.events, event_name = '') * ${index + 1} AS all_events, sumIf(rows.events, event_name != '') AS signups
FROM {{series(['', 'signup_started'])}} AS rows GROUP BY bucket ORDER BY bucket`,
  }));
}
