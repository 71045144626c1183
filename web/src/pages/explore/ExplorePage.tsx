// Explore: the question on the left, its live result on the right. The question is in the address.

import { Suspense, useCallback, useEffect, useMemo, useRef, useState } from "react";
import { GET_INSIGHT } from "../../api/methods.ts";
import { lazyPart } from "../../lazyPart.ts";
import { useCall } from "../../live/useCall.ts";
import { Page } from "../../shell/Page.tsx";
import { SpanOfFrame } from "../../shell/ShownSpan.tsx";
import { useParameters, useView } from "../../shell/view.ts";
import { Button, IconButton } from "../../ui/Button.tsx";
import { Dialog } from "../../ui/Dialog.tsx";
import { Icon } from "../../ui/icons.tsx";
import { EmptyState, Spinner } from "../../ui/placeholders.tsx";
import { Actions } from "./Actions.tsx";
import { INSIGHT_KEY, KEYS, questionText, type Read, readQuestion, writeQuestion } from "./address.ts";
import { Blank } from "./Blank.tsx";
import { asTab, Builder, Kinds, type Tab, tabOf } from "./Builder.tsx";
import { finished } from "./finished.ts";
import { type Question, seriesOf, trendOf } from "./question.ts";
import { Result } from "./Result.tsx";
import { fromInsight } from "./request.ts";
import { SavedInsights } from "./SavedInsights.tsx";
import { readSql, SQL_KEYS, type SqlView, writeSql } from "./sqlAddress.ts";
import { words } from "./strings.ts";
import { useAnswer, Watch } from "./useAnswer.tsx";
import { useCanEdit } from "./useCanEdit.ts";
import { serverProblem, validate } from "./validate.ts";
import { questionWords } from "./words.ts";
import "./explore.css";

const SqlTab = lazyPart(() => import("./SqlTab.tsx"));

/** Removes the question from the address. */
const NO_QUESTION = Object.fromEntries([...KEYS, ...SQL_KEYS].map((key) => [key, undefined]));

/** Below it, the builder is a sheet. */
const NARROW = "(max-width: 47.99rem)";

function useNarrow(): boolean {
  const [narrow, setNarrow] = useState(() => matchMedia(NARROW).matches);
  useEffect(() => {
    const query = matchMedia(NARROW);
    const changed = () => setNarrow(query.matches);
    query.addEventListener("change", changed);
    return () => query.removeEventListener("change", changed);
  }, []);
  return narrow;
}

