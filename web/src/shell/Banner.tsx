import { clockOrInstant } from "../lib/time.ts";
import { ageText, strings } from "../strings.ts";
import { Button } from "../ui/Button.tsx";
import { Icon } from "../ui/icons.tsx";
import { useConnection, useLive } from "./live.ts";
import { useNow } from "./useNow.ts";

const words = strings.banner;

/**
 * The one place that tells that the figures are not current. The live region stays in the document, and its text changes
 * only with the state: a screen reader hears it once, not every second.
 */
export function Banner({ zone }: { zone: string }) {
  const { state } = useConnection();
  const { retry } = useLive();
  const { phase, since, reason, lastHeardAt, retryAt, clockOffsetMs } = state;
  const shown = phase === "stale" || phase === "offline" || phase === "denied";
  const now = useNow(shown);
  const clock = (at: number) => clockOrInstant(at, zone, now + clockOffsetMs, true);
  return (
    <div
      role="status"
      data-banner={shown ? phase : undefined}
      className={shown ? `shell-banner shell-banner-${phase === "stale" ? "warn" : "danger"}` : "sr-only"}
    >
      {shown && (
        <>
          <Icon name="warning" />
          <p>
            <strong className="font-semibold">{words[phase](clock(since))}</strong>{" "}
            {lastHeardAt === undefined ? words.noFigures : words.figures(clock(lastHeardAt))}
            {reason && <span className="text-muted"> {reason}</span>}
          </p>
          {phase !== "denied" && (
            <span aria-hidden="true" className="text-muted whitespace-nowrap">
              {retryAt !== undefined && retryAt > now ? words.nextAttempt(ageText(retryAt - now)) : words.attempting}
            </span>
          )}
          <Button onClick={retry}>{strings.retry}</Button>
        </>
      )}
    </div>
  );
}
