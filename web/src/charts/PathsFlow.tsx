// Paths as columns with flows between them. Each node is a button: it shows what came before and after it.

import { type ReactNode, useMemo, useState } from "react";
import type { PathsDetail } from "../frame/detail.ts";
import { formatCount } from "../lib/format.ts";
import { bandPath, type FlowLink, type FlowNode, type FlowShape, toFlow } from "./flowShape.ts";
import { shortDuration } from "./histogramShape.ts";
import { percentText } from "./retentionShape.ts";
import { strings } from "./strings.ts";

const words = strings.paths;

/** Width of a node, in percent of the drawing. */
const NODE = 1;
/** Narrower columns have no room for names: the drawing scrolls instead. */
const COLUMN_PX = 136;
const HEIGHT_PX = 400;

function nameOf({ kind, name, merged }: FlowNode, before: boolean): string {
  if (kind === "end") return before ? words.began : words.ended;
  return kind === "others" ? words.others(merged) : name;
}

const columnName = (index: number, columns: number, before: boolean): string => {
  if (before) return index === columns - 1 ? words.end : words.step(index - columns + 1);
  return index === 0 ? words.start : words.step(index);
};

export default function PathsFlow({ detail, title }: { detail: PathsDetail; title: string }) {
  const flow = useMemo(() => toFlow(detail), [detail]);
  const [selected, setSelected] = useState<string>();
  const [hovered, setHovered] = useState<string>();
  const nodes = flow.columns.flat();
  const chosen = nodes.find(({ id }) => id === selected);
  if (nodes.length === 0) return <p className="my-auto py-4 text-center text-sm text-muted">{words.empty}</p>;
  const active = hovered ?? chosen?.id;
  return (
    <div className="flex min-h-0 w-full flex-1 flex-col gap-2">
      <section
        aria-label={words.name(title)}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrollable region must be reachable by keyboard
        tabIndex={0}
        className="min-h-0 flex-1 overflow-auto [scrollbar-width:thin] in-data-dimmed:opacity-60"
      >
        <div style={{ minWidth: flow.columns.length * COLUMN_PX }}>
          <Headings flow={flow} before={detail.before} />
          <div className="relative" style={{ height: HEIGHT_PX }}>
            <Bands flow={flow} active={active} />
            <ol className="contents">
              {flow.columns.map((column, index) => (
                <li key={columnName(index, flow.columns.length, detail.before)} className="contents">
                  <ul className="contents">
                    {column.map((node) => (
                      <Node
                        key={node.id}
                        node={node}
                        columns={flow.columns.length}
                        total={column.reduce((sum, { count }) => sum + count, 0)}
                        name={nameOf(node, detail.before)}
                        pressed={node.id === chosen?.id}
                        onSelect={() => setSelected(node.id === selected ? undefined : node.id)}
                        onHover={(on) => setHovered(on ? node.id : undefined)}
                      />
                    ))}
                  </ul>
                </li>
              ))}
            </ol>
          </div>
        </div>
      </section>
      <div aria-live="polite" className="text-xs">
        {chosen ? (
          <Neighbours node={chosen} flow={flow} before={detail.before} />
        ) : (
          <p className="text-muted" data-screen-only="">
            {words.choose}
          </p>
        )}
      </div>
      {detail.truncatedVisitors > 0 && (
        <p className="text-xs text-muted">{words.truncated(detail.truncatedVisitors)}</p>
      )}
    </div>
  );
}

function Headings({ flow, before }: { flow: FlowShape; before: boolean }) {
  const names = flow.columns.map((_, index) => columnName(index, flow.columns.length, before));
  return (
    <div aria-hidden="true" className="mb-1 flex text-xs text-muted">
      {names.map((name) => (
        <span key={name} className="flex-1 truncate">
          {name}
        </span>
      ))}
    </div>
  );
}

const leftOf = (column: number, columns: number): number => (100 * column) / columns;

