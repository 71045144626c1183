import "../live/live.css";
import "./people.css";
import { decodeFigure } from "../../api/figureAddress.ts";
import { timestampMs } from "../../api/messages.ts";
import { SEARCH_PEOPLE } from "../../api/methods.ts";
import { formatInstant } from "../../lib/time.ts";
import { Page } from "../../shell/Page.tsx";
import { useParameters, useView } from "../../shell/view.ts";
import { Button } from "../../ui/Button.tsx";
import { EmptyState } from "../../ui/placeholders.tsx";
import { readPeople, type Wanted, writeWanted } from "./address.ts";
import { FigureView } from "./FigureView.tsx";
import { PeopleList, PersonLine } from "./PeopleList.tsx";
import { SearchForm } from "./SearchForm.tsx";
import { words } from "./strings.ts";
import { usePages } from "./usePages.ts";

export default function PeoplePage() {
  const [search, setSearch] = useParameters();
  const { figure: encoded, ...wanted } = readPeople(search);
  if (encoded !== "") {
    const figure = decodeFigure(encoded);
    return (
      <Page name={words.title} uses={["zone"]}>
        {figure ? (
          <FigureView figure={figure} />
        ) : (
          <>
            <h2 className="sr-only">{words.results}</h2>
            <EmptyState
              title={words.brokenFigure}
              action={<Button onClick={() => setSearch({ figure: undefined })}>{words.toSearch}</Button>}
            >
              {words.brokenFigureHint}
            </EmptyState>
          </>
        )}
      </Page>
    );
  }
  return (
    <Page name={words.title} uses={["zone"]}>
      <SearchView wanted={wanted} onSearch={(next) => setSearch(writeWanted(next))} />
    </Page>
  );
}

const PAGE_SIZE = 100;

function SearchView({ wanted, onSearch }: { wanted: Wanted; onSearch: (wanted: Wanted) => void }) {
  const [{ zone }] = useView();
  const { id, trait, value } = wanted;
  const byTrait = trait !== "" && value !== "";
  const list = usePages(SEARCH_PEOPLE, {
    idPrefix: byTrait ? "" : id,
    traitName: byTrait ? trait : "",
    traitValue: byTrait ? value : "",
    pageSize: PAGE_SIZE,
  });
  const people = list.pages.flatMap((page) => page.people);
  const isEverybody = id === "" && !byTrait;
  const completeSince = list.pages[0]?.completeSince;
  const sessionsOnly = isEverybody && people.length > 0 && !list.hasMore && people.every(({ isUser }) => !isUser);
  const now = Date.now();
  return (
    <div className="live">
      <h2 className="sr-only">{words.results}</h2>
      <SearchForm key={`${id}\n${trait}\n${value}`} wanted={wanted} onSearch={onSearch} />
      {completeSince && (
        <p role="status" className="text-warn">
          {words.completeSince(formatInstant(timestampMs(completeSince), zone, now))}
        </p>
      )}
      {sessionsOnly && (
        <section className="card flex-none! gap-2" data-sessions-only="">
          <h2 className="font-semibold">{words.sessionsOnly}</h2>
          <p className="text-muted">{words.sessionsOnlyHint}</p>
          <pre className="json">{words.sessionsOnlyExample}</pre>
        </section>
      )}
      <PeopleList
        label={words.results}
        loading={list.loading}
        failure={list.failure}
        count={people.length}
        onRetry={list.retry}
        empty={
          isEverybody ? (
            <EmptyState title={words.none}>{words.noneHint}</EmptyState>
          ) : (
            <EmptyState
              title={words.noMatch}
              action={<Button onClick={() => onSearch({ id: "", trait: "", value: "" })}>{words.clear}</Button>}
            >
              {byTrait ? words.noMatchTrait(trait, value) : words.noMatchId(id)}
            </EmptyState>
          )
        }
        eventsLabel={words.columns.events}
        row={(index) => {
          const person = people[index];
          return person && <PersonLine id={person.id} person={person} zone={zone} now={now} />;
        }}
        rowKey={(index) => people[index]?.id ?? index}
        hasMore={list.hasMore}
        loadingMore={list.loadingMore}
        onMore={list.loadMore}
      />
    </div>
  );
}
