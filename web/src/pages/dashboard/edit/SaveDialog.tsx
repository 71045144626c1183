import { useNavigate } from "@tanstack/react-router";
import { type ReactNode, useState } from "react";
import { call } from "../../../api/client.ts";
import { toFailure } from "../../../api/errors.ts";
import { GET_DASHBOARD, SAVE_DASHBOARD } from "../../../api/methods.ts";
import { Code, StatusError } from "../../../api/status.ts";
import { Button } from "../../../ui/Button.tsx";
import { Dialog } from "../../../ui/Dialog.tsx";
import { Field, Input } from "../../../ui/Field.tsx";
import { showToast } from "../../../ui/toast.ts";
import { pathOf } from "../BoardActions.tsx";
import type { Board } from "../board/board.ts";
import { type Change, difference } from "../board/difference.ts";
import type { Known } from "../board/items.ts";
import { toBoard, toDashboard } from "../board/wire.ts";
import { type Reviewed, review } from "./review.ts";
import { editStrings as words } from "./strings.ts";

interface Props {
  base: Board;
  board: Board;
  changes: Change[];
  known: Known;
  onClose: () => void;
  onSaved: (board: Board) => void;
  /** The reader takes the version of the server. */
  onTheirs: (board: Board) => void;
  onCopied: () => void;
}

/** There is another version than the one that was edited: `theirs` is undefined if its file has been deleted. */
interface Conflict {
  theirs: Board | undefined;
}

const hasCode = (error: unknown, ...codes: Code[]): boolean =>
  error instanceof StatusError && codes.includes(error.code);

async function loadTheirs(name: string): Promise<Board | undefined> {
  try {
    const { dashboard } = await call(GET_DASHBOARD, { name });
    return dashboard && toBoard(dashboard);
  } catch (error) {
    if (hasCode(error, Code.NotFound)) return undefined;
    throw error;
  }
}

export default function SaveDialog(props: Props) {
  const { base, board, changes, known, onClose, onSaved } = props;
  const [conflict, setConflict] = useState<Conflict>();
  const [failure, setFailure] = useState<string>();
  const [busy, setBusy] = useState(false);

  const save = async () => {
    setBusy(true);
    setFailure(undefined);
    try {
      const { dashboard } = await call(SAVE_DASHBOARD, { dashboard: toDashboard({ ...board, etag: base.etag }) });
      showToast({ title: words.saved });
      onSaved(dashboard ? toBoard(dashboard) : board);
    } catch (error) {
      if (hasCode(error, Code.Aborted, Code.FailedPrecondition)) {
        await loadTheirs(board.name).then(
          (theirs) => setConflict({ theirs }),
          (other: unknown) => setFailure(toFailure(other).reason),
        );
      } else setFailure(toFailure(error).reason);
      setBusy(false);
    }
  };

  if (conflict) return <ConflictDialog {...props} {...conflict} />;
  return (
    <Dialog title={words.saveTitle} onClose={onClose}>
      <div className="flex flex-col gap-4">
        <p>{words.saveHint}</p>
        <Changes changes={changes} known={known} />
        <p className="text-muted">
          {board.project ? words.saveProject(board.project) : words.saveEverybody}{" "}
          {base.etag === "" && base.builtIn && words.saveReplaces}
        </p>
        {failure && (
          <p role="alert" className="ui-error">
            {words.saveFailed}: {failure}
          </p>
        )}
        <Buttons>
          <Button onClick={onClose}>{words.keepEditing}</Button>
          <Button kind="primary" disabled={busy || board.title.trim() === ""} onClick={save}>
            {words.save}
          </Button>
        </Buttons>
      </div>
    </Dialog>
  );
}

function ConflictDialog(props: Props & Conflict) {
  const { base, board, changes, known, theirs, onClose, onTheirs, onCopied } = props;
  const navigate = useNavigate();
  const [name, setName] = useState(`${board.name}-2`.slice(0, 64));
  const [error, setError] = useState<string>();
  const [busy, setBusy] = useState(false);

  const copy = async () => {
    if (!/^[a-z0-9_-]{1,64}$/.test(name)) {
      setError(words.copyNameInvalid);
      return;
    }
    setBusy(true);
    try {
      await call(SAVE_DASHBOARD, { dashboard: toDashboard({ ...board, name, etag: "" }) });
      onCopied();
      showToast({ title: words.saved });
      void navigate({ to: pathOf(name), search: ((search: object) => ({ ...search, edit: undefined })) as never });
    } catch (failed) {
      setError(
        hasCode(failed, Code.FailedPrecondition, Code.AlreadyExists, Code.Aborted)
          ? words.copyNameTaken
          : toFailure(failed).reason,
      );
      setBusy(false);
    }
  };

  return (
    <Dialog title={words.conflictTitle} onClose={onClose}>
      <div className="flex flex-col gap-4" data-conflict="">
        <p>{theirs ? words.conflictHint : words.conflictGone}</p>
        {theirs && (
          <section aria-label={words.theirs}>
            <h3 className="mb-1 font-medium">{words.theirs}</h3>
            <Changes changes={difference(base, theirs, { byId: false })} known={known} />
          </section>
        )}
        <section aria-label={words.yours}>
          <h3 className="mb-1 font-medium">{words.yours}</h3>
          <Changes changes={changes} known={known} />
        </section>
        <Field label={words.copyName} hint={words.copyNameHint} error={error}>
          {(control) => (
            <Input
              {...control}
              value={name}
              spellCheck={false}
              onChange={(event) => {
                setName(event.target.value);
                setError(undefined);
              }}
            />
          )}
        </Field>
        <Buttons>
          <Button onClick={onClose}>{words.keepEditing}</Button>
          {theirs && (
            <Button kind="danger" onClick={() => onTheirs(theirs)}>
              {words.loadTheirs}
            </Button>
          )}
          <Button kind="primary" disabled={busy} onClick={copy}>
            {words.saveCopy}
          </Button>
        </Buttons>
      </div>
    </Dialog>
  );
}

function Changes({ changes, known }: { changes: Change[]; known: Known }) {
  if (changes.length === 0) return <p className="text-muted">{words.saveNothing}</p>;
  return (
    <ul className="board-review" data-changes={changes.length}>
      {review(changes, known).map(({ key, ...entry }) => (
        <Entry key={key} {...entry} />
      ))}
    </ul>
  );
}

const Entry = ({ title, mark, lines }: Omit<Reviewed, "key">) => (
  <li>
    <strong className="block min-w-0 truncate font-medium">
      {title} {mark && <span className="text-xs font-normal text-muted">{words.review.marks[mark]}</span>}
    </strong>
    <ul>
      {lines.map(({ field, before, after }) => (
        <li key={field}>
          <span className="text-muted">{field}</span>
          <span className="min-w-0 [overflow-wrap:anywhere]">
            {mark !== "added" && <Value label={words.review.was} value={before} as="del" />}
            {!mark && <span aria-hidden="true"> → </span>}
            {mark !== "removed" && <Value label={words.review.becomes} value={after} as="ins" />}
          </span>
        </li>
      ))}
    </ul>
  </li>
);

const Value = ({ label, value, as: Mark }: { label: string; value: string | undefined; as: "del" | "ins" }) => (
  <>
    <span className="sr-only">{label} </span>
    {value === undefined ? <span className="text-muted">{words.review.none}</span> : <Mark>{value}</Mark>}
  </>
);

const Buttons = ({ children }: { children: ReactNode }) => (
  <div className="flex flex-wrap justify-end gap-2">{children}</div>
);
