// What a card says besides its figures.

import { isEmpty } from "../charts/chartForm.ts";
import { asOfWords } from "../frame/words.ts";
import type { LastFrame } from "../live/hooks.tsx";
import type { PanelInfo, QueryState } from "../live/protocol.ts";
import { isPast, rangeWords } from "../query/range.ts";

export type CardBody = "loading" | "failed" | "empty" | "chart";

export interface CardState {
  body: CardBody;
  /** The figures are old: they are dimmed. */
  dimmed: boolean;
  /** Set while the figures are old. */
  asOf: string;
  /** Set while the figures of another range are shown. */
  placeholder: string;
}

export function cardState(info: PanelInfo, drawn: LastFrame | undefined, state: QueryState, now: number): CardState {
  const stale = state.status === "stale";
  if (!drawn)
    return { body: state.status === "failed" ? "failed" : "loading", dimmed: false, asOf: "", placeholder: "" };
  const { frame, query, placeholder } = drawn;
  const { zone, span, computedAt } = frame.context;
  // The figures of a range that has ended stay right.
  const outdated = stale && (span !== "" || !isPast(query.range, computedAt));
  // A rejected query has no figures of its own, and those of another range would look like them.
  if (state.status === "failed") return { body: "failed", dimmed: false, asOf: "", placeholder: "" };
  return {
    body: isEmpty(info.chart, frame) ? "empty" : "chart",
    dimmed: outdated || placeholder,
    asOf: outdated ? `as of ${asOfWords(frame.context, now)}` : "",
    placeholder: placeholder ? `showing ${rangeWords(query.range, zone, computedAt)}` : "",
  };
}

/** The first sentence for everyone; the rest, usually of ClickHouse, for those who can fix it. */
export function splitReason(reason: string): { summary: string; details: string } {
  const text = reason.trim();
  const exception = text.search(/\bCode: \d+|\bDB::Exception/);
  if (exception === 0) {
    // "Code: 62. DB::Exception: Syntax error: failed at … (SYNTAX_ERROR) (version …)"
    const plain = /DB::Exception:\s*(.+?)(?::\s|\.\s|\s\(|$)/s.exec(text)?.[1];
    return { summary: plain ? `${plain}.`.replace("..", ".") : "The panel's query failed.", details: text };
  }
  const end = exception > 0 ? exception : text.search(/\n/);
  if (end <= 0) return { summary: text || "The reason is not known.", details: "" };
  return { summary: text.slice(0, end).replace(/[\s:–-]+$/, ""), details: text.slice(end).trim() };
}
