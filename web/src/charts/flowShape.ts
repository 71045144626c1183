// Paths as columns of nodes with flows between them. Small nodes of a column are together in one.

import { colorsByValue, OTHER_COLOR } from "../frame/colors.ts";
import type { PathsDetail, PathTransition } from "../frame/detail.ts";

/** Nodes of a column, without the end of the visit and the rest. */
export const MAX_NODES = 6;

export type NodeKind = "step" | "end" | "others";

export interface FlowNode {
  id: string;
  /** From 0. */
  column: number;
  kind: NodeKind;
  name: string;
  count: number;
  /** How many names are together in it. */
  merged: number;
  /** A CSS variable. */
  color: string;
  /** From the top, and height, as parts of the height of the drawing. */
  top: number;
  height: number;
}

export interface FlowLink {
  id: string;
  from: string;
  to: string;
  count: number;
  /** Null if it is not known. */
  averageMs: number | null;
  /** Tops at both ends, and thickness, as parts of the height of the drawing. */
  fromTop: number;
  toTop: number;
  thickness: number;
}

export interface FlowShape {
  columns: FlowNode[][];
  links: FlowLink[];
}

/** The server's name for what is beyond the limit. */
const REST = "(other)";
/** Between nodes, and the least from one node to the next, so that their labels do not overlap. */
const GAP = 0.03;
const MIN_SLOT = 0.088;

interface Draft {
  name: string;
  kind: NodeKind;
  count: number;
  merged: number;
}

const idOf = (column: number, kind: NodeKind, name: string): string =>
  `${column}/${kind}${kind === "step" ? `/${name}` : ""}`;

/** Columns in the order of time: paths that lead to an event have it last. */
export function toFlow({ transitions, before, steps }: PathsDetail): FlowShape {
  const depth = Math.min(steps, Math.max(0, ...transitions.map(({ step }) => step)));
  const columnOf = (position: number) => (before ? depth - position : position);
  const drafts: Map<string, Draft>[] = [];
  for (let position = 0; position <= depth; position += 1) drafts.push(new Map());
  const named = transitions.filter(({ step }) => step <= depth);

  // A name is as large as all that leads to it; the first column as all that leaves it.
  const add = (position: number, name: string, count: number) => {
    const column = drafts[position];
    const draft = column?.get(name);
    if (draft) draft.count += count;
    else column?.set(name, { name, kind: kindOf(name), count, merged: 1 });
  };
  for (const { step, from, to, count } of named) {
    if (step === 1) add(0, from, count);
    add(step, to, count);
  }
  // More may leave a name than is listed to lead to it: those transitions were beyond the limit.
  for (const [position, column] of drafts.entries()) {
    for (const [name, count] of leaving(named, position + 1)) {
      const draft = column.get(name);
      if (draft) draft.count = Math.max(draft.count, count);
      else add(position, name, count);
    }
  }

  const kept = drafts.map(keepLargest);
  const nodeOf = (position: number, name: string): string => {
    const kind = kept[position]?.has(name) ? kindOf(name) : kindOf(name) === "end" ? "end" : "others";
    return idOf(columnOf(position), kind, name);
  };
  const columns: FlowNode[][] = Array.from({ length: depth + 1 }, () => []);
  const nodes = kept.map((column, position) => nodesOf(drafts[position], column));
  const scale = fittingScale(nodes.map((column) => column.map(({ count }) => count)));
  const colors = colorsByValue([
    ...new Set(
      kept.flatMap((column) => [...column.values()].flatMap(({ kind, name }) => (kind === "step" ? name : []))),
    ),
  ]);
  for (const [position, column] of nodes.entries()) {
    let top = 0;
    const index = columnOf(position);
    columns[index] = column.map((draft) => {
      const node: FlowNode = {
        id: idOf(index, draft.kind, draft.name),
        column: index,
        ...draft,
        color: draft.kind === "step" ? (colors.get(draft.name) ?? OTHER_COLOR) : OTHER_COLOR,
        top,
        height: draft.count * scale,
      };
      top += slotOf(node.height);
      return node;
    });
  }
  return { columns, links: linksOf(named, nodeOf, columns, before, scale) };
}

const slotOf = (height: number): number => Math.max(height + GAP, MIN_SLOT);

