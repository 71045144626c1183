import { clockOrInstant } from "../lib/time.ts";
import type { ConnectionPhase, ConnectionState } from "../live/protocol.ts";
import { ageText, strings } from "../strings.ts";
import { Popover } from "../ui/Popover.tsx";
import { useConnection } from "./live.ts";
import { type PanelIssue, usePanelIssues } from "./panelIssues.tsx";
import { useNow } from "./useNow.ts";

/** Colour and shape, so that the status does not depend on colour alone. */
const DOTS: Record<ConnectionPhase, string> = {
  connecting: "rounded-full border-2 border-muted",
  live: "rounded-full bg-good",
  polling: "rotate-45 rounded-[2px] bg-warn",
  stale: "rotate-45 rounded-[2px] bg-warn",
  offline: "rounded-[2px] bg-danger",
  denied: "rounded-[2px] bg-danger",
};

export const StatusDot = ({ phase }: { phase: ConnectionPhase }) => (
  <span aria-hidden="true" className={`inline-block size-2.5 flex-none ${DOTS[phase]}`} />
);

/** How old the figures are, by the server's clock. Null before the first message. */
export function ageMs({ lastHeardAt, clockOffsetMs }: ConnectionState, now: number): number | null {
  return lastHeardAt === undefined ? null : Math.max(0, now + clockOffsetMs - lastHeardAt);
}

/** The status in words, for example "No response for 14 s, figures as of 11:22:36". */
export function statusText(state: ConnectionState, delayed: number, zone: string, now: number): string {
  const { phase, lastHeardAt } = state;
  const word = strings.connection[phase];
  if (phase === "live" && delayed > 0) return strings.delayedPanels(delayed);
  if (lastHeardAt === undefined || phase === "live" || phase === "connecting" || phase === "polling") return word;
  const age = ageMs(state, now) ?? 0;
  const start = phase === "stale" ? strings.noResponseFor(ageText(age)) : word;
  return `${start}, ${strings.figuresAsOf(clockOrInstant(lastHeardAt, zone, now + state.clockOffsetMs, true))}`;
}

/** The connection and the affected panels, with the details on demand. The banner announces faults, not this. */
export function StatusIndicator({ zone }: { zone: string }) {
  const { state } = useConnection();
  const issues = usePanelIssues();
  const { phase, lastHeardAt } = state;
  const troubled = phase === "stale" || phase === "offline" || phase === "denied";
  const now = useNow(troubled);
  // The banner names the fault once. Its panels are all affected, so they are not counted.
  const delayed = troubled ? 0 : issues.length;
  const text = statusText(state, delayed, zone, now);
  const dot = phase === "live" && delayed > 0 ? "polling" : phase;
  const short = phase === "polling" ? "Polling" : troubled || phase === "connecting" ? strings.connection[phase] : text;
  return (
    <Popover
      label={text}
      className="ui-button ui-button-quiet min-w-[var(--target)] shrink"
      data-connection={phase}
      data-as-of={lastHeardAt === undefined ? undefined : new Date(lastHeardAt).toISOString()}
      content={() => <Details state={state} issues={issues} zone={zone} />}
    >
      <StatusDot phase={dot} />
      <span className="truncate max-xl:hidden">{text}</span>
      <span className={`truncate xl:hidden ${troubled ? "max-sm:hidden" : ""}`}>{short}</span>
    </Popover>
  );
}

const DETAILS: Partial<Record<ConnectionPhase, string>> = {
  live: strings.liveDetail,
  polling: strings.pollingDetail,
  connecting: strings.connectingDetail,
};

function Details({ state, issues, zone }: { state: ConnectionState; issues: PanelIssue[]; zone: string }) {
  const now = useNow();
  const { phase, since, reason, lastHeardAt } = state;
  const age = ageMs(state, now);
  const clock = (at: number) => clockOrInstant(at, zone, now + state.clockOffsetMs, true);
  return (
    <div className="flex w-80 max-w-full flex-col gap-3">
      <p className="flex items-center gap-2 font-semibold">
        <StatusDot phase={phase} />
        {strings.connection[phase]}
        <span className="font-normal text-muted">{strings.since(clock(since))}</span>
      </p>
      <p className="text-muted">{reason ?? DETAILS[phase]}</p>
      {age !== null && lastHeardAt !== undefined && (
        <dl className="flex justify-between gap-3 border-t border-line pt-3">
          <dt className="text-muted">{strings.lastHeard}</dt>
          <dd className="whitespace-nowrap">
            {clock(lastHeardAt)} ({ageText(age)})
          </dd>
        </dl>
      )}
      {issues.length > 0 && (
        <ul className="flex flex-col gap-2 border-t border-line pt-3">
          {issues.map(({ panel, title, status, since: began, reason: why }) => (
            <li key={panel}>
              <span className="font-medium">{title}</span>{" "}
              <span className={status === "failed" ? "text-danger" : "text-warn"}>
                {status === "failed" ? strings.failed : strings.delayed}
              </span>{" "}
              <span className="text-muted">
                {strings.since(clock(began))}
                {why && `: ${why}`}
              </span>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
