import { lazyPart } from "../lazyPart.ts";
import { clockOrInstant } from "../lib/time.ts";
import { strings } from "../strings.ts";
import { Popover } from "../ui/Popover.tsx";
import { StatusDot, statusText } from "./connectionStatus.tsx";
import { useConnection } from "./live.ts";
import { usePanelIssues } from "./panelIssues.tsx";
import { usePause } from "./pause.tsx";
import { useNow } from "./useNow.ts";

const StatusDetails = lazyPart(() => import("./StatusDetails.tsx"), "idle");

/** The connection and the affected panels, with the details on demand. The banner announces faults, not this. */
export function StatusIndicator({ zone }: { zone: string }) {
  const { state } = useConnection();
  const issues = usePanelIssues();
  const { phase, lastHeardAt } = state;
  const { paused } = usePause();
  const troubled = phase === "stale" || phase === "offline" || phase === "denied";
  const now = useNow(troubled);
  // The banner names the fault once. Its panels are all affected, so they are not counted.
  const delayed = troubled ? 0 : issues.length;
  // Of a fault and of delayed panels the reader wants to know while paused as well.
  const still = paused && delayed === 0 && (phase === "live" || phase === "polling");
  const text = still ? strings.pausedShort : statusText(state, delayed, zone, now);
  const dot = still ? "connecting" : phase === "live" && delayed > 0 ? "polling" : phase;
  const short = still
    ? text
    : phase === "polling"
      ? "Polling"
      : troubled || phase === "connecting"
        ? strings.connection[phase]
        : text;
  return (
    <Popover
      label={text}
      className="ui-button ui-button-quiet min-w-[var(--target)] flex-none"
      data-connection={phase}
      data-as-of={lastHeardAt === undefined ? undefined : new Date(lastHeardAt).toISOString()}
      content={() => <StatusDetails state={state} issues={issues} zone={zone} />}
    >
      <StatusDot phase={dot} />
      <span className="truncate max-xl:hidden">{text}</span>
      {phase === "live" && !still && delayed === 0 && lastHeardAt !== undefined && (
        <span className="bar-as-of">{clockOrInstant(lastHeardAt, zone, now + state.clockOffsetMs, true)}</span>
      )}
      <span className={`truncate xl:hidden ${troubled ? "max-sm:hidden" : ""}`}>{short}</span>
    </Popover>
  );
}
