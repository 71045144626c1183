import { type ReactNode, useRef, useState } from "react";
import { sourceName } from "../../api/eventSource.ts";
import { type RejectedEvent, type RejectionCount, timestampMs } from "../../api/messages.ts";
import { LIST_REJECTED_EVENTS } from "../../api/methods.ts";
import { formatCount } from "../../lib/format.ts";
import { useCall } from "../../live/useCall.ts";
import { useParameters, useView } from "../../shell/view.ts";
import { Button } from "../../ui/Button.tsx";
import { FixedRows } from "../../ui/FixedRows.tsx";
import { Icon } from "../../ui/icons.tsx";
import { EmptyState, Skeleton } from "../../ui/placeholders.tsx";
import { readLive, writeLive } from "./address.ts";
import { Inspector } from "./EventInspector.tsx";
import { JsonView } from "./JsonView.tsx";
import { belongsTo, howToFix, type Reason, reasonKey } from "./rejected.ts";
import { words } from "./rejectedStrings.ts";
import { words as liveWords } from "./strings.ts";
import { eventTime, fullEventTime } from "./texts.ts";
import { useRowHeight } from "./useStream.ts";

const REFRESH_MS = 2_000;
const MAX_LISTED = 1_000;

const fieldText = (field: string) => field || words.wholeEvent;

/** Why events were rejected, which ones, and what to do. */
export function RejectedView({ views }: { views: ReactNode }) {
  const [{ zone }] = useView();
  const [search, setSearch] = useParameters();
  const { reason: chosenKey } = readLive(search);
  const [opened, setOpened] = useState<RejectedEvent>();
  const scroller = useRef<HTMLElement>(null);
  const rowHeight = useRowHeight();
  // While a row is open or the list is scrolled, it does not move under the reader.
  const [scrolled, setScrolled] = useState(false);
  const { data, failure, refetch } = useCall(
    LIST_REJECTED_EVENTS,
    { limit: MAX_LISTED },
    { refreshMs: scrolled || opened ? undefined : REFRESH_MS },
  );
  const now = Date.now();
  const counts = data?.counts ?? [];
  const chosen = counts.find((count) => reasonKey(count) === chosenKey);
  const events = (data?.events ?? []).filter((event) => !chosen || belongsTo(event, chosen));
  const choose = (key: string | undefined) => setSearch(writeLive({ reason: key }));

  return (
    <div className="live">
      <h2 className="sr-only">{words.title}</h2>
      <div className="live-tools">
        {views}
        {data && data.total > 0n && (
          <p role="status">
            {words.total(Number(data.total), counts.length)} <span className="text-muted">{words.restart}</span>
          </p>
        )}
        {failure && data && <p className="text-warn">{`${words.failed}: ${failure.reason}`}</p>}
      </div>
      {!data && failure && (
        <EmptyState
          title={failure.rejectsPage ? liveWords.denied : words.failed}
          action={<Button onClick={() => void refetch()}>{liveWords.retry}</Button>}
        >
          {failure.rejectsPage ? liveWords.deniedHint(failure.reason) : failure.reason}
        </EmptyState>
      )}
      {!data && !failure && (
        <div className="flex flex-col gap-3" role="status">
          <span className="sr-only">{words.loading}</span>
          <Skeleton className="h-24 w-full" />
          <Skeleton className="h-48 w-full" />
        </div>
      )}
      {data && data.total === 0n && <EmptyState title={words.none}>{words.noneHint}</EmptyState>}
      {data && data.total > 0n && (
        <div className="live-columns" data-rejected={Number(data.total)}>
          <div className="flex min-w-0 flex-1 flex-col gap-3">
            <Reasons counts={counts} events={data.events} chosen={chosen} zone={zone} now={now} onChoose={choose} />
            <div className="live-list">
              <div className="live-grid rejected-grid live-head" aria-hidden="true">
                <span>{words.columns.time}</span>
                <span>{words.columns.event}</span>
                <span>{words.columns.reason}</span>
                <span className="live-visitor">{words.columns.source}</span>
                <span className="truncate">{words.columns.key}</span>
              </div>
              {events.length === 0 ? (
                <EmptyState
                  title={words.listed(0, 0)}
                  action={<Button onClick={() => choose(undefined)}>{words.all}</Button>}
                >
                  {words.notKept}
                </EmptyState>
              ) : (
                <FixedRows
                  label={words.list}
                  count={events.length}
                  rowHeight={rowHeight}
                  rowKey={(index) => events.length - index}
                  scroller={scroller}
                  onScrolled={(top) => setScrolled(top > 4)}
                  footer={
                    <p className="live-foot">
                      {words.listed(events.length, Number(chosen ? chosen.events : data.total))}
                    </p>
                  }
                >
                  {(index) => {
                    const event = events[index];
                    if (!event) return null;
                    const at = event.time ? timestampMs(event.time) : 0;
                    const time = eventTime(at, zone, now);
                    return (
                      <div
                        className="live-row live-grid rejected-grid"
                        data-selected={opened === event || undefined}
                        data-rejected-row=""
                      >
                        <button
                          type="button"
                          data-row-control=""
                          className="live-open live-time text-left"
                          aria-label={words.open(event.eventName || words.noName, time)}
                          aria-expanded={opened === event}
                          onClick={() => setOpened(opened === event ? undefined : event)}
                        >
                          {time}
                        </button>
                        <span className="live-event live-cell font-medium">
                          {event.eventName || <span className="text-muted">{words.noName}</span>}
                        </span>
                        <span className="live-cell live-summary">
                          <span className="text-danger">{fieldText(event.field)}</span> {event.reason}
                        </span>
                        <span className="live-cell live-visitor text-muted">
                          {event.library || sourceName(event.source)}
                        </span>
                        <span className="live-cell live-country text-muted">{event.keyId || words.noKey}</span>
                      </div>
                    );
                  }}
                </FixedRows>
              )}
            </div>
          </div>
          {opened && <Details event={opened} zone={zone} now={now} onClose={() => setOpened(undefined)} />}
        </div>
      )}
    </div>
  );
}

