// A query of one's own: an editor with completion, and its result as a table or a chart.

import { type KeyboardEvent, useCallback, useEffect, useId, useMemo, useRef, useState } from "react";
import { call } from "../../api/client.ts";
import { decodeFrame } from "../../api/decode.ts";
import { toFailure } from "../../api/errors.ts";
import { QUERY_SQL } from "../../api/methods.ts";
import { toFilters, toRange } from "../../api/selection.ts";
import { durationMs } from "../../api/time.ts";
import { Chart } from "../../charts/Chart.tsx";
import type { PanelParameter } from "../../frame/catalog.ts";
import { csvBytes } from "../../frame/csv.ts";
import type { Frame } from "../../frame/frame.ts";
import { downloadFile } from "../../lib/download.ts";
import { formatBytes, formatCount, formatDuration, formatFixed } from "../../lib/format.ts";
import type { ChartKind } from "../../live/protocol.ts";
import type { Selection } from "../../query/query.ts";
import { useProperties } from "../../shell/pickers/pickers.tsx";
import { Button } from "../../ui/Button.tsx";
import { EmptyState } from "../../ui/placeholders.tsx";
import { chosenValues, ParameterFields, type Typed } from "../dashboard/ParameterFields.tsx";
import { copy } from "./copy.ts";
import { sqlCurlCommand } from "./document.ts";
import type { SqlView } from "./sqlAddress.ts";
import {
  COMPLETIONS,
  type Completion,
  complete,
  completionsFor,
  declaredParameters,
  type SqlProblem,
  sqlProblem,
  type Word,
  wordBefore,
} from "./sqlText.ts";
import { words } from "./strings.ts";

const FIRST_SQL = `SELECT event_name, count() AS events, uniqExact(session_id) AS sessions
FROM events
WHERE timestamp >= {range_start:DateTime64(3, 'UTC')} AND timestamp < {range_end:DateTime64(3, 'UTC')}
GROUP BY event_name
ORDER BY events DESC`;

interface Result {
  frame: Frame;
  view: SqlView;
  selection: Selection;
  rowsRead: bigint;
  bytesRead: bigint;
  elapsedMs: number;
}

interface Props {
  /** That of the address. */
  view: SqlView;
  selection: Selection;
  /** The statement was run: it becomes that of the address. */
  onView: (view: SqlView) => void;
}

const KINDS: ChartKind[] = ["line", "area", "stacked", "bar", "horizontal-bar", "table"];

/** As the header of a panel's file says. */
const chartOf = (sql: string): ChartKind =>
  KINDS.find((kind) => new RegExp(`^--\\s*chart:\\s*${kind}\\s*$`, "m").test(sql)) ?? "table";

