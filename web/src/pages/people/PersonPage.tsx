import "../live/live.css";
import "./people.css";
import { Link, useParams, useSearch } from "@tanstack/react-router";
import { type ReactNode, useMemo, useState } from "react";
import {
  type GetPersonResponse,
  type Person,
  type PersonSession,
  type TimelineEvent,
  timestampMs,
} from "../../api/messages.ts";
import { GET_PERSON, GET_TIMELINE, LIST_SESSIONS } from "../../api/methods.ts";
import { copyToClipboard } from "../../lib/download.ts";
import { countryName, formatCount, formatDuration } from "../../lib/format.ts";
import { DAY, dayStart, formatClock, formatDay, formatInstant, toWallClock } from "../../lib/time.ts";
import { useCall } from "../../live/useCall.ts";
import { Page } from "../../shell/Page.tsx";
import { type Search, useView, viewSearch } from "../../shell/view.ts";
import { ageText, strings } from "../../strings.ts";
import { Button, IconButton } from "../../ui/Button.tsx";
import { FixedRows } from "../../ui/FixedRows.tsx";
import { Icon } from "../../ui/icons.tsx";
import { EmptyState, Skeleton, Spinner } from "../../ui/placeholders.tsx";
import { showToast } from "../../ui/toast.ts";
import { writeQuestion } from "../explore/address.ts";
import { seriesOf, type Trend, trendOf } from "../explore/question.ts";
import { formatCondition } from "../live/conditions.ts";
import { EventInspector } from "../live/EventInspector.tsx";
import { colorOf, isFault, type LiveEvent, summaryOf } from "../live/events.ts";
import { textOf } from "../live/json.ts";
import { eventTime } from "../live/texts.ts";
import { useRowHeight } from "../live/useStream.ts";
import { words } from "./strings.ts";
import { type Day, dayStrip, type Session, STRIP_DAYS, type TimelineRow, timelineRows } from "./timeline.ts";
import { usePages } from "./usePages.ts";

const TIMELINE_PAGE = 200;
const SESSIONS = 100;

export default function PersonPage() {
  const { id = "" } = useParams({ strict: false }) as { id?: string };
  const search = useSearch({ strict: false }) as Search;
  const [{ zone }] = useView();
  const { data, failure, refetch } = useCall(GET_PERSON, { id }, { keepPrevious: false });
  const toSearch = (
    <Link to="/people" search={viewSearch(search) as never} className="ui-button">
      {words.toSearch}
    </Link>
  );
  return (
    <Page name={words.person} title={`${id} · ${strings.product}`} uses={["zone"]}>
      {!data?.person && <h2 className="sr-only">{id}</h2>}
      {data?.person ? (
        <div className="person" data-person-page={data.person.id}>
          <About data={data} person={data.person} zone={zone} />
          <Activity key={data.person.id} id={data.person.id} zone={zone} />
        </div>
      ) : failure ? (
        failure.kind === "permanent" && !failure.rejectsPage ? (
          <EmptyState title={words.notFound} action={toSearch}>
            {words.notFoundHint(id)}
          </EmptyState>
        ) : (
          <EmptyState
            title={failure.rejectsPage ? words.denied : words.personFailed}
            action={<Button onClick={() => void refetch()}>{words.retry}</Button>}
          >
            {failure.rejectsPage ? words.deniedHint(failure.reason) : failure.reason}
          </EmptyState>
        )
      ) : (
        <div className="person" role="status">
          <span className="sr-only">{words.loading}</span>
          <Skeleton className="h-72 w-full" />
          <Skeleton className="h-96 w-full" />
        </div>
      )}
    </Page>
  );
}

interface AboutProps {
  data: GetPersonResponse;
  person: Person;
  zone: string;
}

