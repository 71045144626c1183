import { type CSSProperties, type ReactNode, useEffect, useMemo, useState } from "react";
import { usePause } from "../../shell/pause.tsx";
import { type GridProps, useAlone, Watch } from "./BoardGrid.tsx";
import type { Cell } from "./board/arrange.ts";
import { shownBy } from "./board/items.ts";
import { ItemSlot } from "./ItemSlot.tsx";
import { kioskPages } from "./kioskPages.ts";
import { useParametersOfPage } from "./parameters.tsx";

const PAGE_MS = 30_000;

/** Fills the screen. If not all fits, it shows one screenful after the other. */
export default function KioskGrid({ cells, known, selection, onEnlarge }: Omit<GridProps, "onChoose">) {
  const pages = useMemo(() => kioskPages(cells), [cells]);
  const alone = useAlone(cells);
  const [pageIndex, setPageIndex] = useState(0);
  const { paused } = usePause();
  const rotating = pages.length > 1 && !paused;
  useEffect(() => {
    if (!rotating) return;
    const timer = setInterval(() => setPageIndex((current) => current + 1), PAGE_MS);
    return () => clearInterval(timer);
  }, [rotating]);
  const current = pageIndex % Math.max(1, pages.length);
  const page = pages[current];
  if (!page) return null;
  const slot = (cell: Cell): ReactNode => (
    <ItemSlot cell={cell} known={known} selection={selection} onEnlarge={onEnlarge} alone={alone(cell)} />
  );
  return (
    <div className="flex min-h-0 flex-1 flex-col gap-3" data-grid="kiosk">
      {pages.length > 1 &&
        cells.map((cell) => <Subscription key={cell.key} cell={cell} known={known} selection={selection} />)}
      {page.figures.length > 0 && (
        <div className="kiosk-figures">
          {page.figures.map((cell) => (
            <div key={cell.key}>{slot(cell)}</div>
          ))}
        </div>
      )}
      <div className="kiosk-charts flex-1" style={{ "--columns": page.columns } as CSSProperties}>
        {page.charts.map((cell) => (
          <div key={cell.key}>{slot(cell)}</div>
        ))}
      </div>
    </div>
  );
}

/** Keeps the items of the other screenfuls up to date, so that each appears complete and the stream stays the same. */
function Subscription({ cell, known, selection }: Pick<GridProps, "known" | "selection"> & { cell: Cell }) {
  const shown = useMemo(() => shownBy(cell.item, known), [cell.item, known]);
  const { values } = useParametersOfPage();
  const query = useMemo(() => shown?.query(selection, values), [shown, selection, values]);
  return query && <Watch query={query} />;
}