export default function SqlTab({ view: saved, selection, onView }: Props) {
  const [sql, setSql] = useState(saved.sql || FIRST_SQL);
  const [typed, setTyped] = useState<Typed>(saved.values);
  const parameters = useMemo(() => declaredParameters(sql), [sql]);
  const [result, setResult] = useState<Result>();
  const [problem, setProblem] = useState<SqlProblem>();
  const [startedAt, setStartedAt] = useState<number>();
  const abort = useRef<AbortController>(undefined);
  const current = useRef({ view: saved, selection });
  current.current = { view: { sql, values: chosenValues(parameters, typed) }, selection };

  const run = useCallback(() => {
    const { view, selection } = current.current;
    abort.current?.abort();
    const controller = new AbortController();
    abort.current = controller;
    setStartedAt(Date.now());
    setProblem(undefined);
    onView(view);
    const request = {
      sql: view.sql,
      range: { ...toRange(selection.range), timeZone: selection.zone },
      filters: toFilters(selection.filters),
      parameters: view.values,
    };
    call(QUERY_SQL, request, controller.signal).then(
      ({ frame, cost }) => {
        if (controller.signal.aborted) return;
        setStartedAt(undefined);
        if (!frame) return;
        setResult({
          frame: decodeFrame(frame),
          view,
          selection,
          rowsRead: cost?.rowsRead ?? 0n,
          bytesRead: cost?.bytesRead ?? 0n,
          elapsedMs: cost?.elapsed ? durationMs(cost.elapsed) : 0,
        });
      },
      (error) => {
        if (controller.signal.aborted) return;
        setStartedAt(undefined);
        setProblem(sqlProblem(toFailure(error).reason));
      },
    );
  }, [onView]);
  const cancel = () => {
    abort.current?.abort();
    setStartedAt(undefined);
  };

  // A statement of a link is run, and again when the range changes.
  const selected = JSON.stringify(selection);
  // biome-ignore lint/correctness/useExhaustiveDependencies: as above
  useEffect(() => {
    if (saved.sql !== "") run();
  }, [selected]);
  useEffect(() => () => abort.current?.abort(), []);

  const running = startedAt !== undefined;
  return (
    <>
      <div className="explore-sql card">
        <Editor sql={sql} parameters={parameters} onChange={setSql} onRun={run} problem={problem} />
        {parameters.length > 0 && (
          <fieldset
            className="explore-sql-parameters"
            // In a field as in the editor, and Enter alone.
            onKeyDown={(event) => event.key === "Enter" && !running && run()}
          >
            <legend className="sr-only">{words.sql.parameters}</legend>
            <ParameterFields
              parameters={parameters}
              typed={typed}
              onType={setTyped}
              errorOf={(name) => (problem?.parameter === name ? problem.text : undefined)}
            />
          </fieldset>
        )}
        <div className="flex flex-wrap items-center gap-2">
          <Button kind="primary" icon="play" onClick={run} disabled={running || sql.trim() === ""}>
            {words.run}
          </Button>
          <span className="text-xs text-muted">{words.sql.keys}</span>
          {running && <Elapsed since={startedAt} onCancel={cancel} />}
        </div>
        {problem && !parameters.some(({ name }) => name === problem.parameter) && (
          <p role="alert" className="explore-callout">
            {problem.line !== undefined && <strong>{words.sql.line(problem.line)} </strong>}
            {problem.text}
          </p>
        )}
      </div>
      <section aria-label={words.result} className="explore-result card" data-state={running ? "running" : "done"}>
        <div className="explore-bar" aria-hidden="true" data-running={running || undefined} />
        {!result && !running && <EmptyState title={words.sql.nothing}>{words.sql.nothingHint}</EmptyState>}
        {result && (
          <>
            <div className="explore-sql-result" data-dimmed={running || problem ? "" : undefined}>
              {result.frame.rows === 0 ? (
                <EmptyState title={words.sql.noRows}>{words.longer}</EmptyState>
              ) : (
                <Chart
                  frame={result.frame}
                  frameKey={`${result.view.sql} ${result.frame.context.computedAt}`}
                  kind={chartOf(result.view.sql)}
                  title={words.result}
                  top={25}
                />
              )}
            </div>
            <footer className="explore-foot">
              <span title={words.costHint(formatBytes(result.bytesRead))}>
                {words.cost(formatDuration(result.elapsedMs), formatCount(result.rowsRead))}
              </span>
              <span>
                <button
                  type="button"
                  className="explore-link"
                  onClick={() =>
                    downloadFile("query.csv", new Blob([csvBytes(result.frame, "raw")], { type: "text/csv" }))
                  }
                >
                  {words.downloadCsv}
                </button>
              </span>
              <span>
                <button
                  type="button"
                  className="explore-link"
                  onClick={() =>
                    void copy(sqlCurlCommand(result.view, result.selection, document.baseURI), words.curlCopied)
                  }
                >
                  {words.copyCurl}
                </button>
              </span>
            </footer>
          </>
        )}
      </section>
    </>
  );
}

function Elapsed({ since, onCancel }: { since: number; onCancel: () => void }) {
  const [now, setNow] = useState(since);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 200);
    return () => clearInterval(timer);
  }, []);
  return (
    <span className="flex items-center gap-2" role="status">
      <span className="ui-spinner" aria-hidden="true" />
      <span aria-hidden="true">{words.elapsed(formatFixed(Math.max(0, now - since) / 1000, 1))}</span>
      <Button className="explore-small" onClick={onCancel}>
        {words.cancel}
      </Button>
    </span>
  );
}

interface EditorProps {
  sql: string;
  parameters: PanelParameter[];
  onChange: (sql: string) => void;
  onRun: () => void;
  problem: SqlProblem | undefined;
}

interface Open {
  word: Word;
  options: Completion[];
  active: number;
  /** Of the cursor, in lines and characters. */
  line: number;
  column: number;
}

