import { type ReactNode, useCallback, useEffect, useRef, useState } from "react";
import { useConnection } from "../../shell/live.ts";
import { usePause } from "../../shell/pause.tsx";
import { Button } from "../../ui/Button.tsx";
import { FixedRows } from "../../ui/FixedRows.tsx";
import { EmptyState, Skeleton, Spinner } from "../../ui/placeholders.tsx";
import { MAX_ROWS } from "./buffer.ts";
import type { Condition } from "./conditions.ts";
import { EventInspector } from "./EventInspector.tsx";
import type { LiveEvent } from "./events.ts";
import { EventLine, GapLine } from "./Row.tsx";
import { StreamStatus } from "./StreamStatus.tsx";
import { type LiveStream, OLDER_DAYS } from "./stream.ts";
import { words } from "./strings.ts";
import { useRowHeight, useSnapshot } from "./useStream.ts";

interface Props {
  stream: LiveStream;
  zone: string;
  onFilter: (condition: Condition) => void;
  /** Shown instead of an empty list. */
  empty: ReactNode;
  isTest: (event: LiveEvent) => boolean;
}

interface Opened {
  key: number;
  event: LiveEvent;
  arrivedAt?: number;
}

/** The list of events, which holds still while somebody reads it. */
export function StreamView({ stream, zone, onFilter, empty, isTest }: Props) {
  const snapshot = useSnapshot(stream);
  const { paused, count } = usePause();
  const { clockOffsetMs } = useConnection().state;
  const [hovered, setHovered] = useState(false);
  const [scrolled, setScrolled] = useState(false);
  const [focused, setFocused] = useState(false);
  const [opened, setOpened] = useState<Opened>();
  const scroller = useRef<HTMLElement>(null);
  const rowHeight = useRowHeight();
  const held = paused || hovered || scrolled || focused;
  const { phase, length, waiting, older } = snapshot;

  useEffect(() => stream.hold(held), [stream, held]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another stream has other rows
  useEffect(() => setOpened(undefined), [stream]);
  useEffect(() => {
    if (paused && waiting > 0) count();
  }, [paused, waiting, count]);

  const showNew = () => {
    if (scroller.current) scroller.current.scrollTop = 0;
    setScrolled(false);
    stream.hold(false);
    if (paused || hovered || focused) stream.hold(true);
  };
  const open = useCallback((row: Opened) => setOpened((before) => (before?.key === row.key ? undefined : row)), []);
  const now = Date.now();

  return (
    <>
      <StreamStatus
        snapshot={snapshot}
        paused={paused}
        held={hovered ? "pointer" : scrolled || focused ? "scroll" : undefined}
        onRetry={() => stream.retry()}
      />
      <div className="live-columns">
        <div
          className="live-list"
          onPointerEnter={({ pointerType }) => setHovered(pointerType === "mouse")}
          onPointerLeave={() => setHovered(false)}
          data-list={length}
          data-waiting={waiting}
        >
          <div className="live-grid live-head" aria-hidden="true">
            <span>{words.columns.time}</span>
            <span>{words.columns.event}</span>
            <span className="live-visitor">{words.columns.visitor}</span>
            <span className="truncate">{words.columns.summary}</span>
            <span className="truncate">{words.columns.country}</span>
          </div>
          {waiting > 0 && (
            <Button kind="primary" className="live-pill" aria-label={words.showNew(waiting)} onClick={showNew}>
              {words.newEvents(waiting)}
            </Button>
          )}
          {length > 0 ? (
            <FixedRows
              label={words.list}
              count={length}
              rowHeight={rowHeight}
              rowKey={(index) => stream.row(index)?.key ?? index}
              scroller={scroller}
              onScrolled={(top) => setScrolled(top > 4)}
              onFocusRow={setFocused}
              onEnd={() => older.state === "idle" && phase !== "connecting" && void stream.loadOlder()}
              footer={<Older stream={stream} older={older} />}
            >
              {(index) => {
                const row = stream.row(index);
                if (!row) return null;
                if (row.kind === "gap") {
                  return <GapLine gap={row} zone={zone} onLoad={() => void stream.loadGap(row.key)} />;
                }
                return (
                  <EventLine
                    event={row.event}
                    zone={zone}
                    now={now}
                    selected={opened?.key === row.key}
                    isTest={isTest(row.event)}
                    onOpen={() => open(row)}
                    onFilter={onFilter}
                  />
                );
              }}
            </FixedRows>
          ) : phase === "connecting" || (phase === "retrying" && snapshot.version < 3) ? (
            <div className="flex flex-col gap-3 p-3" data-loading="">
              <Spinner label={words.status.connecting} />
              {["a", "b", "c", "d", "e", "f"].map((key) => (
                <Skeleton key={key} className="h-5 w-full" />
              ))}
            </div>
          ) : phase === "failed" ? (
            <EmptyState title={words.failed} action={<Button onClick={() => stream.retry()}>{words.retry}</Button>}>
              {snapshot.reason}
            </EmptyState>
          ) : (
            empty
          )}
        </div>
        {opened && (
          <EventInspector
            event={opened.event}
            zone={zone}
            latencyMs={
              opened.arrivedAt === undefined ? undefined : opened.arrivedAt + clockOffsetMs - opened.event.receivedAt
            }
            onFilter={onFilter}
            onClose={() => setOpened(undefined)}
          />
        )}
      </div>
    </>
  );
}

function Older({ stream, older }: { stream: LiveStream; older: ReturnType<LiveStream["read"]>["older"] }) {
  const { state, reason = "" } = older;
  return (
    <div className="live-foot" data-older={state}>
      {state === "loading" && (
        <>
          <Spinner label={words.older.loading} />
          <span aria-hidden="true">{words.older.loading}</span>
        </>
      )}
      {state === "idle" && <Button onClick={() => void stream.loadOlder()}>{words.older.load}</Button>}
      {state === "end" && words.older.end(OLDER_DAYS)}
      {state === "full" && words.older.full(MAX_ROWS)}
      {state === "failed" && (
        <>
          <span className="text-warn">{words.older.failed(reason)}</span>
          <Button onClick={() => void stream.loadOlder()}>{words.retry}</Button>
        </>
      )}
    </div>
  );
}
