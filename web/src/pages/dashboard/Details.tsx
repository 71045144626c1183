import { Suspense, useMemo, useState } from "react";
import { drawnFrame } from "../../charts/drawnFrame.ts";
import { type RowOrder, sortedRows } from "../../charts/sortedRows.ts";
import { shownColumns } from "../../frame/columns.ts";
import { lazyPart } from "../../lazyPart.ts";
import type { PanelInfo } from "../../live/protocol.ts";
import { isExplore, type Query } from "../../query/query.ts";
import { useLastFrame } from "../../shell/live.ts";
import { Dialog } from "../../ui/Dialog.tsx";
import { Input } from "../../ui/Field.tsx";
import { EmptyState, Spinner } from "../../ui/placeholders.tsx";
import { Select } from "../../ui/Select.tsx";
import { boardStrings as words } from "./strings.ts";

const DataTable = lazyPart(() => import("../../charts/DataTable.tsx"));

/** The parameter of the built-in rankings, and its maximum. */
const LIMIT = { name: "limit", value: "100" };

/** A ranking as a table with all that the server has of it: sorted by any column, and searched. */
export default function Details({ info, query, onClose }: { info: PanelInfo; query: Query; onClose: () => void }) {
  const longer = useMemo((): Query => {
    const hasLimit = info.parameters?.some(({ name }) => name === LIMIT.name) ?? false;
    if (isExplore(query) || !hasLimit || query.parameters?.[LIMIT.name]) return query;
    return { ...query, parameters: { ...query.parameters, [LIMIT.name]: LIMIT.value } };
  }, [info, query]);
  const frame = useLastFrame(longer)?.frame;
  const [order, setOrder] = useState<RowOrder>({ descending: true, search: "" });
  const table = useMemo(() => frame && drawnFrame(info.chart, frame), [info, frame]);
  const sorted = useMemo(() => table && sortedRows(table, order), [table, order]);
  const columns = table ? shownColumns(table) : [];
  const options = [
    { value: "", label: words.ownOrder },
    ...columns.flatMap(({ name, label }) => [
      { value: `${name}:down`, label: words.descending(label) },
      { value: `${name}:up`, label: words.ascending(label) },
    ]),
  ];
  const chosen = order.column === undefined ? "" : `${order.column}:${order.descending ? "down" : "up"}`;
  return (
    <Dialog title={words.detailsOf(info.title)} onClose={onClose} wide>
      <div className="flex min-h-0 flex-1 flex-col gap-3" data-details={sorted?.rows}>
        <div className="flex flex-none flex-wrap gap-2">
          <Input
            type="search"
            className="min-w-40 flex-1"
            aria-label={words.detailsSearch}
            placeholder={words.detailsSearch}
            value={order.search}
            onChange={(event) => setOrder({ ...order, search: event.target.value })}
          />
          <Select
            label={words.sort}
            value={chosen}
            options={options}
            onChange={(value) => {
              const at = value.lastIndexOf(":");
              const column = at < 0 ? undefined : value.slice(0, at);
              setOrder({ search: order.search, column, descending: value.endsWith(":down") });
            }}
          />
        </div>
        {!sorted && <Spinner />}
        {sorted?.rows === 0 && <EmptyState title={words.detailsNone(order.search)} />}
        {sorted && sorted.rows > 0 && (
          <Suspense fallback={<Spinner />}>
            <DataTable frame={sorted} title={info.title} />
          </Suspense>
        )}
      </div>
    </Dialog>
  );
}
