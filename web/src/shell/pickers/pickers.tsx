// Pickers of events, properties and values, from the catalogue of the project.

import { type KeyboardEvent, type ReactNode, useCallback, useEffect, useId, useRef, useState } from "react";
import type { CatalogueProperty, EventName } from "../../api/messages.ts";
import { LIST_EVENT_NAMES, LIST_PROPERTIES, LIST_VALUES } from "../../api/methods.ts";
import { timestampMs } from "../../api/time.ts";
import { formatCompact, formatDuration } from "../../lib/format.ts";
import { QUARTER_HOUR } from "../../lib/time.ts";
import { useCall } from "../../live/useCall.ts";
import { Combobox, type Option } from "../../ui/Combobox.tsx";
import { Icon } from "../../ui/icons.tsx";
import { eventName, fieldWords, isCountryField, storedValue, valueWords } from "./fields.ts";
import { words } from "./strings.ts";
import "./pickers.css";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** The events of the project, most frequent first. */
export function useEventNames(): { names: EventName[] | undefined; failure: string | undefined } {
  const { data, failure } = useCall(LIST_EVENT_NAMES, { limit: 1000 }, { staleMs: MINUTE, refreshMs: MINUTE });
  return { names: data?.names, failure: failure?.reason };
}

export function useProperties(event: string): CatalogueProperty[] | undefined {
  return useCall(LIST_PROPERTIES, { eventName: event, limit: 300 }, { staleMs: MINUTE }).data?.properties;
}

/** "12 min", "3 d", roughly. */
function age(ms: number): string {
  const minutes = Math.round(ms / MINUTE);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.round(minutes / 60);
  return hours < 48
    ? `${hours} h`
    : formatDuration(hours * 3_600_000)
        .split(" ")
        .slice(0, 2)
        .join(" ")
        .replace(/ 0 h$/, "");
}

function eventDetail({ events, lastSeen, stoppedSince }: EventName, now: number): string {
  const volume = formatCompact(events);
  if (stoppedSince) return `${volume} · ${words.stopped(age(now - timestampMs(stoppedSince)))}`;
  if (!lastSeen) return volume;
  const since = now - timestampMs(lastSeen);
  if (since < QUARTER_HOUR) return `${volume} · ${words.recently}`;
  // Last seen is the start of a quarter of an hour.
  const [least, most] = [since - QUARTER_HOUR, since].map((ms) => Math.ceil(ms / MINUTE));
  return `${volume} · ${words.ago(since < HOUR ? `${least}–${most} min` : age(since))}`;
}

const ANY = "*any";
const NONE = "*none";

interface EventPickerProps {
  label: string;
  /** Undefined if an event is added: none is chosen yet. */
  value: string | undefined;
  onChange: (event: string) => void;
  /** Whether any event can be chosen. */
  any?: boolean;
  text?: ReactNode;
  className?: string;
}

export function EventPicker({ label, value, onChange, any = true, text, className = "" }: EventPickerProps) {
  const { names } = useEventNames();
  const options = useCallback((): Option[] => {
    const now = Date.now();
    const known = (names ?? []).map((each) => ({ value: each.name, label: each.name, detail: eventDetail(each, now) }));
    return any ? [{ value: ANY, label: words.anyEvent }, ...known] : known;
  }, [names, any]);
  return (
    <Combobox
      label={label}
      value={value === undefined ? NONE : value || ANY}
      options={options}
      onChange={(chosen) => onChange(chosen === ANY ? "" : chosen)}
      placeholder={words.searchEvents}
      empty={words.noEvents}
      className={`picker ${className}`}
    >
      <span className="min-w-0 flex-1 truncate text-left">{text ?? eventName(value ?? "")}</span>
    </Combobox>
  );
}

const TYPE_WORDS = ["", "text", "number", "yes or no", "object", "list", "null"];

function propertyDetail({ isOwn, ofEvent, types, events }: CatalogueProperty, event: string): string {
  if (isOwn) return words.ownField;
  const type = types
    .filter(({ type }) => type !== 6)
    .map(({ type }) => TYPE_WORDS[type])
    .join(" or ");
  const volume = events > 0n ? formatCompact(events) : "";
  const others = event !== "" && !ofEvent ? words.otherEvents : "";
  return [type, volume, others].filter(Boolean).join(" · ");
}

const IDENTIFIERS = new Set(["event_name", "session_id", "user_id"]);

/** The event's own first, then what every event has, then those of other events, then what identifies something. */
function rank({ field, isOwn, ofEvent }: CatalogueProperty, event: string): number {
  if (IDENTIFIERS.has(field)) return 3;
  if (isOwn) return 1;
  return ofEvent || event === "" ? 0 : 2;
}

interface PropertyPickerProps {
  label: string;
  /** Whose properties come first. Empty for any event. */
  event: string;
  value: string;
  onChange: (field: string) => void;
  /** Only those whose values are numbers. */
  numeric?: boolean;
  /** What no property is called, if none can be chosen. */
  none?: string;
  /** Further values, before the properties. */
  extra?: Option[];
  /** Open from the beginning. */
  opened?: boolean;
  className?: string;
}

