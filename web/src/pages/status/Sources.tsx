import { Link, useSearch } from "@tanstack/react-router";
import { useRef } from "react";
import { sourceName } from "../../api/eventSource.ts";
import { type ListSourcesResponse, type Source, timestampMs } from "../../api/messages.ts";
import { LIST_KEYS, LIST_SOURCES } from "../../api/methods.ts";
import { formatCount, formatDuration } from "../../lib/format.ts";
import { formatInstant } from "../../lib/time.ts";
import { useCall } from "../../live/useCall.ts";
import { type Search, viewSearch } from "../../shell/view.ts";
import { EmptyState } from "../../ui/placeholders.tsx";
import { CELL, ColumnHead, Loaded, Scrolled, Section } from "./Section.tsx";
import { addReading, type Reading, rateOf, sourceId } from "./sourceRates.ts";
import { strings } from "./strings.ts";

const words = strings.sources;
const REFRESH_MS = 5_000;

/** Who sends events: what came from each, on which devices, and when the last one came. */
export function Sources({ isAdmin, zone, now }: { isAdmin: boolean; zone: string; now: number }) {
  const state = useCall(LIST_SOURCES, {}, { refreshMs: REFRESH_MS });
  const keys = useCall(LIST_KEYS, {}, { enabled: isAdmin });
  const names = new Map(keys.data?.keys.map(({ id, name }) => [id, name]));
  const readings = useReadings(state.data, now);
  return (
    <Section title={words.title} hint={words.hint}>
      <Loaded state={state} failed={words.failed}>
        {({ sources, since }) => (
          <>
            {sources.length === 0 ? (
              <EmptyState title={words.none}>{words.noneHint}</EmptyState>
            ) : (
              <SourceTable sources={sources} names={names} readings={readings} now={now} />
            )}
            {since && (
              <p className="text-xs text-muted">{words.since(formatInstant(timestampMs(since), zone, now, true))}</p>
            )}
          </>
        )}
      </Loaded>
    </Section>
  );
}

/** The counts of the last minute. */
function useReadings(data: ListSourcesResponse | undefined, now: number): Reading[] {
  const kept = useRef<{ data?: ListSourcesResponse; readings: Reading[] }>({ readings: [] });
  if (data && kept.current.data !== data) {
    kept.current = { data, readings: addReading(kept.current.readings, data.sources, now) };
  }
  return kept.current.readings;
}

interface TableProps {
  sources: Source[];
  names: Map<string, string>;
  readings: Reading[];
  now: number;
}

function SourceTable({ sources, names, readings, now }: TableProps) {
  const search = useSearch({ strict: false }) as Search;
  const ago = (at: Source["lastAcceptedAt"]) =>
    at ? words.ago(formatDuration(Math.max(0, now - timestampMs(at)))) : "–";
  return (
    <Scrolled label={words.table}>
      <table className="w-full text-sm">
        <thead>
          <tr>
            <ColumnHead>{words.source}</ColumnHead>
            <ColumnHead>{words.devices}</ColumnHead>
            {[words.rate, words.accepted, words.last, words.rejected].map((name) => (
              <ColumnHead key={name} className="text-right whitespace-nowrap">
                {name}
              </ColumnHead>
            ))}
          </tr>
        </thead>
        <tbody>
          {sources.map((source) => {
            const { keyId, library, accepted, lastAcceptedAt, rejected, lastRejectedAt, devices } = source;
            return (
              <tr key={sourceId(source)} className="border-t border-line">
                <th scope="row" className={`${CELL} min-w-44 font-medium`}>
                  <span className="break-all">{library || words.unnamed}</span>
                  <span className="block text-xs font-normal text-muted">
                    {sourceName(source.source)}
                    {keyId === "" ? "" : `, ${words.key(names.get(keyId) || keyId)}`}
                  </span>
                </th>
                <td className={`${CELL} min-w-44`}>
                  <ul>
                    {devices.map((device) => (
                      <li key={device.deviceType} className="tabular-nums whitespace-nowrap">
                        {device.deviceType} {formatCount(device.accepted)}
                        {devices.length > 1 && (
                          <span className="text-xs text-muted"> {ago(device.lastAcceptedAt)}</span>
                        )}
                      </li>
                    ))}
                  </ul>
                </td>
                <td className={`${CELL} text-right whitespace-nowrap tabular-nums`}>
                  {rateText(rateOf(readings, source))}
                </td>
                <td className={`${CELL} text-right tabular-nums`}>{formatCount(accepted)}</td>
                <td className={`${CELL} text-right whitespace-nowrap tabular-nums`}>{ago(lastAcceptedAt)}</td>
                <td className={`${CELL} text-right whitespace-nowrap tabular-nums`}>
                  {rejected === 0n ? (
                    "0"
                  ) : (
                    <Link
                      to="/live"
                      search={{ ...viewSearch(search), show: "rejected" } as never}
                      className="text-danger underline underline-offset-2"
                      title={words.lastRejected(ago(lastRejectedAt))}
                    >
                      ▲ {formatCount(rejected)}
                    </Link>
                  )}
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </Scrolled>
  );
}

function rateText(perSecond: number | undefined): string {
  if (perSecond === undefined) return words.measuring;
  if (perSecond > 0 && perSecond < 1) return words.perMinute(formatCount(Math.max(1, Math.round(perSecond * 60))));
  return words.perSecond(formatCount(Math.round(perSecond)));
}
