// Moving and resizing with a pointer. The item follows in whole cells; other items make way as they would after the drop.

import { type PointerEvent, type RefObject, useCallback, useEffect, useRef, useState } from "react";
import type { BoardItem } from "../board/board.ts";
import { COLUMNS, type Place, place } from "../board/layout.ts";

interface Drag {
  id: string;
  kind: "move" | "resize";
  pointer: number;
  from: Place;
  startX: number;
  startY: number;
}

/** The distance from one column and row to the next, in CSS pixels. */
function steps(grid: HTMLElement): { column: number; row: number } {
  const style = getComputedStyle(grid);
  const gap = Number.parseFloat(style.columnGap) || 0;
  const row = Number.parseFloat(style.gridAutoRows) || 64;
  return { column: (grid.clientWidth + gap) / COLUMNS, row: row + gap };
}

export function useDrag(grid: RefObject<HTMLElement | null>, items: BoardItem[], onDrop: (items: BoardItem[]) => void) {
  const [drag, setDrag] = useState<Drag>();
  const [preview, setPreview] = useState<BoardItem[]>();
  const latest = useRef({ items, preview, onDrop });
  useEffect(() => {
    latest.current = { items, preview, onDrop };
  });

  const end = useCallback((drop: boolean) => {
    const { preview, onDrop } = latest.current;
    if (drop && preview) onDrop(preview);
    setDrag(undefined);
    setPreview(undefined);
  }, []);

  useEffect(() => {
    if (!drag) return;
    const onMove = (event: globalThis.PointerEvent) => {
      if (event.pointerId !== drag.pointer || !grid.current) return;
      const { column, row } = steps(grid.current);
      const columns = Math.round((event.clientX - drag.startX) / column);
      const rows = Math.round((event.clientY - drag.startY) / row);
      const { from } = drag;
      const to =
        drag.kind === "move"
          ? { ...from, x: from.x + columns, y: from.y + rows }
          : {
              ...from,
              width: Math.min(from.width + columns, COLUMNS - from.x),
              height: from.height + rows,
            };
      setPreview(place(latest.current.items, drag.id, to));
    };
    const onUp = (event: globalThis.PointerEvent) => event.pointerId === drag.pointer && end(true);
    const onCancel = (event: globalThis.PointerEvent) => event.pointerId === drag.pointer && end(false);
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      event.stopPropagation();
      end(false);
    };
    window.addEventListener("pointermove", onMove);
    window.addEventListener("pointerup", onUp);
    window.addEventListener("pointercancel", onCancel);
    window.addEventListener("keydown", onKeyDown, true);
    return () => {
      window.removeEventListener("pointermove", onMove);
      window.removeEventListener("pointerup", onUp);
      window.removeEventListener("pointercancel", onCancel);
      window.removeEventListener("keydown", onKeyDown, true);
    };
  }, [drag, grid, end]);

  const start = (event: PointerEvent, item: BoardItem, kind: Drag["kind"]) => {
    // Narrow screens show items in order, not at their places.
    if (event.button !== 0 || !grid.current || !window.matchMedia("(min-width: 75rem)").matches) return;
    setDrag({
      id: item.id,
      kind,
      pointer: event.pointerId,
      from: item.place,
      startX: event.clientX,
      startY: event.clientY,
    });
  };
  return { shown: preview ?? items, dragged: drag?.id, start };
}