function About({ data, person, zone }: AboutProps) {
  const search = useSearch({ strict: false }) as Search;
  const now = Date.now();
  const { id, isUser, firstSeen, lastSeen, firstCountry, lastCountry, firstDevice, lastDevice } = person;
  const instant = (at: Person["firstSeen"]) => (at ? formatInstant(timestampMs(at), zone, now, false) : words.unknown);
  const change = (from: string, to: string) =>
    to === "" ? words.unknown : from === to || from === "" ? to : words.changed(from, to);
  const country = (code: string) => (code === "" ? "" : countryName(code));
  const most = Number(data.events[0]?.events ?? 1n);
  const where = formatCondition({ field: isUser ? "user_id" : "session_id", operator: "is", value: id });
  const copy = async () => {
    const copied = await copyToClipboard(id);
    showToast({ title: copied ? words.idCopied : words.idNotCopied, type: copied ? undefined : "error" });
  };
  return (
    <div className="person-about">
      <section className="card gap-3">
        <header className="flex items-center gap-2">
          <h2 className="min-w-0 flex-1 text-base font-semibold wrap-anywhere">{id}</h2>
          <span className="rounded-sm border border-line-strong px-1.5 text-xs text-muted">
            {isUser ? words.user : words.session}
          </span>
          <IconButton icon="copy" label={words.copyId} onClick={() => void copy()} />
        </header>
        <dl className="person-facts">
          <Fact name={words.lastSeen}>
            {instant(lastSeen)}
            {lastSeen && <span className="text-muted"> · {words.ago(age(now - timestampMs(lastSeen)))}</span>}
          </Fact>
          <Fact name={words.firstSeen}>{instant(firstSeen)}</Fact>
          <Fact name={words.country}>{change(country(firstCountry), country(lastCountry))}</Fact>
          <Fact name={words.device}>{change(firstDevice, lastDevice)}</Fact>
          <Fact name={words.events}>{formatCount(data.eventCount)}</Fact>
          {isUser && <Fact name={words.sessions}>{formatCount(data.sessionCount)}</Fact>}
        </dl>
        {data.completeSince && (
          <p className="text-warn">{words.completeSince(formatInstant(timestampMs(data.completeSince), zone, now))}</p>
        )}
        <div className="flex flex-wrap gap-2">
          <Link to="/live" search={{ ...viewSearch(search), where, filter: undefined } as never} className="ui-button">
            {words.liveEvents}
          </Link>
          <Link
            to="/explore"
            search={writeQuestion(eventsOf(person), viewSearch(search)) as never}
            className="ui-button"
          >
            {words.explore}
          </Link>
        </div>
      </section>
      <section className="card person-more gap-2">
        <h3 className="text-xs font-medium text-muted">{words.frequent}</h3>
        <ul className="bar-list flex flex-col gap-1">
          {data.events.map(({ eventName, events }) => (
            <li
              key={eventName}
              style={{ "--share": `${Math.max(2, (Number(events) / most) * 100)}%` } as React.CSSProperties}
            >
              <span className={`truncate ${isFault(eventName) ? "text-danger" : ""}`}>{eventName}</span>
              <span className="tabular-nums">{formatCount(events)}</span>
            </li>
          ))}
        </ul>
      </section>
      <section className="card person-more gap-2">
        <h3 className="text-xs font-medium text-muted">{words.traits}</h3>
        {data.traits.length === 0 ? (
          <p className="text-muted">{words.noTraits}</p>
        ) : (
          <dl className="person-facts">
            {data.traits.map(({ name, valueJson, time }) => (
              <Fact
                key={name}
                name={name}
                title={time && words.traitSince(formatInstant(timestampMs(time), zone, now))}
              >
                {textOf(valueJson)}
              </Fact>
            ))}
          </dl>
        )}
      </section>
      {isUser && data.sessionIds.length > 0 && (
        <details className="card person-more">
          <summary className="text-xs font-medium text-muted">{words.linked(Number(data.sessionCount))}</summary>
          <ul className="mt-2 flex flex-col gap-1 font-mono text-xs wrap-anywhere">
            {data.sessionIds.map((session) => (
              <li key={session}>{session}</li>
            ))}
          </ul>
          {data.sessionIds.length < Number(data.sessionCount) && (
            <p className="mt-2 text-muted">{words.linkedRest(data.sessionIds.length, Number(data.sessionCount))}</p>
          )}
        </details>
      )}
    </div>
  );
}

/** Their events over time, by name. */
const eventsOf = ({ id, isUser }: Person): Trend => ({
  ...trendOf([seriesOf("")]),
  by: ["event_name"],
  where: {
    match: "all",
    items: [{ type: "field", not: false, field: isUser ? "user_id" : "session_id", op: "is", values: [id] }],
  },
});

const age = (ms: number): string => (ms < 2 * DAY ? ageText(ms) : `${Math.floor(ms / DAY)} days`);

