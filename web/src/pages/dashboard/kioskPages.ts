// The screenfuls of a wall display.

/** Figures above the charts, and how many charts fill a screen that nobody scrolls. */
const KIOSK_FIGURES = 6;
const KIOSK_CHARTS = 6;

/** What a wall display shows one after the other. */
export function kioskPages<C extends { as: "figure" | "card" }>(
  cells: C[],
): { figures: C[]; charts: C[]; columns: number }[] {
  const figures = cells.filter((cell) => cell.as === "figure").slice(0, KIOSK_FIGURES);
  const charts = cells.filter((cell) => cell.as === "card");
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
