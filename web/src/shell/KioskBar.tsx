import { clockOrInstant, offsetLabel, timeLabel } from "../lib/time.ts";
import { strings } from "../strings.ts";
import { IconButton } from "../ui/Button.tsx";
import { useConnection } from "./live.ts";
import { StatusDot, statusText } from "./StatusIndicator.tsx";
import { useNow } from "./useNow.ts";

interface Props {
  zone: string;
  /** Range and filters. */
  label: string;
  /** The range has ended: its figures do not age. */
  past: boolean;
  onLeave: () => void;
}

/** The clock and the state of the figures, readable from across a room. */
export function KioskBar({ zone, label, past, onLeave }: Props) {
  const { state } = useConnection();
  const now = useNow();
  const { phase, lastHeardAt, clockOffsetMs } = state;
  const danger = phase === "offline" || phase === "denied";
  const tone = danger ? "danger" : phase === "stale" ? "warn" : undefined;
  return (
    <footer
      className="kiosk-bar"
      data-connection={phase}
      data-as-of={lastHeardAt === undefined ? undefined : new Date(lastHeardAt).toISOString()}
    >
      <span className="flex items-center gap-2">
        <StatusDot phase={phase} />
        <span className={danger ? "text-danger" : phase === "stale" ? "text-warn" : ""}>
          {statusText(state, 0, zone, now)}
        </span>
      </span>
      <span className="truncate">{label}</span>
      <span className="flex-1" />
      {!tone && !past && lastHeardAt !== undefined && (
        <span>{strings.asOf(clockOrInstant(lastHeardAt, zone, now + clockOffsetMs, true))}</span>
      )}
      <time className="text-base font-semibold text-ink">{timeLabel(now + clockOffsetMs, zone)}</time>
      <span>{offsetLabel(now, zone)}</span>
      <IconButton icon="close" label={strings.kioskLeave} shortcut="Esc" className="kiosk-leave" onClick={onLeave} />
      <div className="kiosk-frame" data-tone={tone} aria-hidden="true" />
    </footer>
  );
}
