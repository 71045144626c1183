// Rows of 12 columns without holes.

export const COLUMNS = 12;

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

export const inOrder = <P extends { order: number; name: string }>(panels: P[]): P[] =>
  [...panels].sort((a, b) => a.order - b.order || a.name.localeCompare(b.name, "en"));
