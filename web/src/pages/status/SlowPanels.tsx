import { useState } from "react";
import { durationMs, type PanelStatistics, timestampMs } from "../../api/messages.ts";
import { LIST_PANEL_STATISTICS } from "../../api/methods.ts";
import { formatCount, formatDuration } from "../../lib/format.ts";
import { formatInstant } from "../../lib/time.ts";
import { useCall } from "../../live/useCall.ts";
import { useCatalog } from "../../shell/live.ts";
import { Button } from "../../ui/Button.tsx";
import { CELL, ColumnHead, Loaded, Scrolled, Section } from "./Section.tsx";
import { strings } from "./strings.ts";

const words = strings.slow;
const REFRESH_MS = 10_000;
const FIRST = 10;

const duration = (value: PanelStatistics["average"]): string =>
  value ? formatDuration(Math.round(durationMs(value) * 10) / 10) : "–";

/** Which panels cost most, and which fail. */
export function SlowPanels({ zone, now }: { zone: string; now: number }) {
  const state = useCall(LIST_PANEL_STATISTICS, {}, { refreshMs: REFRESH_MS });
  const [all, setAll] = useState(false);
  const { catalog } = useCatalog();
  const titles = new Map(catalog?.panels.map(({ name, title }) => [name, title]));
  return (
    <Section title={words.title} hint={words.hint}>
      <Loaded state={state} failed={words.failed}>
        {({ panels }) => {
          if (panels.length === 0) return <p className="text-xs text-muted">{words.none}</p>;
          const shown = all ? panels : panels.slice(0, FIRST);
          const withErrors = shown.some(({ lastError }) => lastError !== "");
          return (
            <>
              <Scrolled label={words.table}>
                <table className="w-full text-sm">
                  <thead>
                    <tr>
                      <ColumnHead>{words.panel}</ColumnHead>
                      {[words.statements, words.mean, words.p99, words.failures].map((name) => (
                        <ColumnHead key={name} className="text-right whitespace-nowrap">
                          {name}
                        </ColumnHead>
                      ))}
                      {withErrors && <ColumnHead className="min-w-56">{words.lastError}</ColumnHead>}
                    </tr>
                  </thead>
                  <tbody>
                    {shown.map(({ panel, statements, failures, average, p99, lastError, lastErrorAt }) => (
                      <tr key={panel} className="border-t border-line">
                        <th scope="row" className={`${CELL} min-w-40 font-medium`}>
                          {titles.get(panel) ?? panel}
                          {titles.has(panel) && (
                            <span className="block text-xs font-normal break-all text-muted">{panel}</span>
                          )}
                        </th>
                        <td className={`${CELL} text-right tabular-nums`}>{formatCount(statements)}</td>
                        <td className={`${CELL} text-right whitespace-nowrap tabular-nums`}>{duration(average)}</td>
                        <td className={`${CELL} text-right whitespace-nowrap tabular-nums`}>{duration(p99)}</td>
                        <td className={`${CELL} text-right tabular-nums ${failures > 0n ? "text-danger" : ""}`}>
                          {failures > 0n && <span aria-hidden="true">▲ </span>}
                          {formatCount(failures)}
                        </td>
                        {withErrors && (
                          <td className={`${CELL} max-w-md text-xs break-words`}>
                            {lastError && (
                              <>
                                {lastErrorAt && (
                                  <span className="block text-muted">
                                    {formatInstant(timestampMs(lastErrorAt), zone, now, true)}
                                  </span>
                                )}
                                <span className="line-clamp-3" title={lastError}>
                                  {lastError}
                                </span>
                              </>
                            )}
                          </td>
                        )}
                      </tr>
                    ))}
                  </tbody>
                </table>
              </Scrolled>
              {shown.length < panels.length && (
                <Button className="self-start" onClick={() => setAll(true)}>
                  {words.more(panels.length - shown.length)}
                </Button>
              )}
            </>
          );
        }}
      </Loaded>
    </Section>
  );
}
