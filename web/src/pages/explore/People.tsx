// The people behind a figure.

import { Link, useSearch } from "@tanstack/react-router";
import { useEffect, useMemo, useState } from "react";
import { call } from "../../api/client.ts";
import { type Failure, toFailure } from "../../api/errors.ts";
import { exploreRequest } from "../../api/explore.ts";
import { encodeFigure, type FigureInit } from "../../api/figureAddress.ts";
import type { Init, ListPeopleRequest, PersonSummary } from "../../api/messages.ts";
import { LIST_PEOPLE } from "../../api/methods.ts";
import { toTimestamp } from "../../api/time.ts";
import type { Pick } from "../../frame/pick.ts";
import type { ExploreQuery } from "../../query/query.ts";
import { type Search, viewSearch } from "../../shell/view.ts";
import { Button } from "../../ui/Button.tsx";
import { Dialog } from "../../ui/Dialog.tsx";
import { Spinner } from "../../ui/placeholders.tsx";
import { words } from "./strings.ts";
import type { Answer } from "./useAnswer.tsx";

interface Props {
  pick: Pick;
  label: string;
  answer: Answer;
  onClose: () => void;
}

const at = (time: number | undefined) => (time === undefined ? undefined : toTimestamp(time));

/** Undefined if the figure has no people: paths. */
function peopleRequest(query: ExploreQuery, pick: Pick): Init<ListPeopleRequest> | undefined {
  const request = exploreRequest(query);
  if (request.case === "trend" && pick.kind === "trend") {
    const { series, breakdown, isOther, bucket } = pick;
    const value = { query: request.value, series, breakdown, isOther, bucket: at(bucket) };
    return { figure: { case: "trend", value } };
  }
  if (request.case === "funnel" && pick.kind === "funnel") {
    const { step, dropped, breakdown, bucket } = pick;
    return {
      figure: { case: "funnel", value: { query: request.value, step, dropped, breakdown, bucket: at(bucket) } },
    };
  }
  if (request.case === "retention" && pick.kind === "retention") {
    const { cohort, period, dropped, breakdown } = pick;
    const value = { query: request.value, cohort: at(cohort), period, dropped, breakdown };
    return { figure: { case: "retention", value } };
  }
  return undefined;
}

interface Listed {
  people: PersonSummary[];
  total: number;
  next: string;
}

export function People({ pick, label, answer, onClose }: Props) {
  const search = useSearch({ strict: false }) as Search;
  // The figure as it was when it was clicked: a moving range would list other people on the next page.
  // biome-ignore lint/correctness/useExhaustiveDependencies: as above
  const request = useMemo(() => peopleRequest(answer.query, pick), []);
  const [listed, setListed] = useState<Listed>();
  const [failure, setFailure] = useState<Failure>();
  const [page, setPage] = useState("");
  useEffect(() => {
    if (!request) return;
    const controller = new AbortController();
    call(LIST_PEOPLE, { ...request, pageToken: page, pageSize: 100 }, controller.signal).then(
      ({ people, total, nextPageToken }) =>
        setListed((before) => ({
          people: page === "" ? people : [...(before?.people ?? []), ...people],
          total: Number(total),
          next: nextPageToken,
        })),
      (error) => !controller.signal.aborted && setFailure(toFailure(error)),
    );
    return () => controller.abort();
  }, [request, page]);
  const counted = listed?.people.some(({ events }) => events > 0n);
  return (
    <Dialog title={listed ? words.peopleOf(label, listed.total) : `${words.people} · ${label}`} onClose={onClose}>
      {failure && <p className="text-danger">{failure.reason}</p>}
      {!listed && !failure && <Spinner />}
      {listed?.people.length === 0 && <p className="text-muted">{words.noPeople}</p>}
      {listed && listed.people.length > 0 && (
        <>
          <ul className="flex flex-col" aria-label={words.people}>
            {listed.people.map(({ id, events }) => (
              <li key={id} className="flex min-h-(--target) items-center justify-between gap-4 border-b border-line">
                <Link
                  to="/people/$id"
                  params={{ id }}
                  search={viewSearch(search) as never}
                  className="min-w-0 truncate font-mono text-sm underline-offset-2 hover:underline"
                >
                  {id}
                </Link>
                {counted && <span className="text-muted">{words.results(Number(events))}</span>}
              </li>
            ))}
          </ul>
          <div className="mt-3 flex flex-wrap gap-2">
            {listed.next !== "" && <Button onClick={() => setPage(listed.next)}>{words.more}</Button>}
            {request && (
              <Link
                to="/people"
                search={{ ...viewSearch(search), figure: encodeFigure(request.figure as FigureInit) } as never}
                className="ui-button"
              >
                {words.openPeople}
              </Link>
            )}
          </div>
        </>
      )}
    </Dialog>
  );
}
