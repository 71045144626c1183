import { Link, useSearch } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { durationMs, type Health, timestampMs } from "../../api/messages.ts";
import { toSparkline } from "../../charts/sparkline.ts";
import { formatBytes, formatCount, formatDuration, formatPercent } from "../../lib/format.ts";
import { type Search, viewSearch } from "../../shell/view.ts";
import { Button } from "../../ui/Button.tsx";
import type { Forecast } from "./forecast.ts";
import type { Lag, LagMood } from "./lag.ts";
import { strings } from "./strings.ts";
import { rateWords } from "./verdict.ts";

interface Props {
  health: Health;
  /** Per second, over the last minute. */
  rates: (number | null)[];
  rate: number | undefined;
  /** Of the oldest event that has not landed. */
  lag: Lag;
  /** When the disk is full. Undefined if it is not known how large it is. */
  forecast: Forecast | undefined;
  now: number;
  /** Whether the reader sees the list of the dead letters. */
  linkToLetters: boolean;
}

const Card = ({ title, children }: { title: string; children: ReactNode }) => (
  <section aria-label={title} className="card gap-2">
    <h2 className="text-sm font-medium">{title}</h2>
    {children}
  </section>
);

const Figure = ({ value, label }: { value: string; label: string }) => (
  <p className="flex flex-wrap items-baseline gap-x-2">
    <span className="text-2xl font-semibold tracking-tight tabular-nums">{value}</span>
    <span className="text-muted">{label}</span>
  </p>
);

/** In the place of a figure: why there is none. */
const NoFigure = ({ children }: { children: string }) => <p className="text-base font-semibold">{children}</p>;

const Facts = ({ rows }: { rows: [name: string, value: ReactNode, trouble?: boolean][] }) => (
  <dl className="mt-auto grid grid-cols-[auto_minmax(0,1fr)] gap-x-4 gap-y-1 text-xs">
    {rows.map(([name, value, trouble]) => (
      <div key={name} className="contents">
        <dt className="text-muted">{name}</dt>
        <dd className={`min-w-0 text-right break-words tabular-nums ${trouble ? "text-danger" : ""}`}>{value}</dd>
      </div>
    ))}
  </dl>
);

const Problem = ({ text }: { text: string }) => (
  <p className="rounded-lg bg-sunken p-2 text-xs break-words text-danger">{text}</p>
);

export function HealthCards(props: Props) {
  const { health } = props;
  return (
    <div className="grid gap-4 sm:grid-cols-2 xl:grid-cols-3">
      <Ingest {...props} />
      <Fresh {...props} />
      <Storage {...props} />
      <Disk {...props} />
      <DeadLetters {...props} />
      <ClickHouse health={health} />
      {health.kafka && <Kafka kafka={health.kafka} now={props.now} />}
    </div>
  );
}

function Ingest({ health, rates, rate }: Props) {
  const words = strings.ingest;
  const { line, area } = toSparkline(rates);
  const count = formatCount(health.eventsRejected);
  const search = useSearch({ strict: false }) as Search;
  const rejected =
    health.eventsRejected === 0n ? (
      count
    ) : (
      <Link
        to="/live"
        search={{ ...viewSearch(search), show: "rejected" } as never}
        className="underline underline-offset-2 pointer-coarse:inline-flex pointer-coarse:min-h-11 pointer-coarse:items-center"
        aria-label={words.seeRejected(count)}
      >
        {count}
      </Link>
    );
  const uptime = health.uptime && formatDuration(Math.floor(durationMs(health.uptime) / 1000) * 1000);
  const { value, unit } = rateWords(rate ?? 0);
  return (
    <Card title={words.title}>
      {rate === undefined ? <NoFigure>{words.measuring}</NoFigure> : <Figure value={value} label={words.now(unit)} />}
      <svg
        role="img"
        aria-label={words.sparkline}
        viewBox="0 0 100 100"
        preserveAspectRatio="none"
        className="h-10 w-full border-b border-line"
      >
        <path d={area} fill="var(--accent)" fillOpacity={0.15} />
        <path d={line} fill="none" stroke="var(--accent)" strokeWidth={1.5} vectorEffect="non-scaling-stroke" />
      </svg>
      <Facts
        rows={[
          [words.accepted, formatCount(health.eventsAccepted)],
          [words.rejected, rejected, health.eventsRejected > 0n],
          [words.duplicates, formatCount(health.eventsDuplicate)],
        ]}
      />
      <p className="text-xs text-muted">{words.since(uptime)}</p>
    </Card>
  );
}

const LAG_COLORS: Record<LagMood, string> = { none: "", usual: "", late: "text-warn", danger: "text-danger" };