export function PropertyPicker(props: PropertyPickerProps) {
  const { label, event, value, onChange, numeric = false, none, extra, opened, className = "" } = props;
  const properties = useProperties(event);
  const options = useCallback((): Option[] => {
    const known = [...(properties ?? [])]
      .sort((a, b) => rank(a, event) - rank(b, event))
      .filter(({ field }) => !extra?.some(({ value }) => value === field))
      .filter(({ types }) => !numeric || types.some(({ type }) => type === 2))
      .map((each) => ({ value: each.field, label: fieldWords(each.field), detail: propertyDetail(each, event) }));
    const first = none === undefined ? [] : [{ value: NONE, label: none }];
    return [...first, ...(extra ?? []), ...known];
  }, [properties, event, numeric, none, extra]);
  const text =
    extra?.find((option) => option.value === value)?.label ?? (value ? fieldWords(value) : (none ?? words.choose));
  return (
    <Combobox
      label={label}
      value={value === "" ? NONE : value}
      options={options}
      onChange={(chosen) => onChange(chosen === NONE ? "" : chosen)}
      placeholder={words.searchProperties}
      empty={words.noProperties(event && eventName(event))}
      opened={opened}
      className={`picker ${className}`}
    >
      <span className={`min-w-0 flex-1 truncate text-left ${value === "" ? "text-muted" : ""}`}>{text}</span>
    </Combobox>
  );
}

/** How long after the last key a typed text counts. */
const TYPING_MS = 500;

interface TypedProps {
  label: string;
  value: string;
  onCommit: (text: string) => void;
  invalid?: boolean;
  describedBy?: string;
  placeholder?: string;
  inputMode?: "decimal" | "numeric";
  className?: string;
}

/** A field whose text counts when the typing pauses, at Enter, and when it is left. */
export function TypedInput({ label, value, onCommit, invalid, describedBy, className = "", ...rest }: TypedProps) {
  const [text, setText] = useState(value);
  const shown = useRef(value);
  if (shown.current !== value) {
    shown.current = value;
    if (text !== value) setText(value);
  }
  const commit = useRef(onCommit);
  commit.current = onCommit;
  useEffect(() => {
    if (text === shown.current) return;
    const timer = setTimeout(() => commit.current(text), TYPING_MS);
    return () => clearTimeout(timer);
  }, [text]);
  const now = () => {
    if (text !== shown.current) commit.current(text);
  };
  return (
    <input
      className={`ui-input ${className}`}
      aria-label={label}
      aria-invalid={invalid || undefined}
      aria-describedby={describedBy}
      value={text}
      autoComplete="off"
      spellCheck={false}
      onChange={(event) => setText(event.target.value)}
      onBlur={now}
      onKeyDown={(event) => event.key === "Enter" && now()}
      {...rest}
    />
  );
}

interface ValuesProps {
  event: string;
  field: string;
  values: string[];
  onChange: (values: string[]) => void;
  invalid: boolean;
  describedBy?: string;
}

/** There are fewer. */
const COUNTRIES = 300;

/** Any number of values, with those of the property as suggestions. */
export function ValuesInput({ event, field, values, onChange, invalid, describedBy }: ValuesProps) {
  const [text, setText] = useState("");
  const [prefix, setPrefix] = useState("");
  const [focused, setFocused] = useState(false);
  const listId = useId();
  const isCountry = isCountryField(field);
  useEffect(() => {
    const timer = setTimeout(() => setPrefix(text), 150);
    return () => clearTimeout(timer);
  }, [text]);
  const { data } = useCall(
    LIST_VALUES,
    // Countries are found by their names, of which the server knows nothing.
    isCountry ? { eventName: event, field, limit: COUNTRIES } : { eventName: event, field, prefix, limit: 50 },
    { enabled: focused && field !== "", staleMs: MINUTE },
  );
  const offered = (data?.values ?? []).filter(({ value }) => !values.includes(value));
  const add = (value: string) => {
    const added = storedValue(
      field,
      value,
      (data?.values ?? []).map((each) => each.value),
    );
    if (added !== "" && !values.includes(added)) onChange([...values.filter(Boolean), added]);
    setText("");
  };
  const onKeyDown = (key: KeyboardEvent) => {
    if (key.key === "Enter" && text !== "") {
      key.preventDefault();
      add(text);
    }
    if (key.key === "Backspace" && text === "" && values.length > 0) onChange(values.slice(0, -1));
  };
  return (
    <div className="flex min-w-0 flex-col gap-1">
      {values.some(Boolean) && (
        <ul aria-label={words.values} className="flex flex-wrap gap-1">
          {values.filter(Boolean).map((value) => (
            <li key={value} className="picker-chip">
              <span className="max-w-44 truncate" title={value}>
                {valueWords(field, value)}
              </span>
              <button
                type="button"
                aria-label={words.removeValue(valueWords(field, value))}
                className="picker-chip-remove"
                onClick={() => onChange(values.filter((other) => other !== value))}
              >
                <Icon name="close" />
              </button>
            </li>
          ))}
        </ul>
      )}
      <input
        className="ui-input"
        aria-label={words.value}
        aria-invalid={invalid || undefined}
        aria-describedby={describedBy}
        list={listId}
        value={text}
        placeholder={offered.length > 0 ? `${valueWords(field, offered[0]?.value ?? "")}…` : words.value}
        autoComplete="off"
        spellCheck={false}
        onFocus={() => setFocused(true)}
        onChange={(change) => {
          const next = change.target.value;
          // A choice from the list brings the whole value at once.
          const native = change.nativeEvent as InputEvent;
          const chosen = native.inputType === "insertReplacementText" || native.inputType === undefined;
          if (chosen && offered.some(({ value }) => valueWords(field, value) === next)) add(next);
          else setText(next);
        }}
        onBlur={() => add(text)}
        onKeyDown={onKeyDown}
      />
      <datalist id={listId}>
        {offered.map(({ value, events }) => (
          <option key={value} value={valueWords(field, value)} label={formatCompact(events)} />
        ))}
      </datalist>
    </div>
  );
}
