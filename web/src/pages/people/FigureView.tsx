import { useEffect, useMemo, useRef, useState } from "react";
import { call } from "../../api/client.ts";
import { toFailure } from "../../api/errors.ts";
import type { Figure } from "../../api/figureAddress.ts";
import type { Init, ListPeopleRequest } from "../../api/messages.ts";
import { LIST_PEOPLE } from "../../api/methods.ts";
import { downloadFile } from "../../lib/download.ts";
import { useParameters, useView } from "../../shell/view.ts";
import { Button } from "../../ui/Button.tsx";
import { EmptyState } from "../../ui/placeholders.tsx";
import { showToast } from "../../ui/toast.ts";
import { figureWords } from "./figureWords.ts";
import { PeopleList, PersonLine } from "./PeopleList.tsx";
import { CSV_PAGE, MAX_CSV_PEOPLE, peopleCsv } from "./peopleCsv.ts";
import { words } from "./strings.ts";
import { usePages } from "./usePages.ts";

/** The people that a figure counts: as many as the figure says. */
export function FigureView({ figure }: { figure: Figure }) {
  const [{ zone }] = useView();
  const [, setSearch] = useParameters();
  const list = usePages(LIST_PEOPLE, { figure, pageSize: 500 } as Init<ListPeopleRequest>);
  const people = list.pages.flatMap((page) => page.people);
  const total = Number(list.pages[0]?.total ?? 0n);
  const now = Date.now();
  const { people: what, details } = useMemo(() => figureWords(figure, zone, Date.now()), [figure, zone]);
  const countsEvents = figure.case === "trend";
  const group = figure.case === "funnel" ? (figure.value.query?.groupBy ?? "") : "";
  const isPerson = group === "" || group === "visitor" || group === "session";
  const loaded = list.pages.length > 0;
  return (
    <div className="live">
      <header className="flex flex-wrap items-start gap-x-4 gap-y-2">
        <div className="min-w-0 flex-1">
          <h2 className="text-base font-semibold" data-figure={loaded ? total : ""}>
            {loaded ? words.countOf(total, what) : what.charAt(0).toUpperCase() + what.slice(1)}
          </h2>
          <p className="text-muted">{details.join(" · ")}</p>
        </div>
        <Button kind="quiet" onClick={() => setSearch({ figure: undefined })}>
          {words.toSearch}
        </Button>
        {total > 0 && <CsvButton figure={figure} withEvents={countsEvents} name={what} />}
      </header>
      <PeopleList
        label={loaded ? words.countOf(total, what) : what}
        loading={list.loading}
        failure={list.failure}
        count={people.length}
        empty={<EmptyState title={words.noneOf(what)}>{words.noneOfHint}</EmptyState>}
        eventsLabel={countsEvents ? words.columns.figureEvents : words.columns.events}
        row={(index) => {
          const person = people[index];
          return (
            person && (
              <PersonLine
                id={person.id}
                events={countsEvents ? person.events : undefined}
                isPerson={isPerson}
                zone={zone}
                now={now}
              />
            )
          );
        }}
        rowKey={(index) => people[index]?.id ?? index}
        hasMore={list.hasMore}
        loadingMore={list.loadingMore}
        onMore={list.loadMore}
        onRetry={list.retry}
      />
    </div>
  );
}

interface CsvProps {
  figure: Figure;
  withEvents: boolean;
  name: string;
}

function CsvButton({ figure, withEvents, name }: CsvProps) {
  const [progress, setProgress] = useState<{ count: number; total: number }>();
  const running = useRef<AbortController>(undefined);
  useEffect(() => () => running.current?.abort(), []);

  async function save() {
    const abort = new AbortController();
    running.current = abort;
    setProgress({ count: 0, total: 0 });
    try {
      const read = (pageToken: string) =>
        call(LIST_PEOPLE, { figure, pageSize: CSV_PAGE, pageToken } as Init<ListPeopleRequest>, abort.signal);
      const { text, count, total } = await peopleCsv(read, withEvents, (done, all) =>
        setProgress({ count: done, total: all }),
      );
      downloadFile(`${name.replaceAll(/[^\w.-]+/g, "-")}.csv`, new Blob([text], { type: "text/csv" }));
      showToast({ title: count < total ? words.csvCut(count, total) : words.csvDone(count) });
    } catch (error) {
      if (!abort.signal.aborted) {
        showToast({ title: words.csvFailed, description: toFailure(error).reason, type: "error" });
      }
    } finally {
      if (!abort.signal.aborted) setProgress(undefined);
    }
  }

  if (!progress) {
    return (
      <Button title={words.csvHint(MAX_CSV_PEOPLE)} onClick={() => void save()}>
        {words.csv}
      </Button>
    );
  }
  return (
    <span className="flex items-center gap-3">
      <span role="status" className="text-muted tabular-nums">
        {words.csvProgress(progress.count, Math.min(progress.total, MAX_CSV_PEOPLE))}
      </span>
      <Button
        onClick={() => {
          running.current?.abort();
          setProgress(undefined);
        }}
      >
        {words.csvCancel}
      </Button>
    </span>
  );
}