/** How long events take until panels show them, and how long the oldest one has been waiting. */
function Fresh({ health: { freshness, deadLetters }, lag }: Props) {
  const words = strings.freshness;
  const time = (value: NonNullable<typeof freshness>["p50"]) =>
    value ? formatDuration(Math.round(durationMs(value))) : words.unmeasured;
  const alarming = lag.mood === "late" || lag.mood === "danger";
  const mood = [words.moods[lag.mood], alarming ? words.trends[lag.trend] : ""].filter(Boolean).join(", ");
  return (
    <Card title={words.title}>
      {freshness ? <Figure value={time(freshness.p50)} label={words.median} /> : <NoFigure>{words.notYet}</NoFigure>}
      <dl className="mt-auto flex flex-col gap-1 text-xs">
        <div className="flex justify-between gap-4">
          <dt className="text-muted">{words.p99}</dt>
          <dd className="tabular-nums">{time(freshness?.p99)}</dd>
        </div>
        <div className="flex justify-between gap-4" data-lag={lag.mood}>
          <dt className="text-muted">{words.oldest}</dt>
          <dd className={`text-right tabular-nums ${LAG_COLORS[lag.mood]}`}>
            {lag.mood === "none" ? (
              mood
            ) : (
              <>
                {alarming && <span aria-hidden="true">▲ </span>}
                {formatDuration(Math.floor(lag.age / 1_000) * 1_000)}: {mood}
              </>
            )}
          </dd>
        </div>
      </dl>
      {alarming && deadLetters && deadLetters.batches > 0n && (
        <p className="text-xs text-muted">{words.inDeadLetter}</p>
      )}
    </Card>
  );
}

const FORECAST_COLORS = { unknown: "text-muted", good: "", warn: "text-warn", danger: "text-danger" };

/** What is left on the disk, and when it is full. */
function Disk({ health: { storage }, forecast }: Props) {
  const words = strings.disk;
  if (!storage || !forecast) {
    return (
      <Card title={words.title}>
        <p className="text-base font-semibold">{words.unknown}</p>
        <p className="text-xs text-muted">{words.unknownHint}</p>
      </Card>
    );
  }
  const { storedBytes, freeBytes, totalBytes, growthBytesPerDay } = storage;
  const used = totalBytes > 0n ? 100 * (1 - Number(freeBytes) / Number(totalBytes)) : 0;
  const { mood, text, assumed } = forecast;
  const alarming = mood === "warn" || mood === "danger";
  return (
    <Card title={words.title}>
      <Figure value={formatBytes(freeBytes)} label={words.free(formatBytes(totalBytes))} />
      <div
        role="img"
        aria-label={words.used(formatPercent(used))}
        className="h-1.5 w-full overflow-hidden rounded-full bg-sunken"
      >
        <div
          className="h-full min-w-0.5 rounded-full"
          style={{ width: `${used}%`, background: `var(${alarming ? "--warn" : "--c1"})` }}
        />
      </div>
      <p className={`text-sm ${FORECAST_COLORS[mood]}`} data-forecast={mood}>
        {alarming && <span aria-hidden="true">▲ </span>}
        {text}
      </p>
      {assumed && <p className="text-xs text-muted">{assumed}</p>}
      <Facts
        rows={[
          [words.stored, formatBytes(storedBytes)],
          [
            words.growth,
            growthBytesPerDay === undefined ? words.growthUnknown : words.perDay(formatBytes(growthBytesPerDay)),
          ],
        ]}
      />
    </Card>
  );
}

function Storage({ health: { bufferSize, journal, lastFlush }, now }: Props) {
  const words = strings.storage;
  const part = journal && journal.maxBytes > 0n ? (100 * Number(journal.bytes)) / Number(journal.maxBytes) : 0;
  const ago = lastFlush && Math.max(0, Math.floor((now - timestampMs(lastFlush)) / 1000) * 1000);
  return (
    <Card title={words.title}>
      <Figure value={formatCount(bufferSize)} label={words.waiting} />
      {journal && (
        <div aria-hidden="true" className="h-1.5 w-full overflow-hidden rounded-full bg-sunken">
          <div
            className="h-full min-w-0.5 rounded-full"
            style={{ width: `${Math.min(100, part)}%`, background: `var(${part > 80 ? "--warn" : "--c1"})` }}
          />
        </div>
      )}
      {journal?.error && <Problem text={journal.error} />}
      <Facts
        rows={[
          ...(journal
            ? ([
                [words.journal, words.used(formatBytes(journal.bytes), formatBytes(journal.maxBytes))],
                [words.synced, journal.durable ? words.yes : words.no, !journal.durable],
              ] as [string, string, boolean?][])
            : []),
          [words.lastInsert, ago === undefined ? words.never : words.ago(formatDuration(ago))],
        ]}
      />
    </Card>
  );
}

