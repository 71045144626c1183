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

/** How the panels are, in a colour, a shape and words. The details say which panel it is, since when, and why. */
export function ConnectionIndicator({ connection, panelTitle, zone }: Props) {
  const { color, summary, problems, pollingSince } = connection;
  const since = problems.length > 0 ? Math.min(...problems.map((problem) => problem.since)) : undefined;
  // One or two are named at once; of more, the details tell.
  const names = problems.flatMap(({ panels }) => panels);
  const named = names.length > 0 && names.length <= 2;
  const word = color === "red" ? "unreachable" : "late";
  const told = named ? `${names.map(panelTitle).join(", ")} ${word}` : summary;
  const quiet = problems.length === 0 && pollingSince === undefined;
  const words = (
    <>
      <span aria-hidden="true" className={`inline-block size-2.5 ${DOTS[color]} ${SHAPES[color]}`} />
      <span aria-live="polite">
        {told}
        {since !== undefined && <span className="text-muted"> since {timeLabel(since, zone)}</span>}
      </span>
    </>
  );
  const shape = "flex min-h-9 items-center gap-2 rounded-lg px-2 text-sm font-medium";
  if (quiet) {
    return (
      <div className={shape} data-status={color}>
        {words}
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
      <summary className={`${shape} cursor-pointer list-none hover:bg-hover`}>{words}</summary>
      <div
        // Takes the focus when it is clicked, so that selecting its text does not close it.
        tabIndex={-1}
        className="absolute top-full left-0 z-30 mt-1 w-80 max-w-[calc(100vw-2rem)] rounded-xl border border-line-strong bg-raised p-3 text-sm shadow-2xl"
      >
        {pollingSince !== undefined && (
          <p className="text-muted">
            The live stream is interrupted since {timeLabel(pollingSince, zone)}. The panels are asked every 5 seconds
            until it is back.
          </p>
        )}
        <ul className="mt-1 flex flex-col gap-1.5">
          {problems.map(({ panels, phase, reason, since }) => (
            <li key={panels.join()}>
              <span className="font-medium">{panels.map(panelTitle).join(", ")}</span>{" "}
              <span className={phase === "failed" ? "text-danger" : "text-warn"}>
                {phase === "failed" ? "unreachable" : "late"}
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
