// The dialog for a range with bounds of its own.

import { DAY, formatDay, timeZoneLabel } from "../lib/time.ts";
import {
  boundsOf,
  type Interval,
  isValidInterval,
  localTime,
  MAX_INTERVAL_YEARS,
  parseTime,
  type Range,
} from "../query/range.ts";
import { strings } from "../strings.ts";
import { DateRange, type LocalInterval } from "../ui/DateRange.tsx";
import { Dialog } from "../ui/Dialog.tsx";
import { useCatalog, useConnection } from "./live.ts";

interface Props {
  range: Range;
  zone: string;
  onApply: (interval: Interval) => void;
  onClose: () => void;
}

const MINUTE = 60_000;
const minutes = (at: number, zone: string): string => localTime(Math.floor(at / MINUTE) * MINUTE, zone);

/** The instants of what was entered on the clock of the zone. Undefined if it is no valid interval. */
export function enteredInterval({ from, to }: LocalInterval, zone: string, now: number): Interval | undefined {
  const start = parseTime(from, zone);
  const end = parseTime(to, zone);
  if (start === undefined || (to && end === undefined)) return undefined;
  const interval = end === undefined ? { from: start } : { from: start, to: end };
  return isValidInterval(interval, now) ? interval : undefined;
}

export default function CustomRange({ range, zone, onApply, onClose }: Props) {
  const { catalog } = useCatalog();
  const { clockOffsetMs } = useConnection().state;
  const now = Date.now() + clockOffsetMs;
  const { from, to } = boundsOf(range, zone, now);
  const { oldest, words } = storedSince(catalog?.rollupRetentionDays ?? 0, now, zone);
  return (
    <Dialog title={strings.customTitle} onClose={onClose}>
      <p className="mb-4 text-muted">
        {strings.customHint(timeZoneLabel(zone))} {words && `${words}.`}
      </p>
      <DateRange
        value={{ from: minutes(from, zone), to: minutes(to, zone) }}
        min={oldest === undefined ? undefined : minutes(oldest, zone)}
        max={minutes(now + MINUTE, zone)}
        messages={{ min: words, long: strings.customTooLong(MAX_INTERVAL_YEARS) }}
        isTooLong={(entered) => enteredInterval(entered, zone, now) === undefined}
        openEnd
        onApply={(entered) => {
          const interval = enteredInterval(entered, zone, now);
          if (interval) onApply(interval);
        }}
      />
    </Dialog>
  );
}

/** Since when there are figures, and that in words. A retention of 0 days keeps them indefinitely. */
export function storedSince(days: number, now: number, zone: string): { oldest?: number; words: string } {
  if (days === 0) return { words: "" };
  const oldest = now - days * DAY;
  return { oldest, words: strings.storedDays(days, formatDay(oldest, zone, now)) };
}