function DeadLetters({ health: { deadLetters }, linkToLetters }: Props) {
  const words = strings.deadLetters;
  if (!deadLetters || (deadLetters.batches === 0n && !deadLetters.error)) {
    return (
      <Card title={words.title}>
        <Figure value="0" label={words.events} />
        <p className="text-xs text-muted">{words.none}</p>
      </Card>
    );
  }
  const { batches, events, refusedBatches, error, lastError } = deadLetters;
  return (
    <Card title={words.title}>
      <Figure value={formatCount(events)} label={`${words.events}, ${words.batches(Number(batches))}`} />
      {error && <Problem text={error} />}
      {refusedBatches > 0n && <p className="text-xs text-warn">{words.refused(Number(refusedBatches))}</p>}
      {lastError && (
        <p className="text-xs break-words text-muted">
          {words.last}: {lastError}
        </p>
      )}
      {linkToLetters && (
        <Button
          className="mt-auto self-start"
          onClick={() => document.getElementById("dead-letters")?.scrollIntoView({ block: "start" })}
        >
          {words.open}
        </Button>
      )}
    </Card>
  );
}

function ClickHouse({ health: { clickhouse, version } }: { health: Health }) {
  const words = strings.clickhouse;
  if (!clickhouse) return null;
  const { reachable, embedded, engineRestarts, engineSandbox, error, problems, replicas } = clickhouse;
  return (
    <Card title={words.title}>
      <p className={`text-base font-semibold ${reachable ? "" : "text-danger"}`}>
        {reachable ? words.reachable : words.unreachable}
      </p>
      {error && <Problem text={error} />}
      {problems.map((problem) => (
        <Problem key={problem} text={problem} />
      ))}
      {replicas.length > 1 && <Replicas replicas={replicas} />}
      <Facts
        rows={[
          [words.kind, embedded ? words.embedded : words.external],
          [words.version, clickhouse.version || words.versionUnknown],
          ...(embedded
            ? ([[words.restarts, formatCount(engineRestarts), engineRestarts > 0n]] as [string, string, boolean][])
            : []),
          ...(engineSandbox ? ([[words.sandbox, engineSandbox]] as [string, string][]) : []),
        ]}
      />
      <p className="text-xs text-muted">{strings.server.version(version)}</p>
    </Card>
  );
}

const Replicas = ({ replicas }: { replicas: NonNullable<Health["clickhouse"]>["replicas"] }) => (
  <ul aria-label={strings.clickhouse.replicas} className="flex flex-col gap-1 text-xs">
    {replicas.map(({ address, used, version, error }) => {
      const state = strings.clickhouse.states[error ? "away" : used ? "used" : "ready"];
      return (
        <li key={address} className="flex flex-wrap justify-between gap-x-4">
          <span className="min-w-0 break-all">{address}</span>
          <span className={error ? "text-danger" : used ? "" : "text-muted"}>
            {error && <span aria-hidden="true">▲ </span>}
            {[state, version].filter(Boolean).join(", ")}
          </span>
          {error && <span className="basis-full break-words text-muted">{error}</span>}
        </li>
      );
    })}
  </ul>
);

/** A cause that stops all partitions would fill the page. */
const SHOWN_STOPS = 3;

/** What this server has not consumed yet, and which partitions wait for somebody. */
function Kafka({ kafka: { error, partitions }, now }: { kafka: NonNullable<Health["kafka"]>; now: number }) {
  const words = strings.kafka;
  const nameOf = ({ topic, partition }: { topic: string; partition: number }) => `${topic}/${partition}`;
  const lags = partitions.filter(({ lagMessages }) => lagMessages !== undefined);
  const lag = lags.reduce((sum, { lagMessages = 0n }) => sum + lagMessages, 0n);
  const [largest] = lags.toSorted((a, b) => Number((b.lagMessages ?? 0n) - (a.lagMessages ?? 0n)));
  const times = partitions.flatMap(({ oldestUnlanded }) => (oldestUnlanded ? [timestampMs(oldestUnlanded)] : []));
  const age = times.length > 0 && Math.max(0, Math.floor((now - Math.min(...times)) / 1_000) * 1_000);
  const stopped = partitions.filter((partition) => partition.error !== "");
  return (
    <Card title={words.title}>
      {lags.length > 0 ? (
        <Figure value={formatCount(lag)} label={words.waiting} />
      ) : (
        <NoFigure>{partitions.length > 0 ? words.measuring : words.nothing}</NoFigure>
      )}
      {error && <Problem text={error} />}
      {stopped.slice(0, SHOWN_STOPS).map((partition) => (
        <Problem key={nameOf(partition)} text={`${nameOf(partition)}: ${partition.error}`} />
      ))}
      {stopped.length > SHOWN_STOPS && (
        <p className="text-xs text-danger">{words.moreStopped(stopped.length - SHOWN_STOPS)}</p>
      )}
      <Facts
        rows={[
          [words.partitions, formatCount(partitions.length)],
          ...(largest?.lagMessages
            ? ([[words.largest, words.of(formatCount(largest.lagMessages), nameOf(largest))]] as [string, string][])
            : []),
          [words.oldest, age === false ? words.none : formatDuration(age)],
        ]}
      />
    </Card>
  );
}
