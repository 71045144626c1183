import { timeLabel } from "../lib/time.ts";
import type { ConnectionStatus, StatusColor } from "../live/connectionStatus.ts";

const DOTS: Record<StatusColor, string> = { green: "bg-good", yellow: "bg-warn", red: "bg-danger" };

const SHAPES: Record<StatusColor, string> = {
  green: "rounded-full",
  yellow: "rotate-45 rounded-[2px]",
  red: "rounded-[2px]",
};

interface Props {
  connection: ConnectionStatus;
  panelTitle: (panel: string) => string;
  zone: string;
}

/** Status by colour, shape and text, so that it does not depend on colour. The details list the affected panels. */
export function ConnectionIndicator({ connection, panelTitle, zone }: Props) {
  const { color, summary, problems, pollingSince } = connection;
  const since = problems.length > 0 ? Math.min(...problems.map((problem) => problem.since)) : undefined;
  // Up to two panels fit in the header. The details list more.
  const names = problems.flatMap(({ panels }) => panels);
  const showNames = names.length > 0 && names.length <= 2;
  const adjective = color === "red" ? "unreachable" : "delayed";
  const text = showNames ? `${names.map(panelTitle).join(", ")} ${adjective}` : summary;
  const healthy = problems.length === 0 && pollingSince === undefined;
  const label = (
    <>
      <span aria-hidden="true" className={`inline-block size-2.5 ${DOTS[color]} ${SHAPES[color]}`} />
      <span aria-live="polite">
        {text}
        {since !== undefined && <span className="text-muted"> since {timeLabel(since, zone)}</span>}
      </span>
    </>
  );
  const className = "flex min-h-9 items-center gap-2 rounded-lg px-2 text-sm font-medium";
  if (healthy) {
    return (
      <div className={className} data-status={color}>
        {label}
      </div>
    );
  }
  return (
    <details
      className="relative"
      data-status={color}
      onKeyDown={(event) => {
        if (event.key === "Escape") event.currentTarget.open = false;
      }}
      onBlur={(event) => {
        if (!event.currentTarget.contains(event.relatedTarget)) event.currentTarget.open = false;
      }}
    >
      <summary className={`${className} cursor-pointer list-none hover:bg-hover`}>{label}</summary>
      <div
        // Focusable, so that selecting its text does not blur and close the details.
        tabIndex={-1}
        className="absolute top-full left-0 z-30 mt-1 w-80 max-w-[calc(100vw-2rem)] rounded-xl border border-line-strong bg-raised p-3 text-sm shadow-2xl"
      >
        {pollingSince !== undefined && (
          <p className="text-muted">
            The live stream has been interrupted since {timeLabel(pollingSince, zone)}. The panels are polled every 5
            seconds until it reconnects.
          </p>
        )}
        <ul className="mt-1 flex flex-col gap-1.5">
          {problems.map(({ panels, phase, reason, since }) => (
            <li key={panels.join()}>
              <span className="font-medium">{panels.map(panelTitle).join(", ")}</span>{" "}
              <span className={phase === "failed" ? "text-danger" : "text-warn"}>
                {phase === "failed" ? "unreachable" : "delayed"}
              </span>{" "}
              <span className="text-muted">
                since {timeLabel(since, zone)}: {reason}
              </span>
            </li>
          ))}
        </ul>
      </div>
    </details>
  );
}
