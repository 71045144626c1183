import { figureText } from "../frame/cellText.ts";
import { columnsByRole, shownColumns } from "../frame/columns.ts";
import type { Figure, Frame } from "../frame/frame.ts";
import { formatCompact, isInlineUnit } from "../lib/format.ts";

/** Longer numbers are abbreviated. Up to here they are scaled to the width of the card. */
const MAX_DIGITS = 16;

export interface FigureView {
  text: string;
  /** The exact value, if the text is abbreviated or may be clipped. */
  exact: string | undefined;
}

export function figureView(figure: Figure, frame: Frame): FigureView {
  const exact = figureText(figure, frame);
  const { value, unit, isTime } = figure;
  const isNumber = !isTime && (typeof value === "number" || typeof value === "bigint");
  if (unit === "bytes" || unit === "B") return { text: exact, exact: isNumber ? `${value} bytes` : undefined };
  if (isNumber && !isInlineUnit(unit) && exact.length > MAX_DIGITS) return { text: formatCompact(value), exact };
  return { text: exact, exact: exact.length > MAX_DIGITS ? exact : undefined };
}

/** The figures of a number panel: those of the frame, or the first measure of the first row. */
export function figuresOf(frame: Frame): Figure[] {
  if (frame.figures.length > 0) return frame.figures;
  const column = columnsByRole(frame).measure[0] ?? shownColumns(frame)[0];
  if (!column || frame.rows === 0) return [];
  return [{ label: "", unit: column.unit, value: column.values[0] ?? null, isTime: column.type === "time" }];
}

/** The font size at which a text fits its container beside something of a width in rem: a character is up to 2/3 em wide. */
export const fittingFontSize = (text: string, maxRem: number, besideRem = 0): string => {
  const perCharacter = 1.5 / Math.max(1, text.length);
  const width = besideRem === 0 ? "100cqw" : `(100cqw - ${besideRem}rem)`;
  return `clamp(1rem, ${width} * ${perCharacter.toFixed(3)}, ${maxRem}rem)`;
};
