// Places cards in 12 columns without holes: every row is filled.

import type { PanelInfo } from "../../live/protocol.ts";

export const COLUMNS = 12;

/** Columns that a card takes before its row is stretched, by the width of the window. */
const WIDTHS = {
  phone: { small: 6, medium: 12, large: 12 },
  tablet: { small: 3, medium: 6, large: 12 },
  desktop: { small: 2, medium: 4, large: 6 },
  wide: { small: 2, medium: 3, large: 6 },
} as const;

export type Screen = keyof typeof WIDTHS;
export const SCREENS = Object.keys(WIDTHS) as Screen[];
export type Spans = Record<Screen, number>;

export interface Placed {
  panel: PanelInfo;
  spans: Spans;
}

/**
 * Splits widths into the fewest rows, as even as possible: four cards of three columns each go two by two rather than three
 * and one. Minimizes the sum of the squares of the free columns.
 */
export function balancedRows(widths: number[], columns = COLUMNS): number[][] {
  // best[i]: cost of the first i cards, and where the last of their rows begins.
  const best: { rows: number; cost: number; from: number }[] = [{ rows: 0, cost: 0, from: 0 }];
  for (let end = 1; end <= widths.length; end++) {
    let width = 0;
    let found = { rows: Number.POSITIVE_INFINITY, cost: 0, from: 0 };
    for (let from = end - 1; from >= 0; from--) {
      width += widths[from] ?? 0;
      if (width > columns && from < end - 1) break;
      const before = best[from];
      if (!before) break;
      const free = Math.max(0, columns - width);
      const candidate = { rows: before.rows + 1, cost: before.cost + free * free, from };
      if (candidate.rows < found.rows || (candidate.rows === found.rows && candidate.cost < found.cost)) {
        found = candidate;
      }
    }
    best.push(found);
  }
  const rows: number[][] = [];
  for (let end = widths.length; end > 0; ) {
    const from = best[end]?.from ?? 0;
    rows.unshift(widths.slice(from, end));
    end = from;
  }
  return rows;
}

/** Stretches a row to all columns, in proportion. Whole columns; the remainder goes to the last cards. */
export function stretch(row: number[], columns = COLUMNS): number[] {
  const total = row.reduce((sum, width) => sum + width, 0);
  const spans = row.map((width) => Math.max(1, Math.floor((Math.min(width, columns) * columns) / total)));
  let rest = columns - spans.reduce((sum, span) => sum + span, 0);
  for (let index = spans.length - 1; rest > 0; index = index === 0 ? spans.length - 1 : index - 1) {
    spans[index] = (spans[index] ?? 0) + 1;
    rest -= 1;
  }
  return spans;
}

function spansOf(sizes: PanelInfo["size"][], screen: Screen): number[] {
  return balancedRows(sizes.map((size) => WIDTHS[screen][size])).flatMap((row) => stretch(row));
}

export const inOrder = (panels: PanelInfo[]): PanelInfo[] =>
  [...panels].sort((a, b) => a.order - b.order || a.name.localeCompare(b.name, "en"));

/** Single figures first, as a strip, then the others, each in the order of the catalogue. */
export function placePanels(panels: PanelInfo[]): Placed[] {
  const ordered = inOrder(panels);
  const groups = [ordered.filter(({ size }) => size === "small"), ordered.filter(({ size }) => size !== "small")];
  return groups.flatMap((group) => {
    const sizes = group.map(({ size }) => size);
    const spans = new Map(SCREENS.map((screen) => [screen, spansOf(sizes, screen)]));
    return group.map((panel, index) => ({
      panel,
      spans: Object.fromEntries(SCREENS.map((screen) => [screen, spans.get(screen)?.[index] ?? COLUMNS])) as Spans,
    }));
  });
}

/** Figures above the charts, and how many charts fill a screen that nobody scrolls. */
const KIOSK_FIGURES = 6;
const KIOSK_CHARTS = 6;

/** What kiosk mode shows one after the other. */
export function kioskPages(panels: PanelInfo[]): { figures: PanelInfo[]; charts: PanelInfo[]; columns: number }[] {
  const ordered = inOrder(panels);
  const figures = ordered.filter(({ size }) => size === "small").slice(0, KIOSK_FIGURES);
  const charts = ordered.filter((panel) => !figures.includes(panel));
  const count = Math.max(1, Math.ceil(charts.length / KIOSK_CHARTS));
  const perPage = Math.ceil(charts.length / count);
  return Array.from({ length: count }, (_, page) => {
    const shown = charts.slice(page * perPage, (page + 1) * perPage);
    return {
      figures,
      charts: shown,
      columns: shown.length <= 2 ? Math.max(1, shown.length) : shown.length <= 4 ? 2 : 3,
    };
  });
}
