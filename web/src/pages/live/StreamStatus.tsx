import { formatCount } from "../../lib/format.ts";
import { useNow } from "../../shell/useNow.ts";
import { Button } from "../../ui/Button.tsx";
import { Icon } from "../../ui/icons.tsx";
import { Select } from "../../ui/Select.tsx";
import { RATES } from "./address.ts";
import { MAX_ROWS } from "./buffer.ts";
import { oneOf, RATE_SECONDS, SAMPLE_SECONDS, type Sampling, shownPercent } from "./rates.ts";
import type { Snapshot } from "./stream.ts";
import { words } from "./strings.ts";
import { rateWords } from "./texts.ts";

interface Props {
  snapshot: Snapshot;
  paused: boolean;
  held: "pointer" | "scroll" | undefined;
  onRetry: () => void;
}

/** One line that says whether the list is current, and what is not in it. */
export function StreamStatus({ snapshot, paused, held, onRetry }: Props) {
  const { phase, reason = "", retryAt, sampling, recentProblem, dropped } = snapshot;
  const isAway = phase === "retrying" || phase === "failed";
  const notes: string[] = [];
  if (phase === "live") {
    if (sampling.leftOut > 0) notes.push(sampledWords(sampling));
    if (sampling.unexamined > 0) notes.push(words.status.unexamined(sampling.unexamined));
    if (recentProblem) notes.push(words.status.recentProblem(recentProblem));
    if (dropped > 0) notes.push(words.status.dropped(MAX_ROWS));
  }
  return (
    <div className="live-status" data-stream={phase}>
      <p role="status" className={isAway ? "text-warn" : phase === "live" && !paused ? "text-ink" : ""}>
        {isAway && <Icon name="warning" className="mr-1.5 inline" />}
        {phase === "connecting" && words.status.connecting}
        {phase === "live" &&
          (paused
            ? words.status.paused
            : held === "pointer"
              ? words.status.heldByPointer
              : held === "scroll"
                ? words.status.held
                : words.status.live)}
        {phase === "suspended" && words.status.suspended}
        {isAway && words.status.retrying(reason)}
      </p>
      {phase === "retrying" && <NextAttempt at={retryAt} />}
      {isAway && <Button onClick={onRetry}>{words.retry}</Button>}
      {notes.map((note) => (
        <p key={note.replaceAll(/[\d,]+/g, "")} data-note="">
          {note}
        </p>
      ))}
    </div>
  );
}

function sampledWords(sampling: Sampling): string {
  const { leftOut } = sampling;
  const ratio = oneOf(sampling);
  if (ratio === 0) return words.status.allLeftOut(leftOut);
  return ratio === 1
    ? words.status.mostly(shownPercent(sampling), leftOut, SAMPLE_SECONDS)
    : words.status.sampled(ratio, leftOut, SAMPLE_SECONDS);
}

function NextAttempt({ at = 0 }: { at: number | undefined }) {
  const now = useNow();
  const seconds = Math.ceil((at - now) / 1000);
  return <p>{seconds > 0 ? words.status.nextAttempt(seconds) : words.status.attempting}</p>;
}

const WIDTH = 120;
const HEIGHT = 24;

/** Matching events per second in the last minute. */
export function RateLine({ perSecond }: { perSecond: number[] }) {
  const top = Math.max(1, ...perSecond);
  const step = WIDTH / (RATE_SECONDS - 1);
  const left = WIDTH - (perSecond.length - 1) * step;
  const points = perSecond.map(
    (rate, i) => `${(left + i * step).toFixed(1)},${(HEIGHT - 1 - (rate / top) * (HEIGHT - 3)).toFixed(1)}`,
  );
  const { text, hint } = rateWords(perSecond);
  return (
    <span className="flex items-center gap-2" title={hint}>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} className="live-spark" preserveAspectRatio="none" aria-hidden="true">
        <polyline points={points.join(" ")} fill="none" stroke="currentColor" strokeWidth="1.5" />
      </svg>
      <span className="min-w-14 text-right font-medium" data-rate="">
        {text} <span className="sr-only">{hint}</span>
      </span>
    </span>
  );
}

interface RateSelectProps {
  rate: number;
  onChange: (rate: number) => void;
}

export const RateSelect = ({ rate, onChange }: RateSelectProps) => (
  <Select
    label={words.rate}
    value={String(rate)}
    options={RATES.map((value) => ({ value: String(value), label: words.perSecond(formatCount(value)) }))}
    onChange={(value) => onChange(Number(value))}
    className="ui-button-quiet"
  >
    <span className="text-muted">{words.rate}</span> {words.perSecond(formatCount(rate))}
  </Select>
);
