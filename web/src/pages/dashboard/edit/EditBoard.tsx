import { useBlocker } from "@tanstack/react-router";
import { type KeyboardEvent, type PointerEvent, type RefObject, useEffect, useMemo, useRef, useState } from "react";
import { lazyPart } from "../../../lazyPart.ts";
import { formatInstant, localTimeZone } from "../../../lib/time.ts";
import type { Selection } from "../../../query/query.ts";
import { Page } from "../../../shell/Page.tsx";
import { Button, IconButton } from "../../../ui/Button.tsx";
import { Dialog } from "../../../ui/Dialog.tsx";
import { OptionalPart } from "../../../ui/ErrorBoundary.tsx";
import { Field, Input } from "../../../ui/Field.tsx";
import { Menu, type MenuItem } from "../../../ui/Menu.tsx";
import { EmptyState } from "../../../ui/placeholders.tsx";
import { placeStyle } from "../BoardGrid.tsx";
import { arrange, asPlaced, type Cell } from "../board/arrange.ts";
import {
  type Board,
  type BoardItem,
  drawItem,
  duplicateItem,
  MAX_ITEMS,
  type QueryKind,
  removeItem,
  renameItem,
  startEditing,
  withItems,
} from "../board/board.ts";
import { type Known, kindOf, shownBy, titleOf } from "../board/items.ts";
import { moveBy, resizeBy, samePlace } from "../board/layout.ts";
import type { LoadedBoard } from "../board/useBoard.ts";
import { ItemSlot } from "../ItemSlot.tsx";
import { editStrings as words } from "./strings.ts";
import { useBoardHistory } from "./useBoardHistory.ts";
import { useDrag } from "./useDrag.ts";

const AddItem = lazyPart(() => import("./AddItem.tsx"));
const ChartDialog = lazyPart(() => import("./ChartDialog.tsx"));
const SaveDialog = lazyPart(() => import("./SaveDialog.tsx"));

interface Props {
  loaded: LoadedBoard;
  known: Known;
  selection: Selection;
  onDone: () => void;
}

const USES = ["range", "compare", "zone", "filters"] as const;

type Popup =
  | { kind: "add" | "save" | "cancel" }
  | { kind: "rename"; item: BoardItem }
  | { kind: "chart"; item: BoardItem; question: QueryKind };

export default function EditBoard({ loaded, known, selection, onDone }: Props) {
  const kindOfItem = useMemo(() => (item: BoardItem) => kindOf(item, known), [known]);
  // What is edited is what was seen, also if the page had arranged it.
  const { board: newest } = loaded;
  const newestStart = () => newest && startEditing(asPlaced(newest, kindOfItem));
  const [start, setStart] = useState(newestStart);
  const [attempt, setAttempt] = useState(0);
  if (!start) return null;
  return (
    <Editor
      key={attempt}
      start={start}
      loaded={loaded}
      known={known}
      selection={selection}
      onDone={onDone}
      onRestart={() => {
        setStart(newestStart());
        setAttempt((count) => count + 1);
      }}
    />
  );
}

interface EditorProps extends Props {
  start: Board;
  /** Begins again with the newest version. */
  onRestart: () => void;
}

