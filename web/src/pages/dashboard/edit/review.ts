// What saving changes, as lines: of the dashboard, and of each item what it was and what it becomes.

import { startRange } from "../../../api/selection.ts";
import { localTimeZone } from "../../../lib/time.ts";
import { rangeTitle } from "../../../query/range.ts";
import { CHARTS, OFFERED_CHARTS } from "../../explore/question.ts";
import { words as exploreWords } from "../../explore/strings.ts";
import type { Board, BoardItem } from "../board/board.ts";
import type { Change, Pair } from "../board/difference.ts";
import { type Known, shownBy, titleOf } from "../board/items.ts";
import { editStrings } from "./strings.ts";

const words = editStrings.review;

export interface ReviewLine {
  field: string;
  /** Undefined if there was none. */
  before?: string;
  /** Undefined if there is none any more. */
  after?: string;
}

export interface Reviewed {
  key: string;
  title: string;
  mark?: "added" | "removed";
  lines: ReviewLine[];
}

/** In the order of the changes: the dashboard itself, then one entry for each item. */
export function review(changes: Change[], known: Known): Reviewed[] {
  const entries = new Map<string, Reviewed>();
  const entry = (key: string, title: string, mark?: Reviewed["mark"]): ReviewLine[] => {
    const found = entries.get(key) ?? { key, title, mark, lines: [] };
    entries.set(key, found);
    return found.lines;
  };
  const add = ([before, after]: Pair, line: (item: BoardItem) => ReviewLine) =>
    entry(`item ${after.id}`, titleOf(after, known)).push(changed(line(before), line(after)));
  const ofDashboard = (line: ReviewLine) => entry("dashboard", words.dashboard).push(line);
  for (const change of changes) {
    switch (change.kind) {
      case "title":
      case "description":
        ofDashboard({ field: words[change.kind], ...present(change) });
        break;
      case "range":
        ofDashboard({ field: words.range, before: rangeText(change.before), after: rangeText(change.after) });
        break;
      case "removed":
        entry(`removed ${change.item.id}`, titleOf(change.item, known), "removed").push(
          ...linesOf(change.item, known).map(({ field, after }) => ({ field, before: after })),
        );
        break;
      case "added":
        entry(`item ${change.item.id}`, titleOf(change.item, known), "added").push(...linesOf(change.item, known));
        break;
      case "renamed":
        add(change.pair, (item) => ({ field: words.title, after: titleOf(item, known) }));
        break;
      case "chart":
        add(change.pair, (item) => chartLine(item, known));
        break;
      case "query":
        add(change.pair, () => ({ field: words.query, after: words.otherQuery }));
        break;
      case "resized":
      case "moved":
        for (const pair of change.pairs) {
          if (change.kind === "resized") add(pair, sizeLine);
          const [{ place: old }, { place }] = pair;
          if (old.x !== place.x || old.y !== place.y) add(pair, positionLine);
        }
    }
  }
  return [...entries.values()];
}

const present = ({ before, after }: { before: string; after: string }) => ({
  before: before || undefined,
  after: after || undefined,
});

const changed = ({ field, after: before }: ReviewLine, { after }: ReviewLine): ReviewLine => ({ field, before, after });

function linesOf(item: BoardItem, known: Known): ReviewLine[] {
  const isQuestion = item.content.case !== "panel" && shownBy(item, known) !== undefined;
  return [...(isQuestion ? [chartLine(item, known)] : []), sizeLine(item), positionLine(item)];
}

const sizeLine = ({ place }: BoardItem): ReviewLine => ({
  field: words.size,
  after: words.sizeText(place.width, place.height),
});

const positionLine = ({ place }: BoardItem): ReviewLine => ({
  field: words.position,
  after: words.positionText(place.x + 1, place.y + 1),
});

const chartLine = (item: BoardItem, known: Known): ReviewLine => ({
  field: words.chart,
  after: chartText(item, known),
});

/** "Bars", and for an insight that keeps its own chart "Bars, as the insight". */
export function chartText(item: BoardItem, known: Known): string | undefined {
  const shown = shownBy(item, known);
  if (!shown || shown.kind === "panel") return undefined;
  const name = exploreWords.charts[CHARTS[shown.chart - 1] ?? OFFERED_CHARTS[shown.kind][0]];
  return shown.insight !== undefined && item.chart === 0 ? words.asInsight(name) : name;
}

function rangeText(range: Board["range"]): string | undefined {
  const start = startRange(range);
  return start && rangeTitle(start, localTimeZone(), Date.now());
}
