import { type CSSProperties, useMemo } from "react";
import type { Query, Selection } from "../../query/query.ts";
import { useQueryState } from "../../shell/live.ts";
import { type Cell, canBeMain } from "./board/arrange.ts";
import { contentKey } from "./board/board.ts";
import type { Known } from "./board/items.ts";
import { ItemSlot } from "./ItemSlot.tsx";

export interface GridProps {
  cells: Cell[];
  known: Known;
  selection: Selection;
  onEnlarge: (panel: string) => void;
  onChoose?: (cell: Cell) => void;
}

/** The place of a cell for the style sheet, which chooses by the width of the window. */
export const placeStyle = ({ place, phone, tablet }: Pick<Cell, "place" | "phone" | "tablet">): CSSProperties =>
  ({
    "--x": place.x + 1,
    "--y": place.y + 1,
    "--width": place.width,
    "--height": place.height,
    "--phone": phone,
    "--tablet": tablet,
  }) as CSSProperties;

/** Which cells are the only ones with their content. */
export function useAlone(cells: Cell[]): (cell: Cell) => boolean {
  return useMemo(() => {
    const counts = new Map<string, number>();
    for (const { item } of cells) {
      const key = contentKey(item.content);
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    return ({ item }) => counts.get(contentKey(item.content)) === 1;
  }, [cells]);
}

export function BoardGrid({ cells, known, selection, onEnlarge, onChoose }: GridProps) {
  const alone = useAlone(cells);
  const main = cells.find(({ isMain }) => isMain);
  const mainKey = main && contentKey(main.item.content);
  return (
    <div className="board" data-grid>
      {cells.map((cell) => {
        const choosable = cell.as === "figure" && canBeMain(cells, cell);
        return (
          <div
            key={cell.key}
            className="board-cell"
            data-as={cell.as}
            data-kind={cell.kind}
            data-main={cell.isMain ? "" : undefined}
            style={placeStyle(cell)}
          >
            <ItemSlot
              cell={cell}
              known={known}
              selection={selection}
              onEnlarge={onEnlarge}
              onChoose={choosable ? onChoose : undefined}
              chosen={choosable && contentKey(cell.item.content) === mainKey}
              alone={alone(cell)}
            />
          </div>
        );
      })}
    </div>
  );
}

/** Watches a query without drawing it. */
export function Watch({ query }: { query: Query }) {
  useQueryState(query);
  return null;
}
