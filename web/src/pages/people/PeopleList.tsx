import { Link, useSearch } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { Failure } from "../../api/errors.ts";
import { type Person, timestampMs } from "../../api/messages.ts";
import { countryName, formatCount } from "../../lib/format.ts";
import { type Search, viewSearch } from "../../shell/view.ts";
import { Button } from "../../ui/Button.tsx";
import { FixedRows } from "../../ui/FixedRows.tsx";
import { EmptyState, Skeleton, Spinner } from "../../ui/placeholders.tsx";
import { shortTime } from "../live/texts.ts";
import { useRowHeight } from "../live/useStream.ts";
import { words } from "./strings.ts";
import { usePersonDetails } from "./usePersonDetails.ts";

interface ListProps {
  label: string;
  loading: boolean;
  failure: Failure | undefined;
  count: number;
  empty: ReactNode;
  eventsLabel: string;
  row: (index: number) => ReactNode;
  rowKey: (index: number) => string | number;
  hasMore: boolean;
  loadingMore: boolean;
  onMore: () => void;
  onRetry: () => void;
}

/** A list that loads its pages as they come into sight. */
export function PeopleList(props: ListProps) {
  const { label, loading, failure, count, empty, eventsLabel, row, rowKey, hasMore, loadingMore, onMore, onRetry } =
    props;
  const rowHeight = useRowHeight();
  const { columns } = words;
  if (failure && count === 0) {
    return (
      <div className="live-list">
        <EmptyState
          title={failure.rejectsPage ? words.denied : words.failed}
          action={<Button onClick={onRetry}>{words.retry}</Button>}
        >
          {failure.rejectsPage ? words.deniedHint(failure.reason) : failure.reason}
        </EmptyState>
      </div>
    );
  }
  return (
    <div className="live-list people-list" data-people={count}>
      <div className="people-grid live-head" aria-hidden="true">
        <span>{columns.id}</span>
        <span className="people-wide">{columns.kind}</span>
        <span>{columns.lastSeen}</span>
        <span className="people-wide">{columns.firstSeen}</span>
        <span className="people-country">{columns.country}</span>
        <span className="people-wide">{columns.device}</span>
        <span className="people-number">{eventsLabel}</span>
      </div>
      {loading ? (
        <div className="flex flex-col gap-3 p-3" role="status">
          <span className="sr-only">{words.loading}</span>
          {["a", "b", "c", "d", "e", "f"].map((key) => (
            <Skeleton key={key} className="h-5 w-full" />
          ))}
        </div>
      ) : count === 0 ? (
        empty
      ) : (
        <FixedRows
          label={label}
          count={count}
          rowHeight={rowHeight}
          rowKey={rowKey}
          onEnd={() => !failure && onMore()}
          footer={
            <div className="live-foot">
              {failure ? (
                <>
                  <span className="text-warn">{failure.reason}</span>
                  <Button onClick={onRetry}>{words.retry}</Button>
                </>
              ) : loadingMore ? (
                <Spinner label={words.loadingMore} />
              ) : hasMore ? (
                <Button onClick={onMore}>{words.loadMore}</Button>
              ) : (
                words.endOfList(count)
              )}
            </div>
          }
        >
          {row}
        </FixedRows>
      )}
    </div>
  );
}

interface LineProps {
  id: string;
  /** What a search knows already. */
  person?: Person;
  /** How many events the figure counts; undefined if it counts none. */
  events?: bigint;
  /** Whether the id is a person's: a funnel may count values of a field. */
  isPerson?: boolean;
  zone: string;
  now: number;
}

export function PersonLine({ id, person, events, isPerson = true, zone, now }: LineProps) {
  const search = useSearch({ strict: false }) as Search;
  const { data, failed } = usePersonDetails(id, isPerson && (person === undefined || events === undefined));
  const known = data?.person ?? person;
  const missing = failed ? <span title={words.detailsFailed}>–</span> : "";
  const time = (at: Person["lastSeen"]) => (at ? shortTime(timestampMs(at), zone, now) : missing);
  const count = events ?? data?.eventCount;
  return (
    <div className="live-row people-grid" data-person={id}>
      {isPerson ? (
        <Link
          to="/people/$id"
          params={{ id }}
          search={viewSearch(search) as never}
          data-row-control=""
          className="live-open truncate font-medium"
          aria-label={words.open(id)}
        >
          {id}
        </Link>
      ) : (
        <span className="truncate font-medium">{id}</span>
      )}
      <span className="people-wide text-muted">{known && (known.isUser ? words.user : words.session)}</span>
      <span className="truncate tabular-nums">{time(known?.lastSeen)}</span>
      <span className="people-wide truncate text-muted tabular-nums">{time(known?.firstSeen)}</span>
      <span className="people-country truncate">{known?.lastCountry ? countryName(known.lastCountry) : ""}</span>
      <span className="people-wide truncate text-muted">{known?.lastDevice ?? ""}</span>
      <span className="people-number tabular-nums">{count === undefined ? missing : formatCount(count)}</span>
    </div>
  );
}