function Bands({ flow: { columns, links }, active }: { flow: FlowShape; active: string | undefined }) {
  const nodes = new Map(columns.flat().map((node) => [node.id, node]));
  return (
    <svg
      aria-hidden="true"
      viewBox="0 0 100 100"
      preserveAspectRatio="none"
      className="absolute inset-0 size-full overflow-visible"
    >
      {links.map((link) => {
        const [from, to] = [nodes.get(link.from), nodes.get(link.to)];
        if (!from || !to) return null;
        const related = active === link.from || active === link.to;
        return (
          <path
            key={link.id}
            d={bandPath(link, leftOf(from.column, columns.length) + NODE, leftOf(to.column, columns.length))}
            fill={`var(${to.kind === "step" ? to.color : "--other"})`}
            fillOpacity={active === undefined ? 0.22 : related ? 0.5 : 0.08}
          />
        );
      })}
      {[...nodes.values()].map((node) => (
        <rect
          key={node.id}
          x={leftOf(node.column, columns.length)}
          y={100 * node.top}
          width={NODE}
          height={Math.max(0.4, 100 * node.height)}
          fill={`var(${node.color})`}
        />
      ))}
    </svg>
  );
}

interface NodeProps {
  node: FlowNode;
  columns: number;
  /** Of the column. */
  total: number;
  name: string;
  pressed: boolean;
  onSelect: () => void;
  onHover: (on: boolean) => void;
}

function Node({ node, columns, total, name, pressed, onSelect, onHover }: NodeProps) {
  const share = percentText(total > 0 ? (100 * node.count) / total : null);
  return (
    <li
      className="absolute flex min-w-0"
      style={{
        left: `calc(${leftOf(node.column, columns) + NODE}% + 4px)`,
        width: `calc(${100 / columns - NODE}% - 12px)`,
        top: `${100 * node.top}%`,
      }}
    >
      <button
        type="button"
        aria-pressed={pressed}
        title={words.node(name, node.count, share)}
        className={`min-w-0 max-w-full rounded-md px-1 text-left text-xs leading-4 hover:bg-hover ${pressed ? "bg-hover ring-1 ring-line-strong" : ""}`}
        onClick={onSelect}
        onMouseEnter={() => onHover(true)}
        onMouseLeave={() => onHover(false)}
        onFocus={() => onHover(true)}
        onBlur={() => onHover(false)}
      >
        <span className={`block truncate ${node.kind === "step" ? "font-medium" : "text-muted"}`}>{name}</span>{" "}
        <span className="block truncate text-muted tabular-nums">
          {formatCount(node.count)} · {share}
        </span>
      </button>
    </li>
  );
}

function Neighbours({ node, flow, before }: { node: FlowNode; flow: FlowShape; before: boolean }) {
  const nodes = new Map(flow.columns.flat().map((each) => [each.id, each]));
  const name = nameOf(node, before);
  const list = (links: FlowLink[], end: (link: FlowLink) => string, title: string, none: string) => (
    <Links
      title={title}
      none={none}
      rows={[...links]
        .sort((a, b) => b.count - a.count)
        .flatMap((link) => {
          const other = nodes.get(end(link));
          if (!other) return [];
          const pct = percentText(node.count > 0 ? (100 * link.count) / node.count : null);
          const time = link.averageMs === null ? "" : words.mean(shortDuration(link.averageMs));
          return { id: link.id, name: nameOf(other, before), count: link.count, pct, time };
        })}
    />
  );
  const incoming = flow.links.filter(({ to }) => to === node.id);
  const outgoing = flow.links.filter(({ from }) => from === node.id);
  return (
    <div className="grid gap-x-6 gap-y-2 sm:grid-cols-2">
      {list(incoming, ({ from }) => from, words.before(name), words.nothingBefore)}
      {node.kind !== "end" && list(outgoing, ({ to }) => to, words.after(name), words.nothingAfter)}
    </div>
  );
}

interface LinkRow {
  id: string;
  name: string;
  count: number;
  pct: string;
  time: string;
}

function Links({ title, none, rows }: { title: string; none: ReactNode; rows: LinkRow[] }) {
  return (
    <div className="min-w-0">
      <p className="mb-1 truncate font-medium">{title}</p>
      {rows.length === 0 && <p className="text-muted">{none}</p>}
      <ul>
        {rows.map(({ id, name, count, pct, time }) => (
          <li key={id} className="flex items-baseline gap-2 leading-5">
            <span className="min-w-0 flex-1 truncate" title={name}>
              {name}
            </span>
            {time && <span className="shrink-0 text-muted">{time}</span>}
            <span className="shrink-0 tabular-nums">{formatCount(count)}</span>
            <span className="w-11 shrink-0 text-right font-medium tabular-nums">{pct}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}
