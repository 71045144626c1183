import { memo, useMemo, useRef, useState } from "react";
import type { Panel } from "../gen/millrace/v1/dashboard_pb.ts";
import { timeLabel } from "../lib/time.ts";
import type { PanelState } from "../live/state.ts";
import { CopyButton } from "./CopyButton.tsx";
import { Dialog } from "./Dialog.tsx";
import { downloadCsv, downloadPng } from "./exportPanel.ts";
import { Menu, type MenuItem } from "./Menu.tsx";
import { PanelContent } from "./PanelContent.tsx";
import type { Display } from "./panel.ts";
import { definitionOf, panelTitle } from "./registry.ts";

interface Props {
  name: string;
  panel: Panel | undefined;
  state: PanelState | undefined;
  display: Display;
  onRetry: () => void;
  /** Absent if the panel is already enlarged. */
  onEnlarge?: (name: string) => void;
  className?: string;
}

function Approximate() {
  const note = "Distinct counts may be off by up to 1 %";
  return (
    <span className="text-lg leading-none text-muted" title={note} role="note" aria-label={note}>
      ≈
    </span>
  );
}

/** One panel: title, menu, chart or table, and its faults. */
export const PanelCard = memo(function PanelCard(props: Props) {
  const { name, panel, state, display, onRetry, onEnlarge, className = "" } = props;
  const card = useRef<HTMLElement>(null);
  const [asTable, setAsTable] = useState(false);
  const [sqlOpen, setSqlOpen] = useState(false);
  const [exportError, setExportError] = useState<string>();
  const definition = definitionOf(name, panel);
  const title = panelTitle(name, panel);
  const value = state?.value;
  const { range, zone } = display;
  const shaped = useMemo(
    () => (value ? definition.shape(value, { range, zone }) : null),
    [definition, value, range, zone],
  );

  const items: MenuItem[] = [];
  if (onEnlarge) items.push({ label: "Enlarge", run: () => onEnlarge(name) });
  if (shaped) {
    items.push({ label: asTable ? "Show as chart" : "Show as table", run: () => setAsTable(!asTable) });
    items.push({ label: "Download CSV", run: () => downloadCsv(name, shaped, display) });
    items.push({
      label: "Download PNG",
      run: () => {
        if (!card.current) return;
        setExportError(undefined);
        downloadPng(name, title, shaped, display, card.current).catch((error) => setExportError(String(error)));
      },
    });
  }
  if (panel?.sql) items.push({ label: "Show SQL", run: () => setSqlOpen(true) });

  const stale = shaped && (state?.phase === "stale" || state?.phase === "failed");
  return (
    <section
      ref={card}
      aria-label={title}
      data-panel={name}
      data-phase={state?.phase ?? "connecting"}
      className={`card ${className}`}
    >
      <header className="mb-2 flex min-h-9 items-center gap-2">
        <h2 className="text-base font-semibold" title={panel?.description}>
          {title}
        </h2>
        {shaped?.approximate && <Approximate />}
        <span className="flex-1" />
        {items.length > 0 && <Menu label={`${title}: more actions`} items={items} />}
      </header>
      <PanelContent
        title={title}
        definition={definition}
        shaped={shaped}
        state={state}
        display={display}
        asTable={asTable}
        onRetry={onRetry}
      />
      {stale && (
        <p className="mt-2 truncate text-xs text-warn" title={state.reason}>
          Stale since {timeLabel(state.since, zone)}: {state.reason}
        </p>
      )}
      {exportError && (
        <p role="status" className="mt-2 text-xs text-danger">
          The PNG export failed: {exportError}
        </p>
      )}
      {sqlOpen && panel && (
        <Dialog title={`${title}: SQL`} onClose={() => setSqlOpen(false)} actions={<CopyButton text={panel.sql} />}>
          {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrollable region must be reachable by keyboard */}
          <pre className="min-h-0 overflow-auto rounded-lg bg-sunken p-4 text-xs leading-relaxed" tabIndex={0}>
            {panel.sql}
          </pre>
        </Dialog>
      )}
    </section>
  );
});
