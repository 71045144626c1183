import { type FormEvent, useState } from "react";
import { call } from "../../api/client.ts";
import { toFailure } from "../../api/errors.ts";
import { type Annotation, timestampMs, toTimestamp } from "../../api/messages.ts";
import { DELETE_ANNOTATION, LIST_ANNOTATIONS, SAVE_ANNOTATION } from "../../api/methods.ts";
import { Code, StatusError } from "../../api/status.ts";
import { formatInstant, timeZoneLabel } from "../../lib/time.ts";
import { invalidateCalls, useCall } from "../../live/useCall.ts";
import { Button } from "../../ui/Button.tsx";
import { Dialog } from "../../ui/Dialog.tsx";
import { Field, Input } from "../../ui/Field.tsx";
import { Skeleton } from "../../ui/placeholders.tsx";
import { showToast } from "../../ui/toast.ts";
import { useShownSpan } from "../Page.tsx";
import { useView } from "../view.ts";
import { fileName, fromInput, toInput } from "./form.ts";
import { annotationStrings as words } from "./strings.ts";

interface Props {
  /** Begins with the form of a new one. */
  adding: boolean;
  /** Whether the reader has the role. */
  editable: boolean;
  /** The project of new ones. Empty for every project. */
  project: string;
  onClose: () => void;
}

type Edited = { annotation?: Annotation };

const hasChanged = (error: unknown): boolean =>
  error instanceof StatusError && (error.code === Code.Aborted || error.code === Code.FailedPrecondition);

/** Lists the annotations, adds, changes and deletes them. */
export default function AnnotationsDialog({ adding, editable, project, onClose }: Props) {
  const { data, failure, refetch } = useCall(LIST_ANNOTATIONS, {});
  const [edited, setEdited] = useState<Edited | undefined>(adding ? {} : undefined);
  const canSave = editable && data !== undefined && !data.readOnly;
  if (edited && data && canSave) {
    return (
      <Dialog title={edited.annotation ? words.editTitle : words.newTitle} onClose={onClose}>
        <Form
          annotation={edited.annotation}
          taken={data.annotations.map(({ name }) => name)}
          project={project}
          onCancel={() => (adding ? onClose() : setEdited(undefined))}
          onSaved={() => (adding ? onClose() : setEdited(undefined))}
        />
      </Dialog>
    );
  }
  return (
    <Dialog
      title={words.title}
      onClose={onClose}
      actions={canSave && <Button onClick={() => setEdited({})}>{words.annotate}</Button>}
    >
      <div className="flex flex-col gap-3">
        <p className="text-muted">{words.hint}</p>
        {!editable && <p className="text-xs text-muted">{words.noRole}</p>}
        {editable && data?.readOnly && <p className="text-xs text-muted">{words.readOnly}</p>}
        {failure && (
          <div role="alert" className="flex flex-col items-start gap-2">
            <p className="ui-error">
              {words.failed}: {failure.reason}.
            </p>
            <Button onClick={() => void refetch()}>{words.retry}</Button>
          </div>
        )}
        {!data && !failure && <Skeleton className="h-16" />}
        {data && data.annotations.length === 0 && <p className="font-medium">{words.none}</p>}
        {data && data.annotations.length > 0 && (
          <List
            annotations={data.annotations}
            onEdit={canSave ? (annotation) => setEdited({ annotation }) : undefined}
          />
        )}
        {data && data.broken.length > 0 && <p className="text-xs text-warn">▲ {words.broken(data.broken.length)}</p>}
      </div>
    </Dialog>
  );
}

const atOf = ({ at }: Annotation): number => (at ? timestampMs(at) : 0);