const Fact = ({ name, title, children }: { name: string; title?: string | undefined; children: ReactNode }) => (
  <>
    <dt className="truncate" title={name}>
      {name}
    </dt>
    <dd title={title}>{children}</dd>
  </>
);

const toSession = (session: PersonSession): Session => ({
  start: session.startTime ? timestampMs(session.startTime) : 0,
  end: session.endTime ? timestampMs(session.endTime) : 0,
  events: Number(session.events),
  device: session.deviceType,
  country: session.countryCode,
  firstPage: session.firstPage,
});

const toEvent = (event: TimelineEvent): LiveEvent => ({
  id: event.eventId,
  name: event.eventName,
  at: event.timestamp ? timestampMs(event.timestamp) : 0,
  receivedAt: 0,
  session: event.sessionId,
  user: event.userId,
  device: event.deviceType,
  country: event.countryCode,
  properties: event.propertiesJson,
});

function Activity({ id, zone }: { id: string; zone: string }) {
  const sessionPages = usePages(LIST_SESSIONS, { id, pageSize: SESSIONS });
  const timeline = usePages(GET_TIMELINE, { id, pageSize: TIMELINE_PAGE });
  const sessions = useMemo(
    () => sessionPages.pages.flatMap((page) => page.sessions).map(toSession),
    [sessionPages.pages],
  );
  const events = useMemo(() => timeline.pages.flatMap((page) => page.events).map(toEvent), [timeline.pages]);
  const complete = !timeline.hasMore;
  const rows = useMemo(() => timelineRows(events, sessions, complete, isFault), [events, sessions, complete]);
  const [opened, setOpened] = useState<LiveEvent>();
  const rowHeight = useRowHeight();
  const now = Date.now();
  return (
    <div className="person-time">
      <DayStrip
        sessions={sessions}
        cut={sessionPages.hasMore}
        zone={zone}
        loading={sessionPages.loading}
        problem={sessionPages.failure?.reason}
      />
      <div className="live-columns">
        <section className="live-list person-timeline" aria-label={words.timelineTitle} data-timeline={events.length}>
          {timeline.loading ? (
            <div className="flex flex-col gap-3 p-3" role="status">
              <span className="sr-only">{words.timelineLoading}</span>
              {["a", "b", "c", "d", "e"].map((key) => (
                <Skeleton key={key} className="h-5 w-full" />
              ))}
            </div>
          ) : timeline.failure && events.length === 0 ? (
            <EmptyState title={words.timelineFailed} action={<Button onClick={timeline.retry}>{words.retry}</Button>}>
              {timeline.failure.reason}
            </EmptyState>
          ) : rows.length === 0 ? (
            <EmptyState title={words.timelineEmpty}>{words.timelineEmptyHint}</EmptyState>
          ) : (
            <FixedRows
              label={words.timeline}
              count={rows.length}
              rowHeight={rowHeight}
              rowKey={(index) => rows[index]?.key ?? index}
              onEnd={() => !timeline.failure && timeline.loadMore()}
              footer={
                <div className="live-foot">
                  {timeline.failure ? (
                    <>
                      <span className="text-warn">{timeline.failure.reason}</span>
                      <Button onClick={timeline.retry}>{words.retry}</Button>
                    </>
                  ) : timeline.loadingMore ? (
                    <Spinner label={words.timelineLoading} />
                  ) : timeline.hasMore ? (
                    <Button onClick={timeline.loadMore}>{words.loadMore}</Button>
                  ) : (
                    words.allLoaded
                  )}
                </div>
              }
            >
              {(index) => {
                const row = rows[index];
                return (
                  row && (
                    <Line
                      row={row}
                      zone={zone}
                      now={now}
                      selected={row.kind === "event" && row.event === opened}
                      onOpen={(event) => setOpened(event === opened ? undefined : event)}
                    />
                  )
                );
              }}
            </FixedRows>
          )}
        </section>
        {opened && (
          <EventInspector event={opened} zone={zone} showPerson={false} onClose={() => setOpened(undefined)} />
        )}
      </div>
    </div>
  );
}

interface LineProps {
  row: TimelineRow;
  zone: string;
  now: number;
  selected: boolean;
  onOpen: (event: LiveEvent) => void;
}

