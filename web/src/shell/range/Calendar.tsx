// One or two months of days, as in the date grid of the ARIA patterns: one day is in the tab order, and keys move it.

import { type KeyboardEvent, useEffect, useId, useRef, useState } from "react";
import { LOCALE } from "../../lib/format.ts";
import { DAY, formatDay } from "../../lib/time.ts";
import { IconButton } from "../../ui/Button.tsx";
import { type Days, firstDay, type Month, monthOf, moveByKey, weeksOf } from "./calendar.ts";
import { rangeStrings } from "./strings.ts";

interface Props {
  /** Days that can be chosen, both included. */
  min: number;
  max: number;
  chosen: Days | undefined;
  onChoose: (day: number) => void;
}

const monthName = new Intl.DateTimeFormat(LOCALE, { month: "long", year: "numeric", timeZone: "UTC" });
const dayName = new Intl.DateTimeFormat(LOCALE, {
  weekday: "long",
  day: "numeric",
  month: "long",
  year: "numeric",
  timeZone: "UTC",
});

export function Calendar({ min, max, chosen, onChoose }: Props) {
  // The end of a range is what is changed most.
  const [active, setActive] = useState(() => Math.min(max, Math.max(min, chosen?.last ?? chosen?.first ?? max)));
  /** The last month that is shown. On phones it is the only one. */
  const [month, setMonth] = useState<Month>(() => monthOf(active));
  const root = useRef<HTMLDivElement>(null);
  const focusNext = useRef(false);
  const hint = useId();

  useEffect(() => {
    if (!focusNext.current) return;
    focusNext.current = false;
    const days = root.current?.querySelectorAll<HTMLElement>(`[data-day="${active}"]`) ?? [];
    for (const day of days) day.focus();
  });

  function show(day: number): void {
    const shown = monthOf(day);
    // A step back within two months moves nothing.
    if (shown > month || shown < firstShown(month)) setMonth(shown);
  }
  /** On phones the first of the two is not displayed. */
  function firstShown(last: Month): Month {
    return root.current?.querySelector<HTMLElement>("table")?.offsetParent === null ? last : last - 1;
  }
  function onKeyDown(event: KeyboardEvent): void {
    const next = moveByKey(active, event.key, event.shiftKey, min, max);
    if (next === undefined) return;
    event.preventDefault();
    // Arrow keys move to other panels, and a popup handles Home and End itself.
    event.stopPropagation();
    focusNext.current = true;
    setActive(next);
    show(next);
  }
  function turn(months: -1 | 1): void {
    const next = month + months;
    setMonth(next);
    // The day in the tab order is always one that is shown.
    if (monthOf(active) > next || monthOf(active) < firstShown(next)) {
      setActive(Math.min(max, Math.max(min, firstDay(next))));
    }
  }

  const months = [month - 1, month];
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset's legend cannot be laid out in a row
    <div ref={root} className="calendar" role="group" aria-label={rangeStrings.calendar} aria-describedby={hint}>
      <p id={hint} className="sr-only">
        {rangeStrings.keys}
      </p>
      <IconButton
        icon="chevronLeft"
        label={rangeStrings.previousMonth}
        className="calendar-back"
        disabled={firstDay(month) <= min}
        onClick={() => turn(-1)}
      />
      <IconButton
        icon="chevronRight"
        label={rangeStrings.nextMonth}
        className="calendar-forward"
        disabled={month >= monthOf(max)}
        onClick={() => turn(1)}
      />
      {months.map((shown) => (
        <MonthGrid
          key={shown}
          month={shown}
          active={active}
          {...{ min, max, chosen, onKeyDown }}
          onDay={(day) => {
            setActive(day);
            onChoose(day);
          }}
        />
      ))}
    </div>
  );
}

interface MonthProps {
  month: Month;
  active: number;
  min: number;
  max: number;
  chosen: Days | undefined;
  onKeyDown: (event: KeyboardEvent) => void;
  onDay: (day: number) => void;
}

function MonthGrid({ month, active, min, max, chosen, onKeyDown, onDay }: MonthProps) {
  const name = monthName.format(firstDay(month) * DAY);
  const isChosen = (day: number) => chosen !== undefined && day >= chosen.first && day <= (chosen.last ?? chosen.first);
  return (
    <div className="calendar-month">
      <p className="calendar-name" aria-live="polite">
        {name}
      </p>
      {/* biome-ignore lint/a11y/noNoninteractiveElementToInteractiveRole: as the pattern of a date grid has it */}
      <table role="grid" aria-label={name}>
        <thead>
          <tr>
            {rangeStrings.weekdays.map((weekday, index) => (
              <th key={weekday} scope="col" abbr={rangeStrings.longWeekdays[index]}>
                {weekday}
              </th>
            ))}
          </tr>
        </thead>
        <tbody onKeyDown={onKeyDown}>
          {weeksOf(month).map((week) => (
            <tr key={week.find((day) => day !== null)}>
              {week.map((day, index) =>
                day === null ? (
                  // biome-ignore lint/suspicious/noArrayIndexKey: days of other months have no number
                  <td key={`empty${index}`} />
                ) : (
                  // biome-ignore lint/a11y/useAriaPropsSupportedByRole: a cell of a grid has it
                  <td key={day} aria-selected={isChosen(day)} data-edge={edgeOf(day, chosen)}>
                    <button
                      type="button"
                      data-day={day}
                      tabIndex={day === active ? 0 : -1}
                      aria-label={dayName.format(day * DAY)}
                      aria-current={day === max ? "date" : undefined}
                      disabled={day < min || day > max}
                      onClick={() => onDay(day)}
                    >
                      {new Date(day * DAY).getUTCDate()}
                    </button>
                  </td>
                ),
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function edgeOf(day: number, chosen: Days | undefined): string | undefined {
  if (!chosen) return undefined;
  const last = chosen.last ?? chosen.first;
  if (day === chosen.first && day === last) return "both";
  return day === chosen.first ? "first" : day === last ? "last" : undefined;
}

/** "Sat 21 Nov". */
export const shortDay = (day: number, now: number): string => formatDay(day * DAY, "UTC", now);
