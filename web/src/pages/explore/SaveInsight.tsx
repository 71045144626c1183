import { useState } from "react";
import { call } from "../../api/client.ts";
import { toFailure } from "../../api/errors.ts";
import type { Init, Insight } from "../../api/messages.ts";
import { GET_INSIGHT, LIST_INSIGHTS, SAVE_INSIGHT } from "../../api/methods.ts";
import { Code, StatusError } from "../../api/status.ts";
import { invalidateCalls } from "../../live/useCall.ts";
import type { Selection } from "../../query/query.ts";
import { Button } from "../../ui/Button.tsx";
import { Dialog } from "../../ui/Dialog.tsx";
import { Field, Input } from "../../ui/Field.tsx";
import { showToast } from "../../ui/toast.ts";
import type { Question } from "./question.ts";
import { chartNumber, toQuery } from "./request.ts";
import { words } from "./strings.ts";
import { questionWords } from "./words.ts";

/** A file name for a title: "Sign-ups by country" becomes "sign-ups-by-country". */
export const nameOf = (title: string): string =>
  title
    .normalize("NFKD")
    .toLowerCase()
    .replaceAll(/[^a-z0-9_]+/g, "-")
    .replaceAll(/^-+|-+$/g, "")
    .slice(0, 64)
    .replace(/-+$/, "");

export const isName = (name: string): boolean => /^[a-z0-9_-]{1,64}$/.test(name);

interface Props {
  question: Question;
  selection: Selection;
  insight: Insight | undefined;
  onClose: () => void;
  onSaved: (name: string) => void;
}

type Problem = "conflict" | "exists" | { reason: string };

function problemOf(error: unknown): Problem {
  if (error instanceof StatusError && error.code === Code.Aborted) return "conflict";
  if (error instanceof StatusError && error.code === Code.FailedPrecondition) return "exists";
  return { reason: toFailure(error).reason };
}

/** An insight with the name of the open one replaces it; another name makes a new one. */
export function SaveInsight({ question, selection, insight, onClose, onSaved }: Props) {
  const own = insight && !insight.builtIn ? insight : undefined;
  const [title, setTitle] = useState(insight?.title ?? questionWords(question).slice(0, 120));
  const [typedName, setName] = useState(insight?.name);
  const [description, setDescription] = useState(insight?.description ?? "");
  const [submitted, setSubmitted] = useState(false);
  const [saving, setSaving] = useState(false);
  const [problem, setProblem] = useState<Problem>();
  const name = typedName ?? nameOf(title);
  const titleError = submitted && title.trim() === "" ? words.saveHeadingMissing : undefined;
  const nameError =
    submitted && !isName(name) ? words.saveNameInvalid : problem === "exists" ? words.saveExists : undefined;

  const save = async () => {
    setSubmitted(true);
    if (title.trim() === "" || !isName(name)) return;
    setSaving(true);
    setProblem(undefined);
    const saved: Init<Insight> = {
      name,
      title: title.trim(),
      description: description.trim(),
      chart: chartNumber(question.chart),
      query: toQuery(question, selection) as never,
      ...(own?.name === name && { etag: own.etag, project: own.project }),
    };
    try {
      await call(SAVE_INSIGHT, { insight: saved });
      await invalidateCalls(GET_INSIGHT, LIST_INSIGHTS);
      showToast({ title: words.saved(title.trim()) });
      onSaved(name);
    } catch (error) {
      setProblem(problemOf(error));
      setSaving(false);
    }
  };

  return (
    <Dialog title={words.saveTitle} onClose={onClose}>
      <form
        noValidate
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault();
          void save();
        }}
      >
        <Field label={words.saveHeading} error={titleError}>
          {(control) => <Input {...control} value={title} onChange={(event) => setTitle(event.target.value)} />}
        </Field>
        <Field label={words.saveName} hint={words.saveNameHint} error={nameError}>
          {(control) => (
            <Input {...control} value={name} spellCheck={false} onChange={(event) => setName(event.target.value)} />
          )}
        </Field>
        <Field label={words.saveDescription}>
          {(control) => (
            <Input {...control} value={description} onChange={(event) => setDescription(event.target.value)} />
          )}
        </Field>
        {problem === "conflict" && (
          <div role="alert" className="flex flex-wrap items-center gap-2 text-danger">
            <p className="min-w-0 flex-1">{words.saveConflict}</p>
            <Button
              onClick={() => {
                void invalidateCalls(GET_INSIGHT);
                onSaved(name);
              }}
            >
              {words.openTheirs}
            </Button>
          </div>
        )}
        {typeof problem === "object" && (
          <p role="alert" className="text-danger">
            {words.saveFailed}: {problem.reason}
          </p>
        )}
        <Button kind="primary" type="submit" disabled={saving} className="self-start">
          {own?.name === name || !own ? words.save : words.saveAs}
        </Button>
      </form>
    </Dialog>
  );
}