/** The largest height of one path with which every column fits. */
function fittingScale(columns: number[][]): number {
  let low = 0;
  let high = 1;
  for (let round = 0; round < 40; round += 1) {
    const middle = (low + high) / 2;
    const fits = columns.every((counts) => sum(counts.map((count) => slotOf(count * middle))) - GAP <= 1);
    if (fits) low = middle;
    else high = middle;
  }
  return low;
}

const kindOf = (name: string): NodeKind => (name === "" ? "end" : name === REST ? "others" : "step");
const sum = (numbers: number[]): number => numbers.reduce((total, each) => total + each, 0);

function leaving(transitions: PathTransition[], step: number): Map<string, number> {
  const counts = new Map<string, number>();
  for (const each of transitions) {
    if (each.step === step) counts.set(each.from, (counts.get(each.from) ?? 0) + each.count);
  }
  return counts;
}

/** The names with nodes of their own. One more name needs no node of the others. */
function keepLargest(column: Map<string, Draft>): Map<string, Draft> {
  const steps = [...column.values()].filter(({ kind }) => kind === "step").sort(byCount);
  const shown = steps.length <= MAX_NODES + 1 && !column.has(REST) ? steps : steps.slice(0, MAX_NODES);
  return new Map(shown.map((draft) => [draft.name, draft]));
}

const byCount = (a: Draft, b: Draft): number => b.count - a.count || (a.name < b.name ? -1 : 1);

/** The kept names, then the others together, then the end of the visit. */
function nodesOf(all: Map<string, Draft> | undefined, kept: Map<string, Draft>): Draft[] {
  const nodes = [...kept.values()];
  const rest = [...(all?.values() ?? [])].filter(({ name, kind }) => kind !== "end" && !kept.has(name));
  if (rest.length > 0) {
    const merged = rest.filter(({ kind }) => kind === "step").length;
    nodes.push({ name: REST, kind: "others", count: sum(rest.map(({ count }) => count)), merged });
  }
  const end = all?.get("");
  return end ? [...nodes, end] : nodes;
}

function linksOf(
  transitions: PathTransition[],
  nodeOf: (position: number, name: string) => string,
  columns: FlowNode[][],
  before: boolean,
  scale: number,
): FlowLink[] {
  const joined = new Map<string, { from: string; to: string; count: number; ms: number; timed: number }>();
  for (const { step, from, to, count, averageMs } of transitions) {
    const near = nodeOf(step - 1, from);
    const far = nodeOf(step, to);
    const [source, target] = before ? [far, near] : [near, far];
    const id = `${source} ${target}`;
    const link = joined.get(id) ?? { from: source, to: target, count: 0, ms: 0, timed: 0 };
    link.count += count;
    if (averageMs !== null) {
      link.ms += averageMs * count;
      link.timed += count;
    }
    joined.set(id, link);
  }
  const order = new Map(columns.flatMap((nodes) => nodes.map((node, index) => [node.id, { node, index }] as const)));
  const at = (id: string) => order.get(id)?.index ?? 0;
  const links = [...joined].sort(([, a], [, b]) => at(a.from) - at(b.from) || at(a.to) - at(b.to));
  const used = { out: new Map<string, number>(), in: new Map<string, number>() };
  const take = (side: Map<string, number>, id: string, thickness: number): number => {
    const offset = side.get(id) ?? 0;
    side.set(id, offset + thickness);
    return (order.get(id)?.node.top ?? 0) + offset;
  };
  return links.map(([id, { from, to, count, ms, timed }]) => {
    const thickness = count * scale;
    return {
      id,
      from,
      to,
      count,
      averageMs: timed > 0 ? ms / timed : null,
      fromTop: take(used.out, from, thickness),
      toTop: take(used.in, to, thickness),
      thickness,
    };
  });
}

/** A band between two nodes, in a drawing of 100 by 100. `x1` is the right edge of the one, `x2` the left edge of the other. */
export function bandPath({ fromTop, toTop, thickness }: FlowLink, x1: number, x2: number): string {
  const middle = (x1 + x2) / 2;
  const [a, b, h] = [100 * fromTop, 100 * toTop, 100 * thickness].map((value) => Number(value.toFixed(3)));
  if (a === undefined || b === undefined || h === undefined) return "";
  return `M${x1} ${a}C${middle} ${a} ${middle} ${b} ${x2} ${b}V${b + h}C${middle} ${b + h} ${middle} ${a + h} ${x1} ${a + h}Z`;
}
