import { useState } from "react";
import { Button } from "./Button.tsx";
import { Field, Input } from "./Field.tsx";

/** Wall-clock times without a zone, in the format of the native control: 2026-11-21T10:00 */
export interface LocalInterval {
  from: string;
  to: string;
}

export interface DateRangeProps {
  value: LocalInterval;
  onApply: (value: LocalInterval) => void;
  /** Earliest and latest time that can be chosen. */
  min?: string;
  max?: string;
  /** Errors in other words. */
  messages?: Partial<typeof MESSAGES>;
  isTooLong?: (value: LocalInterval) => boolean;
  /** An empty end is the present. */
  openEnd?: boolean;
}

const MESSAGES = {
  from: "Enter a start",
  to: "Enter an end",
  order: "The end must be after the start",
  min: "The start is before the oldest data",
  max: "The end is in the future",
  long: "The interval is too long",
};

/** The errors of an interval by field. Times of this format compare as text. */
export function checkInterval(
  { from, to }: LocalInterval,
  min?: string,
  max?: string,
  words: typeof MESSAGES = MESSAGES,
): Partial<LocalInterval> {
  const errors: Partial<LocalInterval> = {};
  if (!from) errors.from = words.from;
  else if (min && from < min) errors.from = words.min;
  if (!to) errors.to = words.to;
  else if (max && to > max) errors.to = words.max;
  else if (from && to <= from) errors.to = words.order;
  return errors;
}

/** Two native controls: they bring the platform's calendar, keyboard and touch behaviour without any code. */
export function DateRange(props: DateRangeProps) {
  const { value, onApply, min, max, messages, isTooLong, openEnd = false } = props;
  const [draft, setDraft] = useState(value);
  const [submitted, setSubmitted] = useState(false);
  const words = { ...MESSAGES, ...messages };
  // An open end is as good as the latest one.
  const checked = openEnd && !draft.to ? { ...draft, to: max ?? "9999" } : draft;
  const errors = checkInterval(checked, min, max, words);
  if (!errors.from && !errors.to && isTooLong?.(draft)) errors.from = words.long;
  const shown = submitted ? errors : {};
  return (
    <form
      noValidate
      className="flex flex-wrap items-start gap-3"
      onSubmit={(event) => {
        event.preventDefault();
        setSubmitted(true);
        if (!errors.from && !errors.to) onApply(draft);
      }}
    >
      <Field label="From" error={shown.from}>
        {(control) => (
          <Input
            {...control}
            type="datetime-local"
            value={draft.from}
            min={min}
            max={max}
            onChange={(event) => setDraft({ ...draft, from: event.target.value })}
          />
        )}
      </Field>
      <Field label="To" error={shown.to} hint={openEnd ? "Empty: now" : undefined}>
        {(control) => (
          <Input
            {...control}
            type="datetime-local"
            value={draft.to}
            min={min}
            max={max}
            onChange={(event) => setDraft({ ...draft, to: event.target.value })}
          />
        )}
      </Field>
      <Button kind="primary" type="submit" className="mt-5">
        Apply
      </Button>
    </form>
  );
}
