// What can be done with a panel, as a menu: enlarge it, see it as a table, download it, read its SQL.

import { type ReactNode, type RefObject, useState } from "react";
import { useAnnotations } from "../charts/annotations.ts";
import type { CsvVariant } from "../frame/csv.ts";
import { lazyPart, loadWhenIdle } from "../lazyPart.ts";
import type { LastFrame } from "../live/hooks.tsx";
import type { PanelInfo, QueryState } from "../live/protocol.ts";
import { OptionalPart } from "../ui/ErrorBoundary.tsx";
import { Menu, type MenuItem } from "../ui/Menu.tsx";
import type { CardState } from "./cardState.ts";

const SqlDialog = lazyPart(() => import("./SqlDialog.tsx"), "idle");
const loadExport = () => import("./exportPanel.ts");
// A download reports a failure, not the attempt in advance.
loadWhenIdle(() => void loadExport().catch(() => {}));

interface Options {
  info: PanelInfo;
  drawn: LastFrame | undefined;
  state: QueryState;
  card: CardState;
  /** Holds the drawn chart. */
  element: RefObject<HTMLElement | null>;
  onEnlarge: ((panel: string) => void) | undefined;
  /** Whether it can be shown as a table, and as an image. */
  isFigure?: boolean;
}

interface Actions {
  asTable: boolean;
  menu: (more?: MenuItem[]) => ReactNode;
  /** What the actions open, and why one has failed. */
  popups: ReactNode;
}

export function usePanelActions(options: Options): Actions {
  const { info, drawn, state, card, element, onEnlarge, isFigure = false } = options;
  const [asTable, setAsTable] = useState(false);
  const [sqlOpen, setSqlOpen] = useState(false);
  const [exportError, setExportError] = useState("");

  const attempt = (kind: string, run: () => Promise<void>) => {
    setExportError("");
    run().catch((error: unknown) => setExportError(`The ${kind} export failed: ${String(error)}`));
  };
  const exportCsv = (drawn: LastFrame, variant: CsvVariant) =>
    attempt("CSV", async () => (await loadExport()).downloadCsv(info, drawn, variant));

  const { add: annotate } = useAnnotations();
  const items: MenuItem[] = [];
  if (onEnlarge) items.push({ label: "Enlarge", onSelect: () => onEnlarge(info.name) });
  if (drawn !== undefined && card.body !== "failed") {
    if (info.chart !== "table" && !isFigure) {
      items.push({
        label: asTable ? "Show as chart" : "Show as table",
        onSelect: () => setAsTable(!asTable),
      });
    }
    items.push({ label: "Download CSV", onSelect: () => exportCsv(drawn, "raw") });
    items.push({ label: "Download CSV for spreadsheets", onSelect: () => exportCsv(drawn, "spreadsheet") });
    if (!isFigure) {
      items.push({
        label: "Download PNG",
        onSelect: () => {
          const card = element.current;
          if (!card) return;
          const stale = state.status === "stale" || drawn.placeholder;
          attempt("PNG", async () => (await loadExport()).downloadPng(info, drawn, stale, card));
        },
      });
    }
  }
  const isOverTime = drawn?.frame.columns.some(({ role }) => role === "time") ?? false;
  if (annotate && isOverTime && !isFigure) items.push({ label: "Annotate", onSelect: annotate });
  if (info.sql) items.push({ label: "Show SQL", onSelect: () => setSqlOpen(true) });

  return {
    asTable,
    menu: (more = []) => {
      const all = [...items, ...more];
      return all.length > 0 && <Menu label={`${info.title}: more actions`} items={all} />;
    },
    popups: (
      <>
        {exportError && (
          <p role="status" className="mt-2 text-xs text-danger">
            {exportError}
          </p>
        )}
        {sqlOpen && (
          <OptionalPart onClose={() => setSqlOpen(false)}>
            <SqlDialog info={info} onClose={() => setSqlOpen(false)} />
          </OptionalPart>
        )}
      </>
    ),
  };
}
