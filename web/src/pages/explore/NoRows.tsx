// Nothing matches: which filter removes everything.

import { useQueries } from "@tanstack/react-query";
import type { Frame } from "../../frame/frame.ts";
import { spanWords } from "../../frame/words.ts";
import { formatCount } from "../../lib/format.ts";
import { queryClient } from "../../live/useCall.ts";
import { queryKey, type Selection } from "../../query/query.ts";
import type { View } from "../../shell/view.ts";
import { Button } from "../../ui/Button.tsx";
import { EmptyState, Spinner } from "../../ui/placeholders.tsx";
import type { Question } from "./question.ts";
import { words } from "./strings.ts";
import { type Answer, compute, questionQuery } from "./useAnswer.tsx";
import { withoutEach } from "./without.ts";

interface Props {
  question: Question;
  answer: Answer;
  selection: Selection;
  onQuestion: (question: Question) => void;
  onView: (change: Partial<View>) => void;
}

/** How much there is in a result. */
function amount({ detail }: Frame): number {
  switch (detail?.kind) {
    case "trend":
      return detail.lines.reduce((sum, { total }) => sum + (total ?? 0), 0);
    case "funnel":
      return detail.overall.steps[0]?.count ?? 0;
    case "retention":
      return detail.overall.cohorts.reduce((sum, { visitors }) => sum + visitors, 0);
    case "paths":
      return detail.paths;
    default:
      return 0;
  }
}

/** More would keep the server busy. */
const MAX_TRIED = 6;

export function NoRows({ question, answer, selection, onQuestion, onView }: Props) {
  const relaxed = withoutEach(question, selection).slice(0, MAX_TRIED);
  const tried = useQueries(
    {
      queries: relaxed.map((each) => {
        const query = questionQuery(each.question, { ...selection, filters: each.filters });
        return {
          queryKey: ["explore without", queryKey(query)],
          queryFn: ({ signal }: { signal: AbortSignal }) => compute(query, signal),
          staleTime: 60_000,
          structuralSharing: false as const,
        };
      }),
    },
    queryClient(),
  );
  const span = spanWords(answer.frame.context);
  const found = relaxed
    .map((each, index) => ({ ...each, amount: tried[index]?.data ? amount(tried[index].data) : 0 }))
    .filter((each) => each.amount > 0)
    .sort((a, b) => b.amount - a.amount);
  const pending = tried.some(({ isPending }) => isPending);
  return (
    <EmptyState title={words.noRows}>
      <p>{words.noRowsIn(span)}</p>
      {pending && (
        <p className="mt-2 flex items-center justify-center gap-2">
          <Spinner /> {words.searchingFilters}
        </p>
      )}
      <ul className="mt-3 flex flex-col gap-2">
        {found.map((each) => (
          <li key={each.words} className="flex flex-wrap items-center justify-center gap-2">
            <span className="text-ink">
              {words.without(each.words)}: <strong>{formatCount(each.amount)}</strong>
            </span>
            <Button
              className="explore-small"
              onClick={() => {
                if (each.question === question) onView({ filters: each.filters });
                else onQuestion(each.question);
              }}
            >
              {words.remove}
            </Button>
          </li>
        ))}
      </ul>
      {!pending && found.length === 0 && <p className="mt-2">{relaxed.length > 0 ? words.noneEver : words.longer}</p>}
    </EmptyState>
  );
}
