import { Link, useNavigate } from "@tanstack/react-router";
import { useState, useSyncExternalStore } from "react";
import { call } from "../../api/client.ts";
import { toFailure } from "../../api/errors.ts";
import { mayEdit } from "../../api/mayEdit.ts";
import type { BrokenInsightFile, Dashboard } from "../../api/messages.ts";
import { DELETE_DASHBOARD, GET_DASHBOARD, LIST_DASHBOARDS, SAVE_DASHBOARD } from "../../api/methods.ts";
import { Code, StatusError } from "../../api/status.ts";
import { lazyPart } from "../../lazyPart.ts";
import { invalidateCalls, useCall } from "../../live/useCall.ts";
import { Page } from "../../shell/Page.tsx";
import { readSetting, subscribeSettings, writeSetting } from "../../shell/storage.ts";
import { useSession } from "../../shell/useSession.ts";
import { boardSearch, type Search, useParameters } from "../../shell/view.ts";
import { strings } from "../../strings.ts";
import { Button, IconButton } from "../../ui/Button.tsx";
import { Dialog } from "../../ui/Dialog.tsx";
import { OptionalPart } from "../../ui/ErrorBoundary.tsx";
import { Input } from "../../ui/Field.tsx";
import { Icon } from "../../ui/icons.tsx";
import { Menu, type MenuItem } from "../../ui/Menu.tsx";
import { EmptyState, Skeleton } from "../../ui/placeholders.tsx";
import { showToast } from "../../ui/toast.ts";
import { pathOf } from "../dashboard/BoardActions.tsx";
import { toBoard, toDashboard } from "../dashboard/board/wire.ts";
import { listStrings as words } from "./strings.ts";
import { nameFor } from "./templates.ts";

const NewDashboard = lazyPart(() => import("./NewDashboard.tsx"));

const DEFAULT = "default";
const STARS = "stars";

/** Names of starred dashboards, in this browser. */
function useStars(): [ReadonlySet<string>, (name: string) => void] {
  const text = useSyncExternalStore(subscribeSettings, () => readSetting(STARS) ?? "");
  const stars = new Set(text.split(" ").filter(Boolean));
  const toggle = (name: string) => {
    const next = stars.has(name) ? [...stars].filter((other) => other !== name) : [...stars, name];
    writeSetting(STARS, next.length > 0 ? next.join(" ") : null);
  };
  return [stars, toggle];
}

const matches = ({ name, title, description }: Dashboard, wanted: string): boolean =>
  `${title} ${name} ${description}`.toLowerCase().includes(wanted);

