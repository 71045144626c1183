import { type CSSProperties, useEffect, useMemo, useState } from "react";
import type { PanelInfo } from "../../live/protocol.ts";
import { panelQuery, type Selection } from "../../query/query.ts";
import { useQueryState } from "../../shell/live.ts";
import { usePause } from "../../shell/pause.tsx";
import { kioskPages, placePanels, SCREENS } from "./grid.ts";
import { PanelSlot } from "./PanelSlot.tsx";

interface Props {
  panels: PanelInfo[];
  selection: Selection;
  onEnlarge: (panel: string) => void;
}

export function PanelGrid({ panels, ...slot }: Props) {
  const placed = useMemo(() => placePanels(panels), [panels]);
  return (
    <div className="grid-panels" data-grid>
      {placed.map(({ panel, spans }) => (
        <div
          key={panel.name}
          className="grid-cell"
          data-size={panel.size}
          style={Object.fromEntries(SCREENS.map((screen) => [`--${screen}`, spans[screen]])) as CSSProperties}
        >
          <PanelSlot info={panel} {...slot} />
        </div>
      ))}
    </div>
  );
}

const PAGE_MS = 30_000;

/** Fills the screen. If not all panels fit, it shows one screenful after the other. */
export function KioskGrid({ panels, ...slot }: Props) {
  const pages = useMemo(() => kioskPages(panels), [panels]);
  const [pageIndex, setPageIndex] = useState(0);
  const { paused } = usePause();
  const rotating = pages.length > 1 && !paused;
  useEffect(() => {
    if (!rotating) return;
    const timer = setInterval(() => setPageIndex((current) => current + 1), PAGE_MS);
    return () => clearInterval(timer);
  }, [rotating]);
  const page = pages[pageIndex % pages.length];
  if (!page) return null;
  return (
    <div className="flex min-h-0 flex-1 flex-col gap-3" data-grid="kiosk">
      {pages.length > 1 &&
        panels.map((panel) => <Subscription key={panel.name} info={panel} selection={slot.selection} />)}
      {page.figures.length > 0 && (
        <div className="kiosk-figures">
          {page.figures.map((panel) => (
            <div key={panel.name}>
              <PanelSlot info={panel} {...slot} />
            </div>
          ))}
        </div>
      )}
      <div className="kiosk-charts flex-1" style={{ "--columns": page.columns } as CSSProperties}>
        {page.charts.map((panel) => (
          <div key={panel.name}>
            <PanelSlot info={panel} {...slot} />
          </div>
        ))}
      </div>
    </div>
  );
}

/** Keeps the panels of the other screenfuls up to date, so that each appears complete and the stream stays the same. */
function Subscription({ info, selection }: { info: PanelInfo; selection: Selection }) {
  useQueryState(useMemo(() => panelQuery(info, selection), [info, selection]));
  return null;
}
