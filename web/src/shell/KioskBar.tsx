import { clockOrInstant, offsetLabel, timeLabel, timeZoneLabel } from "../lib/time.ts";
import { strings } from "../strings.ts";
import { IconButton } from "../ui/Button.tsx";
import { StatusDot, statusText } from "./connectionStatus.tsx";
import { kioskStrings } from "./kiosk/strings.ts";
import { toneOf } from "./kiosk/tone.ts";
import { useConnection } from "./live.ts";
import { usePanelIssues, usePanelsOver } from "./panelIssues.tsx";
import { useNow } from "./useNow.ts";

interface Props {
  zone: string;
  /** Of the page. */
  name: string;
  /** "2 of 3", if dashboards rotate. */
  position: string | undefined;
  /** Range and filters. */
  label: string;
  /** The range has ended: its figures do not age. */
  past: boolean;
  onLeave: () => void;
}

/** The clock and the state of the figures, readable from across a room. */
export function KioskBar({ zone, name, position, label, past, onLeave }: Props) {
  const { state } = useConnection();
  const issues = usePanelIssues();
  const over = usePanelsOver();
  const now = useNow();
  const { phase, lastHeardAt, clockOffsetMs } = state;
  const away = phase === "stale" || phase === "offline" || phase === "denied";
  const tone = toneOf(phase, issues.length, over.length);
  return (
    <footer
      className="kiosk-bar"
      data-connection={phase}
      data-as-of={lastHeardAt === undefined ? undefined : new Date(lastHeardAt).toISOString()}
    >
      <span className="flex items-center gap-2">
        <StatusDot phase={phase === "live" && issues.length > 0 ? "polling" : phase} />
        <span className={away ? "text-warn" : ""}>{statusText(state, issues.length, zone, now)}</span>
      </span>
      {!away && !past && lastHeardAt !== undefined && (
        <span>{strings.asOf(clockOrInstant(lastHeardAt, zone, now + clockOffsetMs, true))}</span>
      )}
      {tone === "danger" && <strong className="kiosk-over text-danger">{kioskStrings.over(over)}</strong>}
      <span className="flex-1" />
      <span className="min-w-0 truncate">
        <b className="font-semibold text-ink">{name}</b>
        {position && <span> ({position})</span>} · {label}
      </span>
      <time className="kiosk-clock">{timeLabel(now + clockOffsetMs, zone)}</time>
      <span>{zone === "UTC" ? "UTC" : `${timeZoneLabel(zone)}, ${offsetLabel(now, zone)}`}</span>
      <IconButton icon="close" label={strings.kioskLeave} shortcut="Esc" className="kiosk-leave" onClick={onLeave} />
      <div className="kiosk-frame" data-tone={tone} aria-hidden="true" />
    </footer>
  );
}
