import { Link, useSearch } from "@tanstack/react-router";
import { useDeferredValue, useId, useState } from "react";
import { type EventName, timestampMs } from "../../api/messages.ts";
import { LIST_EVENT_NAMES } from "../../api/methods.ts";
import { toSparkline } from "../../charts/sparkline.ts";
import { formatCount } from "../../lib/format.ts";
import { formatSpan, QUARTER_HOUR } from "../../lib/time.ts";
import { useCall } from "../../live/useCall.ts";
import { type Search, viewSearch } from "../../shell/view.ts";
import { Input } from "../../ui/Field.tsx";
import { EmptyState } from "../../ui/placeholders.tsx";
import { eventAddress } from "./addresses.ts";
import { countsByDay } from "./days.ts";
import { Properties } from "./Properties.tsx";
import { ColumnHead, Loaded, Scrolled, Section } from "./Section.tsx";
import { strings } from "./strings.ts";

const words = strings.catalogue;
const DAYS = 30;
const CELL = "px-2.5 py-1.5 text-left align-middle max-sm:px-1.5";
/** What a phone has no room for. */
const WIDE = "max-sm:hidden";
const REFRESH_MS = 30_000;

/** The events of the last days: volume, first and last time, and whether one has stopped. */
export function Catalogue({ zone, now }: { zone: string; now: number }) {
  const [text, setText] = useState("");
  const contains = useDeferredValue(text.trim());
  const state = useCall(LIST_EVENT_NAMES, { contains, days: DAYS, limit: 100 }, { refreshMs: REFRESH_MS });
  return (
    <Section
      title={words.title}
      hint={words.hint}
      actions={
        <div className="w-full sm:w-64">
          <Input
            type="search"
            aria-label={words.search}
            placeholder={words.search}
            value={text}
            onChange={(event) => setText(event.target.value)}
          />
        </div>
      }
    >
      <Loaded state={state} failed={words.failed}>
        {({ names, total }) => {
          if (names.length === 0) {
            return contains ? (
              <p className="text-muted">{words.noMatch(contains)}</p>
            ) : (
              <EmptyState title={words.none}>{words.noneHint}</EmptyState>
            );
          }
          const left = Number(total) - names.length;
          return (
            <>
              <EventTable names={names} zone={zone} now={now} />
              {left > 0 && <p className="text-xs text-muted">{words.more(left)}</p>}
            </>
          );
        }}
      </Loaded>
    </Section>
  );
}

function EventTable({ names, zone, now }: { names: EventName[]; zone: string; now: number }) {
  const [open, setOpen] = useState("");
  return (
    <Scrolled label={words.table} tall>
      <table className="w-full text-sm">
        <thead>
          <tr>
            <ColumnHead className="sticky left-0 bg-card">{words.event}</ColumnHead>
            <ColumnHead className="text-right">{words.volume}</ColumnHead>
            <ColumnHead className={WIDE}>{words.perDay}</ColumnHead>
            <ColumnHead className={WIDE}>{words.first}</ColumnHead>
            <ColumnHead>{words.last}</ColumnHead>
          </tr>
        </thead>
        {names.map((event) => (
          <EventRows
            key={event.name}
            event={event}
            zone={zone}
            now={now}
            open={open === event.name}
            onToggle={() => setOpen(open === event.name ? "" : event.name)}
          />
        ))}
      </table>
    </Scrolled>
  );
}

interface RowsProps {
  event: EventName;
  zone: string;
  now: number;
  open: boolean;
  onToggle: () => void;
}

function EventRows({ event, zone, now, open, onToggle }: RowsProps) {
  const id = useId();
  const { name, events, days, firstSeen, lastSeen, stoppedSince } = event;
  // The server knows quarters of an hour.
  const quarter = (at: EventName["firstSeen"]) => {
    if (!at) return "–";
    const start = timestampMs(at);
    return now - start < QUARTER_HOUR ? words.recently : formatSpan(start, start + QUARTER_HOUR, zone, now);
  };
  const { line, area } = toSparkline(countsByDay(days, now, DAYS));
  return (
    <tbody className="border-t border-line">
      <tr>
        <th scope="row" className={`${CELL} sticky left-0 bg-card font-medium`}>
          <button
            type="button"
            aria-expanded={open}
            aria-controls={id}
            className="max-w-36 truncate sm:max-w-56 text-left underline-offset-2 hover:underline pointer-coarse:min-h-11"
            title={name}
            onClick={onToggle}
          >
            {name}
          </button>
        </th>
        <td className={`${CELL} text-right tabular-nums`}>{formatCount(events)}</td>
        <td className={`${CELL} ${WIDE}`}>
          <svg
            role="img"
            aria-label={words.chart(name)}
            viewBox="0 0 100 100"
            preserveAspectRatio="none"
            className="h-5 w-28"
          >
            <path d={area} fill="var(--c1)" fillOpacity={0.15} />
            <path d={line} fill="none" stroke="var(--c1)" strokeWidth={1.5} vectorEffect="non-scaling-stroke" />
          </svg>
        </td>
        <td className={`${CELL} ${WIDE} whitespace-nowrap text-muted`}>{quarter(firstSeen)}</td>
        <td className={`${CELL} text-muted sm:whitespace-nowrap`}>
          {quarter(lastSeen)}
          {stoppedSince && <span className="text-warn sm:ml-3"> ▲ {words.stopped(quarter(stoppedSince))}</span>}
        </td>
      </tr>
      {open && (
        <tr id={id}>
          <td colSpan={5} className="px-2.5 pb-3">
            <Opened event={name} zone={zone} now={now} />
          </td>
        </tr>
      )}
    </tbody>
  );
}

/** Where to look at the event, and its properties. */
function Opened({ event, zone, now }: { event: string; zone: string; now: number }) {
  const view = viewSearch(useSearch({ strict: false }) as Search);
  const { explore, live } = eventAddress(event, view);
  return (
    <div className="flex flex-col gap-2">
      <p className="flex flex-wrap gap-2">
        <Link to="/explore" search={explore as never} className="ui-button">
          {words.explore}
        </Link>
        <Link to="/live" search={live as never} className="ui-button">
          {words.live}
        </Link>
      </p>
      <Properties event={event} days={DAYS} zone={zone} now={now} />
    </div>
  );
}
