// Moving figures can be paused (WCAG 2.2.2). Frames that arrive meanwhile are counted and shown on resuming.

import { createContext, type ReactNode, use, useCallback, useEffect, useMemo, useRef, useState } from "react";

interface Pause {
  paused: boolean;
  toggle: () => void;
  count: () => void;
}

const PauseContext = createContext<Pause | null>(null);
/** Apart, because it changes with every update while paused, and only the header shows it. */
const WaitingContext = createContext(0);

export function PauseProvider({ children }: { children: ReactNode }) {
  const [paused, setPaused] = useState(false);
  const [waiting, setWaiting] = useState(0);
  const toggle = useCallback(() => {
    setPaused((on) => !on);
    setWaiting(0);
  }, []);
  const count = useCallback(() => setWaiting((updates) => updates + 1), []);
  const value = useMemo(() => ({ paused, toggle, count }), [paused, toggle, count]);
  return (
    <PauseContext value={value}>
      <WaitingContext value={waiting}>{children}</WaitingContext>
    </PauseContext>
  );
}

/** Updates that have arrived since the page was paused. */
export const useWaiting = (): number => use(WaitingContext);

export function usePause(): Pause {
  const pause = use(PauseContext);
  if (!pause) throw new Error("no PauseProvider");
  return pause;
}

/**
 * `value` as it was when the page was paused. A value with another key, for example of another range, or one that is not
 * `settled`, is shown at once: the user has requested it. `counts`: whether its updates are counted as waiting.
 */
export function useFrozen<T>(value: T, key: string, settled: boolean, counts = true): T {
  const { paused, count } = usePause();
  const [held, setHeld] = useState<{ value: T; key: string }>();
  const usable = paused && held?.key === key;
  const counted = useRef(value);

  // State is adjusted during rendering, so that no newer value is painted in between.
  if (!paused && held) setHeld(undefined);
  else if (paused && settled && !usable) setHeld({ value, key });

  useEffect(() => {
    if (counted.current === value) return;
    counted.current = value;
    if (usable && counts) count();
  }, [value, usable, count, counts]);
  return usable ? held.value : value;
}