function Editor({ sql, parameters, onChange, onRun, problem }: EditorProps) {
  const area = useRef<HTMLTextAreaElement>(null);
  const id = useId();
  const [open, setOpen] = useState<Open>();
  const properties = useProperties("");
  const all = useMemo(
    () => [
      ...COMPLETIONS,
      ...parameters.map(
        ({ name, type, description }): Completion => ({
          text: `{${name}:${type}}`,
          detail: description,
          kind: "parameter",
        }),
      ),
      ...(properties ?? [])
        .filter(({ isOwn }) => !isOwn)
        .map(({ key, types }): Completion => {
          const number = types[0]?.type === 2;
          const text = `JSONExtract${number ? "Float" : "String"}(properties, '${key.replaceAll("'", "\\'")}')`;
          return { text, detail: key, kind: "property" };
        }),
    ],
    [properties, parameters],
  );
  const lines = sql.split("\n").length;

  const suggest = (text: string, cursor: number, asked = false) => {
    const word = wordBefore(text, cursor) ?? (asked ? { text: "", start: cursor } : undefined);
    const options = !word || (word.text === "" && !asked) ? [] : matching(word.text, all);
    if (!word || options.length === 0) return setOpen(undefined);
    const before = text.slice(0, word.start);
    const line = before.split("\n").length - 1;
    setOpen({ word, options, active: 0, line, column: before.length - before.lastIndexOf("\n") - 1 });
  };

  const choose = (option: Completion) => {
    if (!open) return;
    const next = complete(sql, open.word, option.text);
    onChange(next.sql);
    setOpen(undefined);
    // After the new text is in the area.
    requestAnimationFrame(() => {
      area.current?.focus();
      area.current?.setSelectionRange(next.cursor, next.cursor);
    });
  };

  const onKeyDown = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      setOpen(undefined);
      onRun();
      return;
    }
    if (event.key === " " && event.ctrlKey) {
      event.preventDefault();
      suggest(sql, event.currentTarget.selectionStart, true);
      return;
    }
    if (!open) return;
    const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const option = open.options[open.active];
    if (move !== undefined) {
      const count = open.options.length;
      setOpen({ ...open, active: (open.active + move + count) % count });
    } else if ((event.key === "Tab" || event.key === "Enter") && option) choose(option);
    else if (event.key === "Escape") setOpen(undefined);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };

  return (
    <div className="explore-editor">
      <div className="explore-lines" aria-hidden="true">
        {Array.from({ length: lines }, (_, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: lines have no identity but their number
          <span key={index} data-error={problem?.line === index + 1 || undefined}>
            {index + 1}
          </span>
        ))}
      </div>
      <div className="relative min-w-0 flex-1">
        <textarea
          ref={area}
          className="explore-code"
          aria-label={words.sql.editor}
          aria-autocomplete="list"
          aria-controls={open ? id : undefined}
          aria-activedescendant={open ? `${id}-${open.active}` : undefined}
          aria-invalid={problem ? true : undefined}
          rows={Math.max(8, Math.min(24, lines + 1))}
          wrap="off"
          spellCheck={false}
          autoCapitalize="off"
          autoComplete="off"
          value={sql}
          onChange={(event) => {
            onChange(event.target.value);
            suggest(event.target.value, event.target.selectionStart);
          }}
          onKeyDown={onKeyDown}
          onBlur={() => setOpen(undefined)}
        />
        {open && (
          <div
            id={id}
            role="listbox"
            aria-label={words.sql.completions}
            className="explore-completions ui-popup"
            style={{
              top: `calc(${open.line + 1} * 1.25rem + 0.5rem - ${area.current?.scrollTop ?? 0}px)`,
              left: `min(calc(${open.column}ch - ${area.current?.scrollLeft ?? 0}px), calc(100% - 18rem))`,
            }}
          >
            {open.options.map((option, index) => (
              // biome-ignore lint/a11y/useFocusableInteractive: the focus stays in the editor, which names the active option
              <div
                key={option.text}
                id={`${id}-${index}`}
                role="option"
                aria-selected={index === open.active}
                className="ui-option"
                data-highlighted={index === open.active || undefined}
                // Before the editor loses the focus.
                onPointerDown={(event) => {
                  event.preventDefault();
                  choose(option);
                }}
              >
                <span className="min-w-0 flex-1 truncate font-mono">{option.text}</span>
                <span className="text-xs text-muted">{option.detail}</span>
              </div>
            ))}
          </div>
        )}
      </div>
    </div>
  );
}

/** Properties are found by their key, too. */
function matching(word: string, all: Completion[]): Completion[] {
  if (word === "") return all.slice(0, 8);
  const byKey = all.filter(
    ({ kind, detail }) => kind === "property" && detail.toLowerCase().startsWith(word.toLowerCase()),
  );
  return [...new Set([...completionsFor(word, all), ...byKey])].slice(0, 8);
}
