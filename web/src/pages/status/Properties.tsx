import { Link, useSearch } from "@tanstack/react-router";
import { Fragment, useId, useState } from "react";
import { type CatalogueProperty, DeclaredRole, timestampMs } from "../../api/messages.ts";
import { LIST_PROPERTIES, LIST_VALUES } from "../../api/methods.ts";
import { formatCount, formatPercent } from "../../lib/format.ts";
import { formatInstant } from "../../lib/time.ts";
import { useCall } from "../../live/useCall.ts";
import { type Search, viewSearch } from "../../shell/view.ts";
import { Input } from "../../ui/Field.tsx";
import { eventAddress } from "./addresses.ts";
import { CELL, ColumnHead, Loaded } from "./Section.tsx";
import { strings } from "./strings.ts";

const words = strings.properties;

/** So many are seen at once. */
const SEARCHED_FROM = 12;
const VALUES = 20;

const ROLES: Partial<Record<DeclaredRole, string>> = {
  [DeclaredRole.COLUMN]: words.roles.column,
  [DeclaredRole.DIMENSION]: words.roles.dimension,
  [DeclaredRole.MEASURE]: words.roles.measure,
};

const typesText = ({ types }: CatalogueProperty): string =>
  types.map(({ type, sharePct }) => `${strings.types[type] ?? "?"} ${formatPercent(sharePct)}`).join(", ") || "–";

interface Props {
  event: string;
  days: number;
  zone: string;
  now: number;
}

/** The properties of an event: how often, of which types, and their values. */
export function Properties({ event, days, zone, now }: Props) {
  const [text, setText] = useState("");
  const state = useCall(LIST_PROPERTIES, { eventName: event, days, limit: 1_000 }, { keepPrevious: false });
  return (
    <Loaded state={state} failed={words.failed}>
      {({ properties, otherEvents }) => {
        const own = properties.filter(({ ofEvent, isOwn }) => ofEvent && !isOwn);
        if (own.length === 0) return <p className="text-xs text-muted">{words.none}</p>;
        const wanted = text.trim().toLowerCase();
        const shown = own.filter(({ key }) => key.toLowerCase().includes(wanted));
        return (
          <>
            {own.length > SEARCHED_FROM && (
              <div className="w-full sm:w-64">
                <Input
                  type="search"
                  aria-label={words.search}
                  placeholder={words.search}
                  value={text}
                  onChange={(change) => setText(change.target.value)}
                />
              </div>
            )}
            {shown.length === 0 ? (
              <p className="text-xs text-muted">{words.noMatch(text.trim())}</p>
            ) : (
              <Table event={event} days={days} properties={shown} zone={zone} now={now} />
            )}
            {otherEvents > 0n && <p className="text-xs text-muted">{words.other(Number(otherEvents))}</p>}
          </>
        );
      }}
    </Loaded>
  );
}

function Table({ event, days, properties, zone, now }: Props & { properties: CatalogueProperty[] }) {
  const [open, setOpen] = useState("");
  const id = useId();
  return (
    <table className="w-full rounded-lg bg-sunken text-xs">
      <caption className="sr-only">{words.title(event)}</caption>
      <thead>
        <tr>
          {[words.key, words.events, words.types, words.last, words.declared].map((name) => (
            <ColumnHead key={name}>{name}</ColumnHead>
          ))}
        </tr>
      </thead>
      <tbody>
        {properties.map((property) => {
          const { key, field, events, isEstimate, typeFlips, lastSeen, declared } = property;
          const isOpen = open === key;
          return (
            <Fragment key={key}>
              <tr className="border-t border-line">
                <th scope="row" className={`${CELL} min-w-32 font-medium`}>
                  <button
                    type="button"
                    aria-expanded={isOpen}
                    aria-controls={isOpen ? id : undefined}
                    title={words.showValues(key)}
                    className="text-left break-all underline-offset-2 hover:underline pointer-coarse:min-h-11"
                    onClick={() => setOpen(isOpen ? "" : key)}
                  >
                    {key}
                  </button>
                </th>
                <td
                  className={`${CELL} whitespace-nowrap tabular-nums`}
                  title={isEstimate ? words.estimate : undefined}
                >
                  {isEstimate && "≈ "}
                  {events === 0n ? <span className="text-muted">{words.missing}</span> : formatCount(events)}
                </td>
                <td className={CELL}>
                  {typesText(property)}
                  {typeFlips && (
                    <span className="ml-2 whitespace-nowrap text-warn" title={words.flipsHint}>
                      ▲ {words.flips}
                    </span>
                  )}
                </td>
                <td className={`${CELL} whitespace-nowrap text-muted`}>
                  {lastSeen ? formatInstant(timestampMs(lastSeen), zone, now) : "–"}
                </td>
                <td className={CELL}>{declared ? (ROLES[declared.role] ?? "") : ""}</td>
              </tr>
              {isOpen && (
                <tr id={id}>
                  <td colSpan={5} className="px-2.5 pb-2">
                    <Values event={event} days={days} name={key} field={field} />
                  </td>
                </tr>
              )}
            </Fragment>
          );
        })}
      </tbody>
    </table>
  );
}

/** The most frequent values of a property. Each leads to the live events that have it. */
function Values({ event, days, name, field }: { event: string; days: number; name: string; field: string }) {
  const view = viewSearch(useSearch({ strict: false }) as Search);
  const request = { eventName: event, field, days, limit: VALUES };
  const state = useCall(LIST_VALUES, request, { keepPrevious: false });
  return (
    <Loaded state={state} failed={words.valuesFailed}>
      {({ values, fromRollup }) => {
        if (values.length === 0) return <p className="text-muted">{words.noValues}</p>;
        return (
          <>
            <ul aria-label={words.valuesOf(name)} className="flex flex-wrap gap-1.5">
              {values.map(({ value, events }) => (
                <li key={value} className="max-w-full">
                  <Link
                    to="/live"
                    search={eventAddress(event, view, { name: field, value }).live as never}
                    aria-label={words.filterBy(name, value)}
                    className="flex max-w-full items-baseline gap-2 rounded-md border border-line bg-card px-2 py-1 hover:bg-hover pointer-coarse:min-h-11 pointer-coarse:items-center"
                  >
                    <span className="min-w-0 truncate">{value === "" ? "“”" : value}</span>
                    <span className="text-muted tabular-nums">{formatCount(events)}</span>
                  </Link>
                </li>
              ))}
            </ul>
            {!fromRollup && <p className="mt-1 text-muted">{words.recent}</p>}
          </>
        );
      }}
    </Loaded>
  );
}