interface ReasonsProps {
  counts: RejectionCount[];
  /** The last one of a reason says more than its pattern. */
  events: RejectedEvent[];
  chosen: Reason | undefined;
  zone: string;
  now: number;
  onChoose: (key: string | undefined) => void;
}

const MAX_REASONS = 6;

function Reasons({ counts, events, chosen, zone, now, onChoose }: ReasonsProps) {
  const [all, setAll] = useState(false);
  const most = Number(counts[0]?.events ?? 1n);
  const shown = all ? counts : counts.slice(0, MAX_REASONS);
  return (
    <section aria-label={words.reasons} className="card p-2!">
      <ul className="flex max-h-64 flex-col overflow-auto">
        {shown.map((count) => {
          const key = reasonKey(count);
          const isChosen = chosen !== undefined && reasonKey(chosen) === key;
          const reason = events.find((event) => belongsTo(event, count))?.reason ?? count.reason;
          const text = `${fieldText(count.field)} ${reason}`;
          return (
            <li key={key}>
              <button
                type="button"
                className="reason"
                aria-pressed={isChosen}
                style={{ "--share": `${Math.max(1, (Number(count.events) / most) * 100)}%` } as React.CSSProperties}
                onClick={() => onChoose(isChosen ? undefined : key)}
              >
                <span className="reason-count">{formatCount(count.events)}</span>{" "}
                <span className="reason-text" title={text}>
                  <span className="text-danger">{fieldText(count.field)}</span> {reason}
                </span>
                <span className="max-w-56 flex-none truncate text-muted max-sm:hidden">
                  {count.libraries.join(", ") || sourceName(count.source)}
                </span>
                <span className="flex-none text-muted tabular-nums">
                  {count.lastAt &&
                    words.since(
                      eventTime(timestampMs(count.firstAt ?? count.lastAt), zone, now),
                      eventTime(timestampMs(count.lastAt), zone, now),
                    )}
                </span>
                {isChosen && <Icon name="check" className="text-accent" />}
              </button>
            </li>
          );
        })}
      </ul>
      {counts.length > MAX_REASONS && (
        <Button kind="quiet" className="self-start" aria-expanded={all} onClick={() => setAll(!all)}>
          {all ? words.fewerReasons : words.moreReasons(counts.length - MAX_REASONS)}
        </Button>
      )}
    </section>
  );
}

interface DetailsProps {
  event: RejectedEvent;
  zone: string;
  now: number;
  onClose: () => void;
}

function Details({ event, zone, now, onClose }: DetailsProps) {
  const { field, reason, eventName, source, keyId, payload, time, library } = event;
  const fix = howToFix({ field, reason });
  return (
    <Inspector title={eventName || words.inspector} onClose={onClose}>
      <p className="text-muted">
        <span className="text-ink">{time && fullEventTime(timestampMs(time), zone, now)}</span>
        {`. ${words.sentBy(library, sourceName(source), keyId)}`}
      </p>
      <section className="flex flex-col gap-1">
        <h3 className="text-xs font-medium text-muted">{words.why}</h3>
        <p className="wrap-anywhere">
          <code className="font-mono text-danger">{fieldText(field)}</code> {reason}
        </p>
      </section>
      <section className="flex flex-col gap-1" data-fix="">
        <h3 className="text-xs font-medium text-muted">{words.fix}</h3>
        <p>{fix.text}</p>
        <p className="text-muted">
          {words.docs(fix.docs)} ·{" "}
          <a className="underline" href={new URL("api/docs", document.baseURI).href}>
            {words.api}
          </a>
        </p>
      </section>
      <section className="flex flex-col gap-2">
        <h3 className="text-xs font-medium text-muted">{words.payload}</h3>
        {payload === "" ? (
          <p className="text-muted">{words.noPayload}</p>
        ) : (
          <JsonView json={payload} label={words.payload} />
        )}
      </section>
    </Inspector>
  );
}