function List({
  annotations,
  onEdit,
}: {
  annotations: Annotation[];
  onEdit: ((annotation: Annotation) => void) | undefined;
}) {
  const [{ zone }] = useView();
  const [asked, setAsked] = useState("");
  const [failure, setFailure] = useState<string>();
  const [busy, setBusy] = useState(false);
  const now = Date.now();
  const remove = async ({ name, etag }: Annotation) => {
    setBusy(true);
    setFailure(undefined);
    try {
      await call(DELETE_ANNOTATION, { name, etag });
      showToast({ title: words.removed });
    } catch (error) {
      setFailure(hasChanged(error) ? words.conflict : words.removeFailed(toFailure(error).reason));
    }
    await invalidateCalls(LIST_ANNOTATIONS);
    setAsked("");
    setBusy(false);
  };
  return (
    <>
      {failure && (
        <p role="alert" className="ui-error">
          {failure}
        </p>
      )}
      <ul aria-label={words.list} className="flex flex-col">
        {annotations
          .toSorted((a, b) => atOf(b) - atOf(a))
          .map((annotation) => (
            <li
              key={annotation.name}
              className="flex flex-wrap items-center gap-x-3 gap-y-1 border-t border-line py-2 first:border-t-0"
            >
              <div className="min-w-48 flex-1">
                <p className="font-medium break-words">{annotation.title}</p>
                <p className="text-xs text-muted tabular-nums">{formatInstant(atOf(annotation), zone, now, false)}</p>
                {annotation.description && <p className="text-xs break-words text-muted">{annotation.description}</p>}
              </div>
              {onEdit &&
                (asked === annotation.name ? (
                  <span className="flex flex-wrap items-center gap-2">
                    <span>{words.confirmRemove}</span>
                    <Button onClick={() => setAsked("")}>{words.keep}</Button>
                    <Button kind="danger" disabled={busy} onClick={() => void remove(annotation)}>
                      {words.remove}
                    </Button>
                  </span>
                ) : (
                  <span className="flex gap-2">
                    <Button aria-label={words.editOf(annotation.title)} onClick={() => onEdit(annotation)}>
                      {words.edit}
                    </Button>
                    <Button aria-label={words.removeOf(annotation.title)} onClick={() => setAsked(annotation.name)}>
                      {words.remove}
                    </Button>
                  </span>
                ))}
            </li>
          ))}
      </ul>
    </>
  );
}

interface FormProps {
  /** Undefined: a new one. */
  annotation: Annotation | undefined;
  taken: string[];
  project: string;
  onCancel: () => void;
  onSaved: () => void;
}

function Form({ annotation, taken, project, onCancel, onSaved }: FormProps) {
  const [{ zone }] = useView();
  const shownSpan = useShownSpan();
  const [initial] = useState(() => {
    const now = Date.now();
    const span = shownSpan();
    // Something that happened at the end of what is shown, if that is in the past.
    return toInput(annotation ? atOf(annotation) : Math.min(now, span?.to ?? now), zone);
  });
  const [title, setTitle] = useState(annotation?.title ?? "");
  const [description, setDescription] = useState(annotation?.description ?? "");
  const [time, setTime] = useState(initial);
  const [submitted, setSubmitted] = useState(false);
  const [failure, setFailure] = useState<string>();
  const [busy, setBusy] = useState(false);
  const at = fromInput(time, zone);

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setSubmitted(true);
    if (title.trim() === "" || at === undefined) return;
    setBusy(true);
    setFailure(undefined);
    // Seconds are not entered: a time that was not changed keeps them.
    const exact = annotation && time === initial ? atOf(annotation) : at;
    const saved = {
      name: annotation?.name ?? fileName(title, taken),
      title: title.trim(),
      description: description.trim(),
      project: annotation?.project ?? project,
      at: toTimestamp(exact),
      etag: annotation?.etag ?? "",
    };
    try {
      await call(SAVE_ANNOTATION, { annotation: saved });
      showToast({ title: words.saved });
      await invalidateCalls(LIST_ANNOTATIONS);
      onSaved();
    } catch (error) {
      setFailure(hasChanged(error) ? words.conflict : words.saveFailed(toFailure(error).reason));
      if (hasChanged(error)) void invalidateCalls(LIST_ANNOTATIONS);
      setBusy(false);
    }
  };

  return (
    <form noValidate className="flex flex-col gap-4" onSubmit={submit}>
      <Field
        label={words.name}
        hint={words.nameHint}
        error={submitted && title.trim() === "" ? words.nameMissing : undefined}
      >
        {(control) => (
          <Input {...control} autoComplete="off" value={title} onChange={(event) => setTitle(event.target.value)} />
        )}
      </Field>
      <Field
        label={words.time(timeZoneLabel(zone))}
        error={submitted && at === undefined ? words.timeMissing : undefined}
      >
        {(control) => (
          <Input
            {...control}
            type="datetime-local"
            className="sm:w-64"
            value={time}
            onChange={(event) => setTime(event.target.value)}
          />
        )}
      </Field>
      <Field label={words.description} hint={words.descriptionHint}>
        {(control) => (
          <textarea
            {...control}
            rows={2}
            className="ui-input resize-y py-1.5"
            value={description}
            onChange={(event) => setDescription(event.target.value)}
          />
        )}
      </Field>
      {failure && (
        <p role="alert" className="ui-error">
          {failure}
        </p>
      )}
      <div className="flex flex-wrap justify-end gap-2">
        <Button onClick={onCancel}>{words.cancel}</Button>
        <Button kind="primary" type="submit" disabled={busy}>
          {words.save}
        </Button>
      </div>
    </form>
  );
}
