import { memo } from "react";
import { countryName } from "../../lib/format.ts";
import { Button } from "../../ui/Button.tsx";
import { Icon } from "../../ui/icons.tsx";
import type { GapRow } from "./buffer.ts";
import type { Condition } from "./conditions.ts";
import { colorOf, isFault, type LiveEvent, summaryOf } from "./events.ts";
import { words } from "./strings.ts";
import { conditionWords, eventTime, fullEventTime, gapSpan } from "./texts.ts";

interface FilterProps {
  condition: Condition;
  text: string;
  onFilter: (condition: Condition) => void;
}

/** For the pointer only: by keyboard, the values are in the opened event. */
const FilterButton = ({ condition, text, onFilter }: FilterProps) => (
  <button
    type="button"
    tabIndex={-1}
    className="live-filter"
    title={words.filterBy(conditionWords(condition), text)}
    aria-label={words.filterBy(conditionWords(condition), text)}
    onClick={() => onFilter(condition)}
  >
    <Icon name="filter" className="size-3.5!" />
  </button>
);

interface Props {
  event: LiveEvent;
  zone: string;
  now: number;
  selected: boolean;
  isTest: boolean;
  onOpen: () => void;
  onFilter: (condition: Condition) => void;
}

export const EventLine = memo(
  function EventLine({ event, zone, now, selected, isTest, onOpen, onFilter }: Props) {
    const time = eventTime(event.at, zone, now);
    const visitor: Condition =
      event.user === ""
        ? { field: "session_id", operator: "is", value: event.session }
        : { field: "user_id", operator: "is", value: event.user };
    const summary = summaryOf(event);
    const fault = isFault(event.name);
    const is = (field: string, value: string): Condition => ({ field, operator: "is", value });
    return (
      <div
        className="live-row live-grid"
        data-event={event.name}
        data-selected={selected || undefined}
        data-test={isTest || undefined}
      >
        <button
          type="button"
          data-row-control=""
          className="live-open live-time text-left tabular-nums"
          title={fullEventTime(event.at, zone, now)}
          aria-label={words.open(event.name, time)}
          aria-expanded={selected}
          onClick={onOpen}
        >
          {time}
        </button>
        <span className={`live-event live-cell font-medium ${fault ? "live-fault" : ""}`}>
          {fault ? (
            <Icon name="warning" className="size-3.5!" />
          ) : (
            <span className="live-mark" style={{ "--mark": `var(${colorOf(event.name)})` } as React.CSSProperties} />
          )}
          <span className="min-w-0 truncate">{event.name}</span>
          <FilterButton condition={is("event_name", event.name)} text={event.name} onFilter={onFilter} />
          {isTest && <span className="text-xs text-accent">{words.firstEvent.badge}</span>}
        </span>
        <span className="live-cell live-visitor">
          {visitor.value === "" ? (
            <span className="text-muted">{words.noVisitor}</span>
          ) : (
            <>
              <span className={`min-w-0 truncate ${event.user === "" ? "text-muted" : ""}`}>{visitor.value}</span>
              <FilterButton condition={visitor} text={visitor.value} onFilter={onFilter} />
            </>
          )}
        </span>
        <span className="live-cell live-summary text-muted" title={summary.length > 40 ? summary : undefined}>
          {summary}
        </span>
        <span className="live-cell live-country">
          {event.country !== "ZZ" && event.country !== "" && event.country}
          <span className="live-country-name min-w-0 truncate text-muted max-lg:hidden">
            {event.country !== "ZZ" && event.country !== "" && ` ${countryName(event.country)}`}
          </span>
          {event.country !== "ZZ" && event.country !== "" && (
            <FilterButton condition={is("country_code", event.country)} text={event.country} onFilter={onFilter} />
          )}
        </span>
      </div>
    );
  },
  // The callbacks are for the same event as long as it is the same.
  (before, after) =>
    before.event === after.event &&
    before.zone === after.zone &&
    before.selected === after.selected &&
    before.isTest === after.isTest &&
    before.onFilter === after.onFilter,
);

interface GapProps {
  gap: GapRow;
  zone: string;
  onLoad: () => void;
}

/** Where events may be missing, because nobody listened. */
export const GapLine = ({ gap, zone, onLoad }: GapProps) => (
  <div className="live-gap" data-gap={gap.state}>
    <Icon name="warning" />
    <span className="min-w-0 truncate tabular-nums">
      {words.gap(gapSpan(gap.from, gap.to, zone))}
      {gap.state === "failed" && gap.reason && `, ${words.gapFailed(gap.reason)}`}
    </span>
    <Button data-row-control="" disabled={gap.state === "loading"} onClick={onLoad}>
      {gap.state === "loading" ? words.loadingGap : gap.state === "failed" ? words.retry : words.loadGap}
    </Button>
  </div>
);