function Line({ row, zone, now, selected, onOpen }: LineProps) {
  if (row.kind === "gap") return <div className="timeline-gap">{words.gap(formatDuration(row.ms))}</div>;
  if (row.kind === "session") {
    const { start, end, events, atLeast, device, country, page, faults } = row;
    const details = [
      end > start ? formatDuration(end - start) : "",
      words.sessionEvents(events, atLeast),
      device === "unknown" ? "" : device,
      country === "ZZ" || country === "" ? "" : countryName(country),
      page,
    ].filter(Boolean);
    return (
      <h3 className="timeline-session" data-session="">
        <span className="tabular-nums">
          {formatDay(start, zone, now)}, {formatClock(start, zone, false)}–{formatClock(end, zone, false)}
        </span>
        {faults > 0 && (
          <span className="live-fault flex items-center gap-1">
            <Icon name="warning" className="size-3.5!" />
            {formatCount(faults)}
            <span className="sr-only">{words.fault}</span>
          </span>
        )}
        <span className="min-w-0 truncate text-muted">{details.join(" · ")}</span>
      </h3>
    );
  }
  const { event } = row;
  const time = eventTime(event.at, zone, now);
  const fault = isFault(event.name);
  return (
    <div className="live-row timeline-grid" data-event={event.name} data-selected={selected || undefined}>
      <button
        type="button"
        data-row-control=""
        className="live-open live-time text-left"
        aria-label={words.openEvent(event.name, time)}
        aria-expanded={selected}
        onClick={() => onOpen(event)}
      >
        {time}
      </button>
      <span className={`live-event live-cell font-medium ${fault ? "live-fault" : ""}`}>
        {fault ? (
          <Icon name="warning" className="size-3.5!" />
        ) : (
          <span className="live-mark" style={{ "--mark": `var(${colorOf(event.name)})` } as React.CSSProperties} />
        )}
        <span className="truncate">{event.name}</span>
        {fault && <span className="sr-only">{words.fault}</span>}
      </span>
      <span className="live-cell live-summary text-muted">{summaryOf(event)}</span>
    </div>
  );
}

interface StripProps {
  sessions: Session[];
  /** Whether there are older sessions. */
  cut: boolean;
  zone: string;
  loading: boolean;
  /** Why they could not be loaded. */
  problem: string | undefined;
}

/** On which of the last days the person was there. */
function DayStrip({ sessions, cut, zone, loading, problem }: StripProps) {
  const days = useMemo((): Day[] => {
    const today = Math.floor(toWallClock(Date.now(), zone) / DAY);
    const starts = Array.from({ length: STRIP_DAYS }, (_, i) => dayStart(today - STRIP_DAYS + 1 + i, zone));
    return dayStrip(sessions, starts);
  }, [sessions, zone]);
  const top = Math.max(1, ...days.map(({ events }) => events));
  const sum = days.reduce((events, day) => events + day.events, 0);
  const active = days.filter(({ events }) => events > 0).length;
  const now = Date.now();
  const oldest = sessions.at(-1)?.start ?? 0;
  const isCut = cut && oldest > (days[0]?.start ?? 0);
  return (
    <section className="card gap-2" aria-label={words.days}>
      <header className="flex flex-wrap items-baseline justify-between gap-x-4">
        <h3 className="text-xs font-medium text-muted">{words.days}</h3>
        <p className={`text-xs ${problem ? "text-warn" : "text-muted"}`}>
          {problem
            ? words.daysFailed(problem)
            : loading
              ? words.loading
              : isCut
                ? words.daysCut
                : words.daysSummary(sum, active)}
        </p>
      </header>
      <div className="strip" role="img" aria-label={words.daysSummary(sum, active)} data-strip={sum}>
        {days.map(({ start, events }) => (
          <span
            key={start}
            data-active={events > 0 || undefined}
            title={words.day(formatDay(start, zone, now), events)}
            style={{ "--height": `${(events / top) * 100}%` } as React.CSSProperties}
          />
        ))}
      </div>
      <div className="flex justify-between text-xs text-muted" aria-hidden="true">
        <span>{formatDay(days[0]?.start ?? now, zone, now)}</span>
        <span>{formatDay(days.at(-1)?.start ?? now, zone, now)}</span>
      </div>
    </section>
  );
}
