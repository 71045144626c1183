import { useState } from "react";
import { call } from "../../api/client.ts";
import { type DeadLetter, timestampMs } from "../../api/messages.ts";
import { LIST_DEAD_LETTERS, REPLAY_DEAD_LETTERS } from "../../api/methods.ts";
import { formatCount } from "../../lib/format.ts";
import { formatInstant } from "../../lib/time.ts";
import { invalidateCalls, useCall } from "../../live/useCall.ts";
import { Button } from "../../ui/Button.tsx";
import { Spinner } from "../../ui/placeholders.tsx";
import { Confirm } from "./Confirm.tsx";
import { replayOutcome } from "./replay.ts";
import { CELL, ColumnHead, Loaded, Scrolled, Section } from "./Section.tsx";
import { strings } from "./strings.ts";

const words = strings.letters;
const REFRESH_MS = 10_000;
/** While batches are replayed. */
const REPLAY_REFRESH_MS = 1_000;
const MAX_LISTED = 1_000;

/** The section is there as long as there are dead letters, and after a replay until its outcome has been read. */
export function DeadLetters({ any, zone, now }: { any: boolean; zone: string; now: number }) {
  const [started, setStarted] = useState<string[]>([]);
  const [waiting, setWaiting] = useState(false);
  const state = useCall(LIST_DEAD_LETTERS, any || started.length > 0 ? {} : null, {
    refreshMs: waiting ? REPLAY_REFRESH_MS : REFRESH_MS,
    staleMs: 0,
  });
  const [asked, setAsked] = useState<DeadLetter[]>();
  const letters = state.data?.deadLetters ?? [];
  const outcome = replayOutcome(started, letters);
  if (waiting !== outcome.waiting > 0) setWaiting(outcome.waiting > 0);
  if (!any && started.length === 0) return null;

  const replay = async (chosen: DeadLetter[]) => {
    const ids = chosen.map(({ batchId }) => batchId);
    // Without ids, also those that arrived meanwhile, and those beyond what is listed.
    const all = chosen.length === letters.length && letters.length > 1;
    await call(REPLAY_DEAD_LETTERS, { batchIds: all ? [] : ids });
    // The list from before the replay would look like its outcome.
    await invalidateCalls(LIST_DEAD_LETTERS);
    setStarted(ids);
    setAsked(undefined);
  };
  return (
    <Section
      id="dead-letters"
      title={words.title}
      hint={words.hint}
      actions={
        letters.length > 1 && (
          <Button disabled={outcome.waiting > 0} onClick={() => setAsked(letters)}>
            {words.replayAll}
          </Button>
        )
      }
    >
      <div role="status" className="flex flex-wrap items-center gap-x-3 gap-y-1 text-sm empty:hidden">
        {outcome.waiting > 0 && (
          <span className="flex items-center gap-2">
            <Spinner label="" />
            {words.waiting(outcome.waiting)}
          </span>
        )}
        {outcome.inserted > 0 && <span className="text-good">✓ {words.inserted(outcome.inserted)}</span>}
        {outcome.failed.length > 0 && <span className="text-danger">▲ {words.failedAgain(outcome.failed.length)}</span>}
      </div>
      <Loaded state={state} failed={words.failed}>
        {({ problems }) => (
          <>
            {letters.length > 0 && (
              <LetterTable
                letters={letters}
                failed={outcome.failed}
                started={started}
                zone={zone}
                now={now}
                onReplay={(letter) => setAsked([letter])}
              />
            )}
            {letters.length >= MAX_LISTED && <p className="text-xs text-muted">{words.limit}</p>}
            {problems.length > 0 && (
              <div className="text-xs">
                <p className="text-danger">▲ {words.problems}</p>
                <ul className="mt-1 flex flex-col gap-1 break-words text-muted">
                  {problems.map((problem) => (
                    <li key={problem}>{problem}</li>
                  ))}
                </ul>
              </div>
            )}
          </>
        )}
      </Loaded>
      {asked && (
        <Confirm
          title={words.confirm(asked.length)}
          action={asked.length === 1 ? words.replay : words.replayAll}
          cancel={words.cancel}
          failed={words.replayFailed}
          onConfirm={() => replay(asked)}
          onClose={() => setAsked(undefined)}
        >
          <p>{words.confirmText(formatCount(asked.reduce((sum, { events }) => sum + events, 0n)))}</p>
        </Confirm>
      )}
    </Section>
  );
}

interface TableProps {
  letters: DeadLetter[];
  failed: DeadLetter[];
  started: string[];
  zone: string;
  now: number;
  onReplay: (letter: DeadLetter) => void;
}

function LetterTable({ letters, failed, started, zone, now, onReplay }: TableProps) {
  const next = ({ refused, nextAttemptAt }: DeadLetter): string => {
    if (refused) return words.byHand;
    const at = nextAttemptAt && timestampMs(nextAttemptAt);
    return at === undefined || at <= now ? words.now : formatInstant(at, zone, now, true);
  };
  return (
    <Scrolled label={words.table}>
      <table className="w-full text-sm">
        <thead>
          <tr>
            <ColumnHead>{words.since}</ColumnHead>
            <ColumnHead className="text-right">{words.events}</ColumnHead>
            <ColumnHead className="min-w-64">{words.reason}</ColumnHead>
            <ColumnHead className="text-right">{words.attempts}</ColumnHead>
            <ColumnHead>{words.next}</ColumnHead>
            <ColumnHead>
              <span className="sr-only">{words.action}</span>
            </ColumnHead>
          </tr>
        </thead>
        <tbody>
          {letters.map((letter) => {
            const { batchId, events, deadLetteredAt, reason, refused, attempts } = letter;
            const pending = started.includes(batchId) && !failed.includes(letter);
            return (
              <tr key={batchId} className="border-t border-line" data-batch={batchId}>
                <th scope="row" className={`${CELL} font-normal whitespace-nowrap`} title={`${words.batch} ${batchId}`}>
                  {deadLetteredAt ? formatInstant(timestampMs(deadLetteredAt), zone, now, true) : "–"}
                </th>
                <td className={`${CELL} text-right tabular-nums`}>{formatCount(events)}</td>
                <td className={`${CELL} max-w-lg text-xs break-words`}>{reason}</td>
                <td className={`${CELL} text-right tabular-nums`}>{formatCount(attempts)}</td>
                <td className={`${CELL} whitespace-nowrap ${refused ? "text-warn" : ""}`}>{next(letter)}</td>
                <td className={`${CELL} text-right`}>
                  <Button disabled={pending} aria-label={words.replayOf(batchId)} onClick={() => onReplay(letter)}>
                    {words.replay}
                  </Button>
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </Scrolled>
  );
}
