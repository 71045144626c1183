import { cellFormat } from "../frame/cellText.ts";
import { isNumeric, shownColumns } from "../frame/columns.ts";
import { withComparedColumns } from "../frame/compared.ts";
import type { Cell, Frame } from "../frame/frame.ts";
import { isInlineUnit } from "../lib/format.ts";

export interface TableColumnView {
  name: string;
  label: string;
  numeric: boolean;
  /** Whether the values are those of a dimension. */
  dimension: boolean;
  values: Cell[];
  format: (cell: Cell | undefined) => string;
  /** In pixels. Fixed, so that columns do not move while rows scroll by. */
  width: number;
}

const SAMPLED_ROWS = 300;
const CHARACTER_WIDTH = 7.5;
const CELL_PADDING = 22;
const MIN_WIDTH = 56;
const MAX_WIDTH = 420;

/** Columns with widths for the texts of rows that are spread over the whole table. */
export function tableColumns(result: Frame): TableColumnView[] {
  const frame = withComparedColumns(result);
  const step = Math.max(1, Math.floor(frame.rows / SAMPLED_ROWS));
  return shownColumns(frame).map((column) => {
    const format = cellFormat(column, frame.context);
    const named = column.label.toLowerCase().includes(column.unit.toLowerCase());
    const label =
      column.unit && !named && !isInlineUnit(column.unit) ? `${column.label} (${column.unit})` : column.label;
    let longest = label.length;
    for (let row = 0; row < frame.rows; row += step) longest = Math.max(longest, format(column.values[row]).length);
    const width = Math.min(MAX_WIDTH, Math.max(MIN_WIDTH, Math.ceil(longest * CHARACTER_WIDTH) + CELL_PADDING));
    const { name, values } = column;
    const dimension = column.role === "dimension" && column.type === "text";
    return { name, label, numeric: isNumeric(column), dimension, values, format, width };
  });
}
