// The result of the question: computed at once, then kept up to date by the stream of the page.

import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { call } from "../../api/client.ts";
import { decodeExplore } from "../../api/decodeExplore.ts";
import { type Failure, toFailure } from "../../api/errors.ts";
import { type ExploreRequest, exploration, exploreRequest } from "../../api/explore.ts";
import { QUERY_FUNNEL, QUERY_PATHS, QUERY_RETENTION, QUERY_TREND } from "../../api/methods.ts";
import type { Frame } from "../../frame/frame.ts";
import type { QueryState } from "../../live/protocol.ts";
import { onReachable } from "../../live/reachable.ts";
import { type ExploreQuery, exploreQuery, queryKey, type Selection } from "../../query/query.ts";
import { isPast } from "../../query/range.ts";
import { useQueryState } from "../../shell/live.ts";
import type { Question } from "./question.ts";
import { toQuery } from "./request.ts";

/** A result with the question that it answers: words and axes come from that, not from the builder. */
export interface Answer {
  key: string;
  question: Question;
  query: ExploreQuery;
  frame: Frame;
}

export interface AnswerState {
  /** The newest answer, maybe of the question before. */
  answer?: Answer;
  /** Whether the answer is that of the present question. */
  current: boolean;
  running: boolean;
  startedAt: number;
  cancelled: boolean;
  failure?: Failure;
  /** Why the answer cannot be brought up to date. */
  staleReason?: string;
  /** Whether the stream keeps it up to date. */
  live: boolean;
  cancel: () => void;
  retry: () => void;
  /** Watches the query. To be rendered. */
  watch: { query: ExploreQuery; onState: (state: QueryState) => void } | undefined;
}

/** The question as a query: the selection of the page is applied by api/. */
export const questionQuery = (question: Question, selection: Selection): ExploreQuery =>
  exploreQuery(exploration(toQuery(question, { range: selection.range, zone: selection.zone })), selection);

export async function compute(query: ExploreQuery, signal?: AbortSignal): Promise<Frame> {
  return decodeExplore(query, await respond(exploreRequest(query), signal));
}

async function respond(request: ExploreRequest, signal?: AbortSignal) {
  switch (request.case) {
    case "trend":
      return { case: "trend" as const, value: await call(QUERY_TREND, request.value, signal) };
    case "funnel":
      return { case: "funnel" as const, value: await call(QUERY_FUNNEL, request.value, signal) };
    case "retention":
      return { case: "retention" as const, value: await call(QUERY_RETENTION, request.value, signal) };
    case "paths":
      return { case: "paths" as const, value: await call(QUERY_PATHS, request.value, signal) };
  }
}

interface State {
  answer?: Answer;
  /** The key of the question that was started last, and how that ended. */
  key: string;
  phase: "running" | "done" | "failed" | "cancelled";
  startedAt: number;
  failure?: Failure;
  staleReason?: string;
}

const IDLE: State = { key: "", phase: "done", startedAt: 0 };

/** Null: there is nothing to compute. */
export function useAnswer(question: Question | null, selection: Selection): AnswerState {
  const query = question && questionQuery(question, selection);
  const key = query ? queryKey(query) : "";
  const latest = useRef({ query, question });
  latest.current = { query, question };
  const [state, setState] = useState<State>(IDLE);
  const [attempt, setAttempt] = useState(0);
  const abort = useRef<AbortController>(undefined);

  // biome-ignore lint/correctness/useExhaustiveDependencies: an equal query is the same one; an attempt repeats it
  useEffect(() => {
    const { query, question } = latest.current;
    if (!query || !question) {
      setState(({ answer }) => ({ ...IDLE, answer }));
      return;
    }
    const controller = new AbortController();
    abort.current = controller;
    setState(({ answer }) => ({ answer, key, phase: "running", startedAt: Date.now() }));
    compute(query, controller.signal).then(
      (frame) => {
        if (controller.signal.aborted) return;
        setState((before) => ({ ...before, answer: { key, question, query, frame }, phase: "done" }));
      },
      (error) => {
        if (controller.signal.aborted) return;
        setState((before) => ({ ...before, phase: "failed", failure: toFailure(error) }));
      },
    );
    return () => controller.abort();
  }, [key, attempt]);

  const own = state.key === key;
  const watched = own && key !== "" && state.phase === "done" && !isPast(selection.range, Date.now());
  const onState = useCallback(
    ({ frame, status, reason }: QueryState) => {
      const { query, question } = latest.current;
      if (!query || !question) return;
      setState((before) => {
        if (before.key !== key || before.phase !== "done") return before;
        const staleReason = status === "stale" || status === "failed" ? reason : undefined;
        const newer = frame && frame.context.computedAt >= (before.answer?.frame.context.computedAt ?? 0);
        if (!newer || frame === before.answer?.frame) {
          return before.staleReason === staleReason ? before : { ...before, staleReason };
        }
        return { ...before, answer: { key, question, query, frame }, staleReason };
      });
    },
    [key],
  );
  // biome-ignore lint/correctness/useExhaustiveDependencies: an equal query is the same one
  const watch = useMemo(() => (watched && query ? { query, onState } : undefined), [watched, key, onState]);

  const cancel = useCallback(() => {
    abort.current?.abort();
    setState((before) => (before.phase === "running" ? { ...before, phase: "cancelled" } : before));
  }, []);
  const retry = useCallback(() => setAttempt((before) => before + 1), []);
  const unreachable = state.failure?.kind === "transient";
  useEffect(() => (unreachable ? onReachable(retry) : undefined), [unreachable, retry]);
  return {
    answer: state.answer,
    current: state.answer?.key === key,
    running: key !== "" && (!own || state.phase === "running"),
    startedAt: own ? state.startedAt : Date.now(),
    cancelled: own && state.phase === "cancelled",
    failure: own ? state.failure : undefined,
    staleReason: own ? state.staleReason : undefined,
    live: watched,
    cancel,
    retry,
    watch,
  };
}

/** Watches a query while it is rendered. */
export function Watch({ query, onState }: { query: ExploreQuery; onState: (state: QueryState) => void }) {
  const state = useQueryState(query);
  useEffect(() => onState(state), [state, onState]);
  return null;
}