function Editor({ start, loaded, known, selection, onDone, onRestart }: EditorProps) {
  const editor = useBoardHistory(start);
  const { board, base, changes, apply } = editor;
  const [popup, setPopup] = useState<Popup>();
  const [spoken, setSpoken] = useState("");
  const saved = useRef(false);
  const grid = useRef<HTMLDivElement>(null);
  const kindOfItem = useMemo(() => (item: BoardItem) => kindOf(item, known), [known]);
  const {
    shown,
    dragged,
    start: startDrag,
  } = useDrag(grid, board.items, (items) => apply((before) => withItems(before, items)));
  const cells = useMemo(() => arrange({ ...board, items: shown }, { kindOf: kindOfItem }), [board, shown, kindOfItem]);
  const dirty = changes.length > 0;
  useFocusOfNew(grid, board.items);
  const leave = useLeave(() => dirty && !saved.current);

  const undo = () => {
    if (!editor.canUndo) return;
    editor.undo();
    setSpoken(words.undone);
  };
  const redo = () => {
    if (!editor.canRedo) return;
    editor.redo();
    setSpoken(words.redone);
  };
  useUndoKeys(undo, redo);

  const close = () => {
    saved.current = true;
    onDone();
  };
  const cancel = () => (dirty ? setPopup({ kind: "cancel" }) : close());

  const onItemKey = (event: KeyboardEvent, item: BoardItem) => {
    const [columns, rows] = ARROWS[event.key] ?? [0, 0];
    const title = titleOf(item, known);
    if (event.key === "Delete" || event.key === "Backspace") {
      event.preventDefault();
      remove(item);
    }
    if (columns === 0 && rows === 0) return;
    event.preventDefault();
    const items = (event.shiftKey ? resizeBy : moveBy)(board.items, item.id, columns, rows);
    const place = items.find(({ id }) => id === item.id)?.place;
    if (!place || samePlace(place, item.place)) {
      setSpoken(event.shiftKey ? words.cannotResize(title) : words.cannotMove(title));
      return;
    }
    apply((before) => withItems(before, items));
    setSpoken(
      event.shiftKey ? words.resized(title, place.width, place.height) : words.moved(title, place.x + 1, place.y + 1),
    );
  };
  const remove = (item: BoardItem) => {
    apply((before) => removeItem(before, item.id));
    setSpoken(words.removed(titleOf(item, known)));
  };
  const step = (item: BoardItem, rows: number) =>
    apply((before) => withItems(before, moveBy(before.items, item.id, 0, rows)));

  /** A panel has its own chart. */
  const chartMenu = (item: BoardItem): MenuItem[] => {
    const question = shownBy(item, known)?.kind ?? "panel";
    return question === "panel"
      ? []
      : [{ label: words.chart, onSelect: () => setPopup({ kind: "chart", item, question }) }];
  };
  const menuOf = (item: BoardItem): MenuItem[] => [
    { label: words.rename, onSelect: () => setPopup({ kind: "rename", item }) },
    ...chartMenu(item),
    {
      label: words.duplicate,
      icon: "copy",
      disabled: board.items.length >= MAX_ITEMS,
      onSelect: () => {
        apply((before) => duplicateItem(before, item.id));
        setSpoken(words.added(titleOf(item, known)));
      },
    },
    { label: words.up, onSelect: () => step(item, -1) },
    { label: words.down, onSelect: () => step(item, 1) },
    { label: words.hide, icon: "close", onSelect: () => remove(item) },
  ];
  const outdated = loaded.board !== undefined && loaded.board.etag !== base.etag;

  return (
    <Page name={board.title || board.name} uses={USES}>
      <div role="toolbar" aria-label={words.editing} className="board-toolbar">
        <p className="min-w-0 flex-1 truncate text-muted" data-unsaved={changes.length} role="status">
          {dirty ? words.unsaved(changes.length) : words.editing}
        </p>
        <IconButton icon="undo" label={words.undo} shortcut="Ctrl+Z" disabled={!editor.canUndo} onClick={undo} />
        <IconButton icon="redo" label={words.redo} shortcut="Ctrl+Y" disabled={!editor.canRedo} onClick={redo} />
        <Button
          icon="plus"
          disabled={board.items.length >= MAX_ITEMS}
          title={board.items.length >= MAX_ITEMS ? words.full(MAX_ITEMS) : undefined}
          onClick={() => setPopup({ kind: "add" })}
        >
          <span className="max-sm:sr-only">{words.add}</span>
        </Button>
        <Button onClick={cancel}>{words.cancel}</Button>
        <Button kind="primary" disabled={!dirty} onClick={() => setPopup({ kind: "save" })}>
          {words.save}
        </Button>
      </div>
      {editor.draftOf !== undefined && dirty && (
        <div role="status" className="shell-note" data-draft="">
          <p className="min-w-0 flex-1">
            {words.draftFound(formatInstant(editor.draftOf, localTimeZone(), Date.now()))}{" "}
            {outdated && words.draftOutdated}
          </p>
          <Button
            onClick={() => {
              editor.forget();
              onRestart();
            }}
          >
            {words.discard}
          </Button>
        </div>
      )}
      {editor.draftOf === undefined && outdated && (
        <div role="status" className="shell-note" data-outdated="">
          <p className="min-w-0 flex-1">{words.changed}</p>
          {!dirty && <Button onClick={onRestart}>{words.loadNewest}</Button>}
        </div>
      )}
      <Heading editor={editor} />
      <p className="board-order mb-3 text-xs text-muted">{words.narrow}</p>
      <div ref={grid} className="board board-editing" data-grid="edit" data-dragging={dragged ? "" : undefined}>
        {cells.map((cell) => (
          <EditCell
            key={cell.key}
            cell={cell}
            known={known}
            selection={selection}
            active={dragged === cell.item.id}
            menu={menuOf(cell.item)}
            onKey={(event) => onItemKey(event, cell.item)}
            onDrag={(event, kind) => startDrag(event, cell.item, kind)}
          />
        ))}
      </div>
      {board.items.length === 0 && (
        <EmptyState
          title={words.empty}
          action={
            <Button icon="plus" onClick={() => setPopup({ kind: "add" })}>
              {words.add}
            </Button>
          }
        >
          {words.emptyHint}
        </EmptyState>
      )}
      <p role="status" className="sr-only" data-spoken="">
        {spoken}
      </p>
      {popup?.kind === "add" && (
        <OptionalPart onClose={() => setPopup(undefined)}>
          <AddItem
            board={board}
            known={known}
            onAdd={(next, title) => {
              apply(() => next);
              setSpoken(words.added(title));
              setPopup(undefined);
            }}
            onClose={() => setPopup(undefined)}
          />
        </OptionalPart>
      )}
      {popup?.kind === "save" && (
        <OptionalPart onClose={() => setPopup(undefined)}>
          <SaveDialog
            base={base}
            board={board}
            changes={changes}
            known={known}
            onClose={() => setPopup(undefined)}
            onSaved={(next) => {
              editor.forget();
              loaded.replace(next);
              close();
            }}
            onTheirs={(theirs) => {
              editor.forget();
              loaded.replace(theirs);
              close();
            }}
            onCopied={() => {
              editor.forget();
              saved.current = true;
            }}
          />
        </OptionalPart>
      )}
      {popup?.kind === "rename" && (
        <Rename
          item={popup.item}
          known={known}
          onClose={() => setPopup(undefined)}
          onRename={(title) => {
            apply((before) => renameItem(before, popup.item.id, title));
            setPopup(undefined);
          }}
        />
      )}
      {popup?.kind === "chart" && (
        <OptionalPart onClose={() => setPopup(undefined)}>
          <ChartDialog
            item={popup.item}
            kind={popup.question}
            known={known}
            onClose={() => setPopup(undefined)}
            onChart={(chart) => {
              apply((before) => drawItem(before, popup.item.id, chart));
              setPopup(undefined);
            }}
          />
        </OptionalPart>
      )}
      {popup?.kind === "cancel" && (
        <Dialog title={words.discard} onClose={() => setPopup(undefined)}>
          <p className="mb-4">{words.unsaved(changes.length)}.</p>
          <div className="flex flex-wrap justify-end gap-2">
            <Button onClick={() => setPopup(undefined)}>{words.keepEditing}</Button>
            <Button
              kind="danger"
              onClick={() => {
                editor.forget();
                close();
              }}
            >
              {words.discard}
            </Button>
          </div>
        </Dialog>
      )}
      {leave && (
        <Dialog title={words.leaveTitle} onClose={leave.stay}>
          <p className="mb-4">{words.leaveHint}</p>
          <div className="flex flex-wrap justify-end gap-2">
            <Button onClick={leave.stay}>{words.keepEditing}</Button>
            <Button kind="primary" onClick={leave.go}>
              {words.leave}
            </Button>
          </div>
        </Dialog>
      )}
    </Page>
  );
}

