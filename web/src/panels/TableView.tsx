import { cellText, isNumeric, type PlainTable } from "../lib/table.ts";

interface Props {
  table: PlainTable;
  zone: string;
  caption: string;
  /** Index of the column that is also drawn as a bar behind each row. */
  barColumn?: number;
}

/** Scrolls inside its card. It is focusable, because keyboard users can scroll only a focused region. */
export function TableView({ table, zone, caption, barColumn }: Props) {
  const values = barColumn === undefined ? [] : table.rows.map((row) => Number(row[barColumn] ?? 0));
  const largest = Math.max(1, ...values);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrollable region must be reachable by keyboard
    <section className="min-h-0 w-full flex-1 overflow-auto" aria-label={`${caption}, table`} tabIndex={0}>
      <table className="w-full text-sm">
        <caption className="sr-only">{caption}</caption>
        <thead>
          <tr>
            {table.columns.map(({ name, label, kind }) => (
              <th
                key={name}
                scope="col"
                className={`sticky top-0 bg-card px-2 py-1.5 text-xs font-medium text-muted ${isNumeric(kind) ? "text-right" : "text-left"}`}
              >
                {label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {table.rows.map((row, index) => (
            <tr
              // biome-ignore lint/suspicious/noArrayIndexKey: rows are ranked by position and have no other identity
              key={index}
              className="border-t border-line"
              style={
                barColumn === undefined
                  ? undefined
                  : {
                      backgroundImage: "linear-gradient(var(--bar), var(--bar))",
                      backgroundSize: `${(100 * (values[index] ?? 0)) / largest}% 100%`,
                      backgroundRepeat: "no-repeat",
                    }
              }
            >
              {table.columns.map(({ name, kind }, columnIndex) => (
                <td
                  key={name}
                  className={`px-2 py-1.5 ${isNumeric(kind) ? "text-right whitespace-nowrap tabular-nums" : "max-w-64 truncate"}`}
                  title={kind === "text" ? String(row[columnIndex] ?? "") : undefined}
                >
                  {cellText(row[columnIndex] ?? null, kind, zone)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
