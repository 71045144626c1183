// Choosing a range: presets, days of a calendar, or typed times.

import { type ReactNode, useState } from "react";
import { DAY, formatDay, offsetLabel, timeZoneLabel } from "../../lib/time.ts";
import { isPreset, PRESETS, type Preset, type Range, rangeTitle } from "../../query/range.ts";
import { Button } from "../../ui/Button.tsx";
import { Field, Input } from "../../ui/Field.tsx";
import { useCatalog, useConnection } from "../live.ts";
import { Calendar, shortDay } from "./Calendar.tsx";
import { chooseDay, type Days } from "./calendar.ts";
import { check, dayOf, daysOf, type Entered, enteredDays, enteredFrom } from "./entered.ts";
import { enteredStrings } from "./enteredStrings.ts";
import { rangeStrings } from "./strings.ts";

interface Props {
  range: Range;
  zone: string;
  onChange: (range: Range) => void;
  /** Further controls where the bar has no space for them. */
  extras?: ReactNode;
}

/** The server's maximum, if it keeps figures indefinitely. */
const MAX_DAYS = 3660;

export default function RangePopup({ range, zone, onChange, extras }: Props) {
  const { catalog } = useCatalog();
  const { clockOffsetMs } = useConnection().state;
  // The present does not move while times are entered.
  const [now] = useState(() => Date.now() + clockOffsetMs);
  const stored = storedSince(catalog?.rollupRetentionDays ?? 0, now, zone);
  const today = dayOf(now, zone);
  const [entered, setEntered] = useState<Entered>(() => enteredFrom(range, zone, now));
  /** While the second click is missing. */
  const [half, setHalf] = useState<Days>();
  const [submitted, setSubmitted] = useState(false);
  const { interval, errors } = check(entered, zone, now, stored);
  const shown = submitted ? errors : {};
  const days = half ?? daysOf(entered, zone, now);

  const enter = (change: Partial<Entered>) => {
    setHalf(undefined);
    setEntered({ ...entered, ...change });
  };
  const onDay = (day: number) => {
    const next = chooseDay(half ?? { first: 0, last: 0 }, day);
    setHalf(next.last === undefined ? next : undefined);
    setEntered(clamp(enteredDays(next, zone, today), stored.oldest, zone, now));
  };
  return (
    <div className="range-popup">
      {/* biome-ignore lint/a11y/useSemanticElements: a fieldset's legend cannot be laid out in a row */}
      <div role="group" aria-label={rangeStrings.presets} className="range-presets">
        {PRESETS.map((name) => (
          <button
            key={name}
            type="button"
            className="ui-segment"
            aria-pressed={range === name}
            data-preset={name}
            onClick={() => isPreset(name) && onChange(name)}
          >
            {presetTitle(name)}
          </button>
        ))}
      </div>
      {extras && <div className="range-extras">{extras}</div>}
      <form
        noValidate
        className="range-custom"
        onSubmit={(event) => {
          event.preventDefault();
          setSubmitted(true);
          if (interval) onChange(interval);
        }}
      >
        <Calendar
          min={stored.oldest === undefined ? today - MAX_DAYS : dayOf(stored.oldest, zone)}
          max={today}
          chosen={days}
          onChoose={onDay}
        />
        <p className="sr-only" role="status">
          {half ? rangeStrings.chosenFirst(shortDay(half.first, now)) : days && describe(days, now)}
        </p>
        <div className="range-fields">
          <Field label={rangeStrings.from} error={shown.from}>
            {(control) => (
              <Input
                {...control}
                type="datetime-local"
                value={entered.from}
                onChange={(event) => enter({ from: event.target.value })}
              />
            )}
          </Field>
          <Field label={rangeStrings.to} error={shown.to}>
            {(control) => (
              <Input
                {...control}
                type="datetime-local"
                value={entered.to}
                disabled={entered.untilNow}
                onChange={(event) => enter({ to: event.target.value })}
              />
            )}
          </Field>
        </div>
        <div className="range-foot">
          <label className="range-now">
            <input
              type="checkbox"
              className="size-4 flex-none accent-accent"
              checked={entered.untilNow}
              onChange={(event) => enter({ untilNow: event.target.checked })}
            />
            {rangeStrings.untilNow}
          </label>
          <Button kind="primary" type="submit">
            {rangeStrings.apply}
          </Button>
        </div>
        <p className="ui-hint">
          {rangeStrings.zoneHint(timeZoneLabel(zone), offsetLabel(now, zone))}. {stored.words && `${stored.words}.`}
        </p>
      </form>
    </div>
  );
}

const presetTitle = (name: Preset): string => rangeTitle(name, "UTC", 0);

const describe = ({ first, last = first }: Days, now: number): string =>
  rangeStrings.chosen(last - first + 1, shortDay(first, now), shortDay(last, now));

/** The first stored day begins where the storage does. */
function clamp(entered: Entered, oldest: number | undefined, zone: string, now: number): Entered {
  if (oldest === undefined) return entered;
  const begin = enteredFrom({ from: oldest + 60_000 }, zone, now).from;
  return entered.from < begin ? { ...entered, from: begin } : entered;
}

/** Since when there are figures, and that in words. A retention of 0 days keeps them indefinitely. */
export function storedSince(days: number, now: number, zone: string): { oldest?: number; words: string } {
  if (days === 0) return { words: "" };
  const oldest = now - days * DAY;
  return { oldest, words: enteredStrings.storedDays(days, formatDay(oldest, zone, now)) };
}
