import { useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { useConnection } from "../../shell/live.ts";
import type { EventFilterInit } from "./conditions.ts";
import { serverSource } from "./source.ts";
import { LiveStream } from "./stream.ts";

/** Follows the events that match, as long as the component is mounted. */
export function useStream(filter: EventFilterInit | undefined, maxPerSecond: number): LiveStream {
  const key = JSON.stringify(filter ?? null);
  const rate = useRef(maxPerSecond);
  // biome-ignore lint/correctness/useExhaustiveDependencies: equal filters have equal keys
  const stream = useMemo(() => new LiveStream({ filter, maxPerSecond: rate.current }, serverSource), [key]);
  useEffect(() => {
    stream.start();
    const onVisibility = () => stream.setVisible(document.visibilityState === "visible");
    document.addEventListener("visibilitychange", onVisibility);
    // The note about sampling and the line of the last minute go on while nothing arrives.
    const timer = setInterval(() => document.visibilityState === "visible" && stream.tick(), 1_000);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", onVisibility);
      stream.stop();
    };
  }, [stream]);
  useEffect(() => {
    rate.current = maxPerSecond;
    stream.setMaxPerSecond(maxPerSecond);
  }, [stream, maxPerSecond]);
  useReconnect(stream);
  return stream;
}

/** A stream without events is silent, so that only the page's own heartbeats tell whether its connection is dead. */
function useReconnect(stream: LiveStream): void {
  const { phase } = useConnection().state;
  const wasAway = useRef(false);
  useEffect(() => {
    if (phase === "stale" || phase === "offline") wasAway.current = true;
    else if (phase !== "denied" && wasAway.current) {
      wasAway.current = false;
      stream.retry();
    }
  }, [phase, stream]);
}

export const useSnapshot = (stream: LiveStream) => useSyncExternalStore(stream.subscribe, stream.read);

/** Height of a row in pixels: two lines on a phone, as high as a finger on other touch screens. */
export function useRowHeight(): number {
  const [height, setHeight] = useState(rowHeight);
  useEffect(() => {
    const queries = [PHONE, COARSE].map((query) => window.matchMedia(query));
    const update = () => setHeight(rowHeight());
    for (const query of queries) query.addEventListener("change", update);
    return () => {
      for (const query of queries) query.removeEventListener("change", update);
    };
  }, []);
  return height;
}

const PHONE = "(max-width: 39.99rem)";
const COARSE = "(pointer: coarse)";

function rowHeight(): number {
  if (window.matchMedia(PHONE).matches) return 56;
  return window.matchMedia(COARSE).matches ? 44 : 32;
}
