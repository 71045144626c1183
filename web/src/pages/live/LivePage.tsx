import "./live.css";
import { Link, useSearch } from "@tanstack/react-router";
import { lazy, Suspense, useCallback, useEffect, useMemo, useState } from "react";
import { LIST_REJECTED_EVENTS } from "../../api/methods.ts";
import { formatDuration } from "../../lib/format.ts";
import { useCall } from "../../live/useCall.ts";
import { useCatalog, useConnection } from "../../shell/live.ts";
import { Page } from "../../shell/Page.tsx";
import { boardSearch, type Search, useParameters, useView } from "../../shell/view.ts";
import { Button, IconButton } from "../../ui/Button.tsx";
import { Icon } from "../../ui/icons.tsx";
import { EmptyState } from "../../ui/placeholders.tsx";
import { SegmentedControl } from "../../ui/SegmentedControl.tsx";
import { type LiveView, readLive, writeLive } from "./address.ts";
import { ConditionBar } from "./ConditionBar.tsx";
import { type Condition, eventFilter } from "./conditions.ts";
import { isTestEvent } from "./events.ts";
import { RejectedView } from "./RejectedView.tsx";
import { RateLine, RateSelect } from "./StreamStatus.tsx";
import { StreamView } from "./StreamView.tsx";
import { type Arrival, OLDER_DAYS } from "./stream.ts";
import { words } from "./strings.ts";
import { conditionWords } from "./texts.ts";
import { useConditions } from "./useConditions.ts";
import { useSnapshot, useStream } from "./useStream.ts";

const GettingStarted = lazy(() => import("../dashboard/gettingStarted/GettingStarted.tsx"));

/** How often the rejected events are counted. */
const REJECTED_REFRESH_MS = 5_000;

export default function LivePage() {
  const [search, setSearch] = useParameters();
  const { show } = readLive(search);
  const counts = useCall(LIST_REJECTED_EVENTS, { limit: 1 }, { refreshMs: REJECTED_REFRESH_MS });
  const total = Number(counts.data?.total ?? 0);
  const views = (
    <SegmentedControl
      label={words.views}
      value={show}
      options={[
        { value: "accepted", text: words.accepted },
        { value: "rejected", text: total > 0 ? words.rejectedCount(total) : words.rejected },
      ]}
      onChange={(view) => setSearch(writeLive({ show: view as LiveView["show"], reason: undefined }))}
    />
  );
  return (
    <Page name={words.title} uses={show === "accepted" ? ["filters", "zone", "pause"] : ["zone"]}>
      {show === "rejected" ? <RejectedView views={views} /> : <AcceptedView views={views} />}
    </Page>
  );
}

function AcceptedView({ views }: { views: React.ReactNode }) {
  const [{ zone, range }] = useView();
  const [search, setSearch] = useParameters();
  const { conditions, filters = [], rejected, add, remove, clear } = useConditions();
  const addOne = useCallback((condition: Condition) => add([condition]), [add]);
  const { rate } = readLive(search);
  const filter = useMemo(() => eventFilter(conditions, filters), [conditions, filters]);
  const stream = useStream(filter, rate);
  const { length, perSecond, firstArrival, testArrival, older } = useSnapshot(stream);
  const { hasEvents } = useConnection();
  const { catalog } = useCatalog();
  const all = [
    ...filters.map(({ dimension, value }): Condition => ({ field: dimension, operator: "is", value })),
    ...conditions,
  ];
  const events = all.filter(({ field, operator }) => field === "event_name" && operator === "is");

  const further =
    older.state === "end" ? (
      <p>{words.older.end(OLDER_DAYS)}</p>
    ) : (
      <Button disabled={older.state === "loading"} onClick={() => void stream.loadOlder()}>
        {older.state === "loading" ? words.older.loading : words.loadEarlier}
      </Button>
    );
  if (hasEvents === false && length === 0 && filter === undefined) {
    return (
      <div data-first-minutes="">
        <Suspense fallback={null}>
          <GettingStarted panels={catalog?.panels ?? []} range={range} zone={zone} />
        </Suspense>
      </div>
    );
  }
  return (
    <div className="live">
      <h2 className="sr-only">{words.acceptedTitle}</h2>
      <div className="live-tools">
        {views}
        <ConditionBar conditions={conditions} events={events.map(({ value }) => value)} onAdd={add} onRemove={remove} />
        <span className="ml-auto" />
        <RateLine perSecond={perSecond} />
        <RateSelect rate={rate} onChange={(value) => setSearch(writeLive({ rate: value }))} />
      </div>
      {rejected.length > 0 && (
        <p role="status" className="text-warn">
          {words.rejectedConditions(rejected)}
        </p>
      )}
      <ArrivalNote first={firstArrival} test={testArrival} isEmpty={hasEvents === false} />
      <StreamView
        stream={stream}
        zone={zone}
        onFilter={addOne}
        isTest={isTestEvent}
        empty={
          all.length > 0 ? (
            <EmptyState
              title={words.noMatch}
              action={
                <div className="flex flex-wrap justify-center gap-2">
                  <Button onClick={clear}>{words.removeConditions}</Button>
                  {further}
                </div>
              }
            >
              {words.noMatchHint(all.map(conditionWords).join(", "))}
            </EmptyState>
          ) : (
            <EmptyState title={words.none} action={further}>
              {words.noneHint}
            </EmptyState>
          )
        }
      />
    </div>
  );
}

interface ArrivalProps {
  first: Arrival | undefined;
  test: Arrival | undefined;
  /** Whether the server has no events. */
  isEmpty: boolean;
}

/** The first event of a new server, and the reader's own test event, with the time that they took. */
function ArrivalNote({ first, test, isEmpty }: ArrivalProps) {
  const search = useSearch({ strict: false }) as Search;
  const { clockOffsetMs } = useConnection().state;
  const [wasEmpty, setWasEmpty] = useState(isEmpty);
  const [dismissed, setDismissed] = useState<Arrival>();
  useEffect(() => {
    if (isEmpty) setWasEmpty(true);
  }, [isEmpty]);
  const arrival = test ?? (wasEmpty ? first : undefined);
  if (!arrival || arrival === dismissed) return null;
  const latency = formatDuration(Math.max(0, arrival.arrivedAt + clockOffsetMs - arrival.event.receivedAt));
  return (
    <div role="status" className="shell-note mb-0! border-accent" data-arrival="">
      <Icon name="check" className="text-accent" />
      <p className="min-w-0 flex-1">
        {wasEmpty && <strong>{words.firstEvent.title}. </strong>}
        {arrival === test ? words.firstEvent.test(latency) : words.firstEvent.detail(arrival.event.name, latency)}
      </p>
      {wasEmpty && (
        <Link to="/" search={boardSearch(search) as never} className="ui-button">
          {words.firstEvent.dashboard}
        </Link>
      )}
      <IconButton icon="close" label={words.firstEvent.dismiss} onClick={() => setDismissed(arrival)} />
    </div>
  );
}
