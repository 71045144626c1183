// The server's health while the page is open: a stream that is opened again when it has ended.

import { useEffect, useRef, useState } from "react";
import { stream } from "../../api/client.ts";
import { toFailure } from "../../api/errors.ts";
import { type Health, timestampMs } from "../../api/messages.ts";
import { HEALTH_WATCH } from "../../api/methods.ts";
import { backoffDelayMs } from "../../lib/backoff.ts";
import { addLag, type LagSample } from "./lag.ts";
import { addSample, type Sample } from "./rate.ts";

export interface HealthState {
  /** The last report. */
  health: Health | undefined;
  /** When it arrived, by the browser's clock. */
  at: number;
  /** Why there is no stream. Undefined while there is one, and before the first attempt has ended. */
  failure: string | undefined;
  /** Accepted events. */
  samples: Sample[];
  /** The age of the oldest event that has not landed. */
  lags: LagSample[];
}

/** `clockOffsetMs`: how far the server's clock is ahead of the browser's. */
export function useHealth(clockOffsetMs: number): HealthState & { retry: () => void } {
  const [state, setState] = useState<HealthState>({
    health: undefined,
    at: 0,
    failure: undefined,
    samples: [],
    lags: [],
  });
  const offset = useRef(clockOffsetMs);
  offset.current = clockOffsetMs;
  const [round, setRound] = useState(0);
  const attempt = useRef(0);
  // biome-ignore lint/correctness/useExhaustiveDependencies: each round is an attempt
  useEffect(() => {
    const control = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const fail = (reason: string) => {
      if (control.signal.aborted) return;
      attempt.current += 1;
      setState((before) => ({ ...before, failure: reason }));
      timer = setTimeout(() => setRound((before) => before + 1), backoffDelayMs(attempt.current));
    };
    const read = async () => {
      for await (const { health } of stream(HEALTH_WATCH, {}, control.signal)) {
        if (!health || control.signal.aborted) continue;
        attempt.current = 0;
        const at = Date.now();
        const sample = { at, count: Number(health.eventsAccepted) };
        const lag = {
          at: at + offset.current,
          oldest: health.oldestUnlanded && timestampMs(health.oldestUnlanded),
        };
        setState((before) => ({
          health,
          at,
          failure: undefined,
          samples: addSample(before.samples, sample),
          lags: addLag(before.lags, lag),
        }));
      }
      fail("the server has ended the connection");
    };
    read().catch((error: unknown) => fail(toFailure(error).reason));
    return () => {
      control.abort();
      clearTimeout(timer);
    };
  }, [round]);
  return { ...state, retry: () => setRound((before) => before + 1) };
}