/** The dashboards of the project, and the ways to make, copy and delete them. */
export default function DashboardsPage() {
  const [search, setSearch] = useParameters();
  const text = [search.q].flat()[0] ?? "";
  const { data, failure, refetch } = useCall(LIST_DASHBOARDS, {}, { refreshMs: 15_000 });
  const session = useSession();
  const [stars, toggleStar] = useStars();
  const [creating, setCreating] = useState(false);
  const [deleting, setDeleting] = useState<Dashboard>();
  const allowed = mayEdit(session) && data !== undefined && !data.readOnly;
  const wanted = text.trim().toLowerCase();
  const found = (data?.dashboards ?? []).filter((each) => wanted === "" || matches(each, wanted));
  const ordered = [...found].sort(
    (a, b) => Number(b.name === DEFAULT) - Number(a.name === DEFAULT) || a.title.localeCompare(b.title, "en"),
  );
  const groups = [
    { label: words.starred, dashboards: ordered.filter(({ name }) => stars.has(name)) },
    { label: words.others, dashboards: ordered.filter(({ name }) => !stars.has(name)) },
  ].filter(({ dashboards }) => dashboards.length > 0);
  const names = (data?.dashboards ?? []).map(({ name }) => name);

  return (
    <Page
      name={words.name}
      actions={
        allowed && (
          <Button kind="primary" icon="plus" onClick={() => setCreating(true)}>
            {words.create}
          </Button>
        )
      }
    >
      <div className="mx-auto flex w-full max-w-5xl flex-col gap-4">
        <div className="relative">
          <Icon name="search" className="absolute top-1/2 left-2.5 -translate-y-1/2 text-muted" />
          <Input
            type="search"
            className="pl-9"
            aria-label={words.search}
            placeholder={words.search}
            value={text}
            onChange={(event) => setSearch({ q: event.target.value || undefined }, { replace: true })}
          />
        </div>
        {!data && !failure && <Loading />}
        {!data && failure && (
          <EmptyState title={words.failed} action={<Button onClick={() => void refetch()}>{strings.retry}</Button>}>
            {failure.reason}
          </EmptyState>
        )}
        {data && !allowed && session && (
          <p className="text-xs text-muted" data-not-allowed="">
            {data.readOnly ? words.readOnly : words.notAllowed}
          </p>
        )}
        {data && found.length === 0 && (
          <EmptyState
            title={words.noneFound(text)}
            action={<Button onClick={() => setSearch({ q: undefined })}>{words.clearSearch}</Button>}
          />
        )}
        {groups.map(({ label, dashboards }) => (
          <section key={label} aria-label={label}>
            <h2 className={groups.length > 1 ? "mb-2 text-xs font-medium text-muted" : "sr-only"}>{label}</h2>
            <ul className="card gap-0! p-0!">
              {dashboards.map((dashboard) => (
                <Row
                  key={dashboard.name}
                  dashboard={dashboard}
                  names={names}
                  allowed={allowed}
                  starred={stars.has(dashboard.name)}
                  onStar={() => toggleStar(dashboard.name)}
                  onDelete={() => setDeleting(dashboard)}
                />
              ))}
            </ul>
          </section>
        ))}
        {data && data.broken.length > 0 && <BrokenFiles broken={data.broken} />}
      </div>
      {creating && (
        <OptionalPart onClose={() => setCreating(false)}>
          <NewDashboard names={names} onClose={() => setCreating(false)} />
        </OptionalPart>
      )}
      {deleting && <Delete dashboard={deleting} onClose={() => setDeleting(undefined)} />}
    </Page>
  );
}

interface RowProps {
  dashboard: Dashboard;
  /** Of all dashboards. */
  names: string[];
  allowed: boolean;
  starred: boolean;
  onStar: () => void;
  onDelete: () => void;
}

function Row({ dashboard, names, allowed, starred, onStar, onDelete }: RowProps) {
  const { name, title, description, items, builtIn, project } = dashboard;
  const navigate = useNavigate();
  const failing = items.filter(({ error }) => error !== "").length;

  const open = (target: string, edit: boolean) =>
    void navigate({
      to: pathOf(target),
      search: ((search: Search) => ({ ...boardSearch(search), edit: edit ? "1" : undefined })) as never,
    });
  const duplicate = async () => {
    const copy = nameFor(`${title} copy`, names);
    try {
      const { dashboard: original } = await call(GET_DASHBOARD, { name });
      if (!original) return;
      const board = toBoard(original);
      await call(SAVE_DASHBOARD, {
        dashboard: toDashboard({ ...board, name: copy, title: words.copyTitle(title), etag: "" }),
      });
      await invalidateCalls(LIST_DASHBOARDS);
      open(copy, true);
    } catch (error) {
      showToast({ title: words.duplicateFailed(title, toFailure(error).reason), type: "error" });
    }
  };
  const menu: MenuItem[] = [
    { label: words.edit, icon: "edit", onSelect: () => open(name, true) },
    { label: words.duplicate, icon: "copy", onSelect: () => void duplicate() },
    ...(builtIn ? [] : [{ label: words.remove, icon: "trash" as const, onSelect: onDelete }]),
  ];
  const origin = builtIn
    ? { label: words.builtIn, hint: words.builtInHint }
    : project
      ? { label: words.project(project), hint: words.projectHint(name) }
      : { label: words.file, hint: words.fileHint(name) };
  return (
    <li
      className="relative flex min-w-0 items-center gap-2 border-b border-line px-2 py-2 last:border-0 hover:bg-hover sm:gap-3 sm:px-3"
      data-dashboard={name}
    >
      <IconButton
        icon="star"
        label={starred ? words.unstar(title) : words.star(title)}
        aria-pressed={starred}
        className={`relative z-1 ${starred ? "star-on" : ""}`}
        onClick={onStar}
      />
      <div className="min-w-0 flex-1">
        <h3 className="truncate text-base font-medium">
          {/* The whole row is the link. */}
          <Link to={pathOf(name)} search={boardSearch as never} className="after:absolute after:inset-0">
            {title}
          </Link>
        </h3>
        {description && <p className="truncate text-muted">{description}</p>}
        {failing > 0 && (
          <p className="text-xs text-warn">
            <Icon name="warning" className="mr-1 inline size-3.5!" />
            {words.missing(failing)}
          </p>
        )}
      </div>
      <span className="shrink-0 text-xs text-muted max-sm:hidden">{words.items(items.length)}</span>
      <span
        className="relative shrink-0 rounded-md bg-sunken px-1.5 py-0.5 text-xs text-muted"
        title={origin.hint}
        data-origin=""
      >
        {origin.label}
      </span>
      {allowed && <Menu label={words.actions(title)} items={menu} className="relative z-1" />}
    </li>
  );
}

