import { useMemo, useState } from "react";
import { Button } from "../../../ui/Button.tsx";
import { Dialog } from "../../../ui/Dialog.tsx";
import { Input } from "../../../ui/Field.tsx";
import { EmptyState } from "../../../ui/placeholders.tsx";
import type { ItemKind } from "../board/arrange.ts";
import { addItem, type Board, type Content, contentKey, SIZES } from "../board/board.ts";
import { type Known, kindOf, titleOf } from "../board/items.ts";
import { editStrings as words } from "./strings.ts";

interface Props {
  board: Board;
  known: Known;
  onAdd: (board: Board, title: string) => void;
  onClose: () => void;
}

const CHART_SIZES: Record<ItemKind, { width: number; height: number }> = {
  number: SIZES.figure,
  time: SIZES.medium,
  funnel: SIZES.medium,
  list: { width: 4, height: 5 },
  wide: SIZES.large,
  other: SIZES.medium,
};

/** What can be added: every panel and every insight. */
export default function AddItem({ board, known, onAdd, onClose }: Props) {
  const [search, setSearch] = useState("");
  const offered = useMemo(() => {
    const panels = known.catalog.panels.map(({ name }): Content => ({ case: "panel", value: name }));
    const insights = [...(known.insights?.keys() ?? [])].map((name): Content => ({ case: "insight", value: name }));
    return [...insights, ...panels].map((content) => {
      const item = { id: "", content, title: "", chart: 0 };
      return { content, title: titleOf(item, known), kind: kindOf(item, known), description: describe(content, known) };
    });
  }, [known]);
  const shownKeys = useMemo(() => new Set(board.items.map(({ content }) => contentKey(content))), [board]);
  const wanted = search.trim().toLowerCase();
  const found = offered.filter(
    ({ title, content, description }) =>
      wanted === "" || `${title} ${String(content.value)} ${description}`.toLowerCase().includes(wanted),
  );
  return (
    <Dialog title={words.addTitle} onClose={onClose}>
      <div className="flex min-h-0 flex-col gap-3">
        <Input
          type="search"
          aria-label={words.addSearch}
          placeholder={words.addSearch}
          value={search}
          onChange={(event) => setSearch(event.target.value)}
        />
        {found.length === 0 && <EmptyState title={words.addNone} />}
        <ul className="flex min-h-0 flex-col overflow-y-auto" data-offered={found.length}>
          {found.map(({ content, title, kind, description }) => (
            <li
              key={contentKey(content)}
              className="flex flex-wrap items-center gap-x-3 gap-y-1 border-b border-line py-2 last:border-0"
            >
              <div className="min-w-0 flex-1 basis-48">
                <p className="font-medium">
                  {title}{" "}
                  <span className="text-xs font-normal text-muted">
                    {content.case === "insight" ? words.addInsight : words.addPanel}
                    {shownKeys.has(contentKey(content)) && `, ${words.shownAlready}`}
                  </span>
                </p>
                <p className="truncate text-xs text-muted">{description}</p>
              </div>
              {kind !== "list" && kind !== "wide" && kind !== "other" && (
                <Button
                  aria-label={`${title}: ${words.addAsFigure}`}
                  onClick={() => onAdd(addItem(board, { content }, SIZES.figure), title)}
                >
                  {words.addAsFigure}
                </Button>
              )}
              {kind !== "number" && (
                <Button
                  aria-label={`${title}: ${words.addAsChart}`}
                  onClick={() => onAdd(addItem(board, { content }, CHART_SIZES[kind]), title)}
                >
                  {words.addAsChart}
                </Button>
              )}
            </li>
          ))}
        </ul>
      </div>
    </Dialog>
  );
}

function describe({ case: kind, value }: Content, { catalog, insights }: Known): string {
  if (kind === "panel") return catalog.panels.find(({ name }) => name === value)?.description ?? "";
  if (kind === "insight") return insights?.get(value)?.description ?? "";
  return "";
}
