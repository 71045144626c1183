import { clockOrInstant } from "../lib/time.ts";
import type { ConnectionPhase, ConnectionState } from "../live/protocol.ts";
import { ageText, strings } from "../strings.ts";
import { ageMs, StatusDot } from "./connectionStatus.tsx";
import type { PanelIssue } from "./panelIssues.tsx";
import { statusStrings } from "./statusStrings.ts";
import { useNow } from "./useNow.ts";

const DETAILS: Partial<Record<ConnectionPhase, string>> = {
  live: statusStrings.liveDetail,
  polling: statusStrings.pollingDetail,
  connecting: statusStrings.connectingDetail,
};

export default function StatusDetails({
  state,
  issues,
  zone,
}: {
  state: ConnectionState;
  issues: PanelIssue[];
  zone: string;
}) {
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
          <dt className="text-muted">{statusStrings.lastHeard}</dt>
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