function Delete({ dashboard, onClose }: { dashboard: Dashboard; onClose: () => void }) {
  const { name, title, etag } = dashboard;
  const [failure, setFailure] = useState<string>();
  const [busy, setBusy] = useState(false);
  const remove = async () => {
    setBusy(true);
    try {
      await call(DELETE_DASHBOARD, { name, etag });
      showToast({ title: words.deleted(title) });
      await invalidateCalls(LIST_DASHBOARDS);
      onClose();
    } catch (error) {
      const conflict = error instanceof StatusError && error.code === Code.Aborted;
      setFailure(conflict ? words.deleteConflict : toFailure(error).reason);
      if (conflict) void invalidateCalls(LIST_DASHBOARDS);
      setBusy(false);
    }
  };
  return (
    <Dialog title={words.deleteTitle(title)} onClose={onClose}>
      <p className="mb-4">
        {words.deleteHint(name)} {name === DEFAULT && words.deleteBuiltIn}
      </p>
      {failure && (
        <p role="alert" className="ui-error mb-4">
          {failure}
        </p>
      )}
      <div className="flex flex-wrap justify-end gap-2">
        <Button onClick={onClose}>{words.cancel}</Button>
        <Button kind="danger" icon="trash" disabled={busy} onClick={remove}>
          {words.remove}
        </Button>
      </div>
    </Dialog>
  );
}

/** Files that are not dashboards: where and why. */
const BrokenFiles = ({ broken }: { broken: BrokenInsightFile[] }) => (
  <section aria-label={words.broken(broken.length)} className="card gap-3" data-broken={broken.length}>
    <h2 className="flex items-center gap-2 font-medium">
      <Icon name="warning" className="text-warn" />
      {words.broken(broken.length)}
    </h2>
    <p className="text-muted">{words.brokenHint}</p>
    <ul className="flex flex-col gap-3">
      {broken.map(({ file, line, message }) => (
        <li key={file} className="min-w-0 [overflow-wrap:anywhere]">
          <p>{message}</p>
          <p className="font-mono text-xs text-muted">
            {file}
            {line > 0 && `:${line}`}
          </p>
        </li>
      ))}
    </ul>
  </section>
);

const Loading = () => (
  <div role="status" aria-label={strings.loading} className="card gap-4">
    {["w-40", "w-56", "w-32"].map((width) => (
      <Skeleton key={width} className={`h-5 ${width}`} />
    ))}
  </div>
);