export default function ExplorePage() {
  const [search, change] = useParameters();
  const [view, setView] = useView();
  const narrow = useNarrow();
  const [sheet, setSheet] = useState(false);
  const result = useRef<HTMLElement>(null);
  const name = [search[INSIGHT_KEY]].flat()[0];
  const loaded = useCall(GET_INSIGHT, name ? { name } : null, { keepPrevious: false });
  const insight = loaded.data?.insight;
  const savedQuestion = useMemo(() => insight && fromInsight(insight), [insight]);
  const isSql = search.q === "sql";
  const canEdit = useCanEdit();
  const address = useMemo(() => (isSql ? { rejected: [] } : readQuestion(search)) as Read, [search, isSql]);
  const [rejected, setRejected] = useState(address.rejected);
  /** As it is in the builder, and without the conditions that are being entered. */
  const entered = isSql ? null : (address.question ?? savedQuestion ?? null);
  const question = useMemo(() => entered && finished(entered), [entered]);

  const setQuestion = useCallback(
    (next: Question | undefined) => {
      const written = writeQuestion(next);
      change({ ...NO_QUESTION, ...written });
    },
    [change],
  );

  // Coming back from SQL, the question is what it was.
  const last = useRef<Question>(undefined);
  if (entered) last.current = entered;

  const own = useMemo(() => (entered ? validate(entered) : new Map<string, string>()), [entered]);
  const answer = useAnswer(question && own.size === 0 ? question : null, view);
  const ofServer = answer.failure && serverProblem(answer.failure.reason);
  const problems = useMemo(
    () => (ofServer ? new Map([...own, [ofServer.path, ofServer.text] as const]) : own),
    [own, ofServer?.path, ofServer?.text, ofServer],
  );

  const changed =
    savedQuestion !== undefined &&
    address.question !== undefined &&
    questionText(address.question) !== questionText(savedQuestion);
  const title = insight?.title || (question ? questionWords(question) : words.title);

  const onTab = (tab: Tab) => {
    if (tab === "sql") change({ ...NO_QUESTION, q: "sql", [INSIGHT_KEY]: undefined });
    else setQuestion(asTab(entered ?? last.current ?? trendOf([seriesOf("")]), tab));
  };
  const kinds = <Kinds tab={isSql ? "sql" : question ? tabOf(question) : "trend"} sql={canEdit} onTab={onTab} />;
  const builder = entered && (
    <div className="flex flex-col gap-3">
      {kinds}
      <Builder question={entered} onChange={setQuestion} problems={problems} />
    </div>
  );
  const onSql = useCallback((view: SqlView) => change(writeSql(view), { replace: true }), [change]);
  return (
    <Page
      name={words.title}
      title={`${question ? title : words.title} · Millrace`}
      uses={["range", "compare", "zone", "filters", "pause"]}
      nameExtra={
        <SavedInsights current={name ?? ""} onOpen={(opened) => change({ ...NO_QUESTION, [INSIGHT_KEY]: opened })} />
      }
      span={answer.answer && question ? <SpanOfFrame frame={answer.answer.frame} /> : null}
    >
      {answer.watch && <Watch {...answer.watch} />}
      {rejected.length > 0 && (
        <div role="status" className="shell-note">
          <Icon name="warning" className="text-warn" />
          <p className="min-w-0 flex-1">{words.unreadable(rejected)}</p>
          <IconButton icon="close" label="Dismiss" onClick={() => setRejected([])} />
        </div>
      )}
      {!question && name && loaded.failure && (
        <EmptyState
          title={words.insightMissing(name)}
          action={<Button onClick={() => change({ [INSIGHT_KEY]: undefined })}>{words.newQuestion}</Button>}
        >
          {loaded.failure.reason}
        </EmptyState>
      )}
      {!question && name && !isSql && !loaded.failure && (
        <div className="ui-empty">
          <Spinner />
        </div>
      )}
      {isSql && (
        <div className="explore-main">
          <div className="explore-sql-kinds">{kinds}</div>
          <Suspense fallback={<Spinner />}>
            <SqlTab view={readSql(search)} selection={view} onView={onSql} />
          </Suspense>
        </div>
      )}
      {!question && !name && !isSql && (
        <Blank
          onQuestion={(next, range) =>
            change({ ...writeQuestion(next), ...(range && { range, from: undefined, to: undefined }) })
          }
          range={view.range}
        />
      )}
      {question && (
        <div className="explore">
          {!narrow && (
            <aside aria-label={words.builder} className="explore-side">
              {builder}
            </aside>
          )}
          <div className="explore-main">
            <header className="explore-head">
              <div className="explore-heading">
                <h2 className="explore-title" title={title}>
                  {title}
                </h2>
                {insight && (
                  <p className="text-xs text-muted">
                    {insight.title !== questionWords(question) && insight.description}
                    {changed && (
                      <>
                        {" "}
                        <span className="text-warn">{words.unsaved}</span>{" "}
                        <button type="button" className="explore-link" onClick={() => setQuestion(undefined)}>
                          {words.revert}
                        </button>
                      </>
                    )}
                  </p>
                )}
              </div>
              {narrow && (
                <Button icon="filter" onClick={() => setSheet(true)}>
                  {words.edit}
                </Button>
              )}
              <Actions
                question={question}
                selection={view}
                valid={own.size === 0}
                insight={insight}
                changed={changed}
                answer={answer.current ? answer.answer : undefined}
                stale={answer.staleReason !== undefined}
                result={result}
                onSaved={(saved) => change({ ...NO_QUESTION, [INSIGHT_KEY]: saved })}
                onNew={() => change({ ...NO_QUESTION, [INSIGHT_KEY]: undefined })}
              />
            </header>
            <Result
              ref={result}
              question={question}
              problems={own}
              state={answer}
              selection={view}
              onQuestion={setQuestion}
              onView={setView}
            />
          </div>
          {narrow && sheet && (
            <Dialog
              title={words.builder}
              onClose={() => setSheet(false)}
              actions={
                <Button kind="primary" onClick={() => setSheet(false)}>
                  {words.done}
                </Button>
              }
            >
              {builder}
            </Dialog>
          )}
        </div>
      )}
    </Page>
  );
}