/** An added item may be below the screen: it gets the focus, which scrolls to it. */
function useFocusOfNew(grid: RefObject<HTMLElement | null>, items: BoardItem[]): void {
  const known = useRef(new Set(items.map(({ id }) => id)));
  useEffect(() => {
    const added = items.find(({ id }) => !known.current.has(id));
    known.current = new Set(items.map(({ id }) => id));
    // After the dialog or the menu has returned the focus to its button.
    if (!added) return;
    const timer = setTimeout(() => {
      grid.current?.querySelector<HTMLElement>(`[data-item="${added.id}"] .board-drag`)?.focus();
    }, 200);
    return () => clearTimeout(timer);
  }, [grid, items]);
}

const ARROWS: Record<string, [columns: number, rows: number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

function Heading({ editor }: { editor: ReturnType<typeof useBoardHistory> }) {
  const { board, apply } = editor;
  return (
    <div className="mb-4 grid gap-3 sm:grid-cols-[minmax(0,1fr)_minmax(0,2fr)]">
      <Field label={words.title} error={board.title.trim() === "" ? words.titleMissing : undefined}>
        {(control) => (
          <Text {...control} value={board.title} onCommit={(title) => apply((before) => ({ ...before, title }))} />
        )}
      </Field>
      <Field label={words.description}>
        {(control) => (
          <Text
            {...control}
            value={board.description}
            onCommit={(description) => apply((before) => ({ ...before, description }))}
          />
        )}
      </Field>
    </div>
  );
}

interface TextProps {
  id: string;
  value: string;
  onCommit: (value: string) => void;
}

/** One step of undo for what is typed in one go. */
function Text({ value, onCommit, ...control }: TextProps) {
  const [typed, setTyped] = useState<string>();
  const commit = () => {
    if (typed !== undefined && typed !== value) onCommit(typed);
    setTyped(undefined);
  };
  return (
    <Input
      {...control}
      value={typed ?? value}
      onChange={(event) => setTyped(event.target.value)}
      onBlur={commit}
      onKeyDown={(event) => event.key === "Enter" && commit()}
    />
  );
}

interface CellProps {
  cell: Cell;
  known: Known;
  selection: Selection;
  active: boolean;
  menu: MenuItem[];
  onKey: (event: KeyboardEvent) => void;
  onDrag: (event: PointerEvent, kind: "move" | "resize") => void;
}

function EditCell({ cell, known, selection, active, menu, onKey, onDrag }: CellProps) {
  const title = titleOf(cell.item, known);
  return (
    <div
      className="board-cell"
      data-as={cell.as}
      data-kind={cell.kind}
      data-item={cell.item.id}
      style={placeStyle(cell)}
    >
      {/* Its controls would compete with those of the editor. */}
      <div inert>
        <ItemSlot cell={cell} known={known} selection={selection} onEnlarge={nothing} />
      </div>
      <div className="board-frame" data-active={active ? "" : undefined}>
        <button
          type="button"
          className="board-drag"
          aria-label={words.move(title)}
          aria-description={words.handleHint}
          onKeyDown={onKey}
          onPointerDown={(event) => onDrag(event, "move")}
        />
        <div className="board-tools">
          <Menu label={words.itemActions(title)} items={menu} />
        </div>
        <div
          className="board-resize"
          data-resize=""
          // Shift and the arrow keys do the same on the handle.
          aria-hidden="true"
          onPointerDown={(event) => onDrag(event, "resize")}
        />
      </div>
    </div>
  );
}

const nothing = () => {};

function Rename({
  item,
  known,
  onRename,
  onClose,
}: {
  item: BoardItem;
  known: Known;
  onRename: (title: string) => void;
  onClose: () => void;
}) {
  const [title, setTitle] = useState(item.title);
  const own = titleOf({ ...item, title: "" }, known);
  return (
    <Dialog title={words.renameTitle(titleOf(item, known))} onClose={onClose}>
      <form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault();
          onRename(title);
        }}
      >
        <Field label={words.title} hint={words.renameHint}>
          {(control) => (
            <Input {...control} value={title} placeholder={own} onChange={(event) => setTitle(event.target.value)} />
          )}
        </Field>
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>{words.cancel}</Button>
          <Button kind="primary" type="submit">
            {words.rename}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

/** Asks before the page is left with unsaved changes. The view may change: it is not a part of the dashboard. */
function useLeave(isDirty: () => boolean): { stay: () => void; go: () => void } | undefined {
  const blocker = useBlocker({
    shouldBlockFn: ({ current, next }) =>
      isDirty() && (current.pathname !== next.pathname || (next.search as { edit?: string }).edit !== "1"),
    enableBeforeUnload: isDirty,
    withResolver: true,
  });
  return blocker.status === "blocked" ? { stay: blocker.reset, go: blocker.proceed } : undefined;
}

function useUndoKeys(undo: () => void, redo: () => void): void {
  const latest = useRef({ undo, redo });
  useEffect(() => {
    latest.current = { undo, redo };
  });
  useEffect(() => {
    const onKeyDown = (event: globalThis.KeyboardEvent) => {
      const key = event.key.toLowerCase();
      const target = event.target instanceof Element ? event.target : null;
      if (!(event.ctrlKey || event.metaKey) || event.altKey || target?.closest("input, textarea, [role=dialog]"))
        return;
      if (key === "z" && !event.shiftKey) latest.current.undo();
      else if (key === "y" || (key === "z" && event.shiftKey)) latest.current.redo();
      else return;
      event.preventDefault();
    };
    window.addEventListener("keydown", onKeyDown);
    return () => window.removeEventListener("keydown", onKeyDown);
  }, []);
}
