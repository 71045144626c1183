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
}

const MESSAGES = {
  from: "Enter a start",
  to: "Enter an end",
  order: "The end must be after the start",
  min: "The start is before the oldest data",
  max: "The end is in the future",
};

/** The errors of an interval by field. Times of this format compare as text. */
export function checkInterval({ from, to }: LocalInterval, min?: string, max?: string): Partial<LocalInterval> {
  const errors: Partial<LocalInterval> = {};
  if (!from) errors.from = MESSAGES.from;
  else if (min && from < min) errors.from = MESSAGES.min;
  if (!to) errors.to = MESSAGES.to;
  else if (max && to > max) errors.to = MESSAGES.max;
  else if (from && to <= from) errors.to = MESSAGES.order;
  return errors;
}

/** Two native controls: they bring the platform's calendar, keyboard and touch behaviour without any code. */
export function DateRange({ value, onApply, min, max }: DateRangeProps) {
  const [draft, setDraft] = useState(value);
  const [submitted, setSubmitted] = useState(false);
  const errors = checkInterval(draft, min, max);
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
      <Field label="To" error={shown.to}>
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
