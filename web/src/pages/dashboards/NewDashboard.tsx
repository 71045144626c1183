import { useNavigate } from "@tanstack/react-router";
import { type FormEvent, useMemo, useState } from "react";
import { call } from "../../api/client.ts";
import { toFailure } from "../../api/errors.ts";
import { LIST_DASHBOARDS, LIST_EVENT_NAMES, SAVE_DASHBOARD } from "../../api/methods.ts";
import { invalidateCalls, useCall } from "../../live/useCall.ts";
import { useCatalog } from "../../shell/live.ts";
import { boardSearch, type Search } from "../../shell/view.ts";
import { Button } from "../../ui/Button.tsx";
import { Dialog } from "../../ui/Dialog.tsx";
import { Field, Input } from "../../ui/Field.tsx";
import { pathOf } from "../dashboard/BoardActions.tsx";
import { toDashboard } from "../dashboard/board/wire.ts";
import { listStrings as words } from "./strings.ts";
import { fromTemplate, nameFor, newBoard, TEMPLATES, type Template } from "./templates.ts";

interface Props {
  /** Of all dashboards. */
  names: string[];
  onClose: () => void;
}

/** A title, and what to start with. The dashboard is saved and opened in its editor. */
export default function NewDashboard({ names, onClose }: Props) {
  const navigate = useNavigate();
  const { catalog } = useCatalog();
  const events = useCall(LIST_EVENT_NAMES, { days: 30, limit: 1_000 });
  const [template, setTemplate] = useState<Template>("web");
  const [title, setTitle] = useState<string>();
  const [error, setError] = useState<string>();
  const [failure, setFailure] = useState<string>();
  const [busy, setBusy] = useState(false);
  const shownTitle = title ?? (template === "blank" ? "" : words.templates[template].title);
  const name = nameFor(shownTitle, names);
  const drafts = useMemo(() => {
    const known = events.data?.names.map((event) => event.name);
    const fields = catalog?.dimensions.map((dimension) => dimension.name) ?? [];
    return known && Object.fromEntries(TEMPLATES.map((each) => [each, fromTemplate(each, known, fields)]));
  }, [events.data, catalog]);

  async function submit(event: FormEvent) {
    event.preventDefault();
    if (shownTitle.trim() === "") {
      setError(words.titleMissing);
      return;
    }
    setBusy(true);
    setFailure(undefined);
    const items = template === "blank" ? [] : (drafts?.[template]?.items ?? []);
    try {
      await call(SAVE_DASHBOARD, { dashboard: toDashboard(newBoard(name, shownTitle.trim(), items)) });
      await invalidateCalls(LIST_DASHBOARDS);
      void navigate({
        to: pathOf(name),
        search: ((search: Search) => ({ ...boardSearch(search), edit: "1" })) as never,
      });
    } catch (failed) {
      setFailure(toFailure(failed).reason);
      setBusy(false);
    }
  }

  return (
    <Dialog title={words.newTitle} onClose={onClose}>
      <form className="flex flex-col gap-4" noValidate onSubmit={submit}>
        <Field label={words.titleField} hint={words.nameHint(name)} error={error}>
          {(control) => (
            <Input
              {...control}
              value={shownTitle}
              onChange={(change) => {
                setTitle(change.target.value);
                setError(undefined);
              }}
            />
          )}
        </Field>
        <fieldset className="flex flex-col gap-2">
          <legend className="ui-label mb-1">{words.template}</legend>
          <div className="grid gap-2 sm:grid-cols-2">
            {TEMPLATES.map((each) => (
              <Choice
                key={each}
                template={each}
                chosen={each === template}
                draft={drafts?.[each]}
                onChoose={() => setTemplate(each)}
              />
            ))}
          </div>
        </fieldset>
        {events.isPending && !events.failure && (
          <p role="status" className="text-xs text-muted">
            {words.eventsLoading}
          </p>
        )}
        {events.failure && <p className="ui-error">{words.eventsFailed(events.failure.reason)}</p>}
        {failure && (
          <p role="alert" className="ui-error">
            {words.createFailed}: {failure}
          </p>
        )}
        <div className="flex flex-wrap justify-end gap-2">
          <Button onClick={onClose}>{words.cancel}</Button>
          <Button kind="primary" type="submit" disabled={busy || (template !== "blank" && !drafts)}>
            {words.submit}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

interface ChoiceProps {
  template: Template;
  chosen: boolean;
  draft: ReturnType<typeof fromTemplate> | undefined;
  onChoose: () => void;
}

function Choice({ template, chosen, draft, onChoose }: ChoiceProps) {
  const { title, description } = words.templates[template];
  const missing = (draft?.missing ?? []).map(
    ({ role, names }) => `${words.roles[role]} (${words.orList(names.slice(0, 2))})`,
  );
  const empty = template !== "blank" && draft?.items.length === 0;
  return (
    <label
      className={`flex cursor-pointer items-start gap-3 rounded-lg border p-3 hover:bg-hover ${chosen ? "border-accent" : "border-line-strong"}`}
      data-template={template}
    >
      <input type="radio" name="template" className="mt-0.5 accent-accent" checked={chosen} onChange={onChoose} />
      <span className="min-w-0">
        <span className="block font-medium">{title}</span>
        <span className="block text-xs text-muted">{description}</span>
        {draft && draft.items.length > 0 && (
          <span className="block text-xs text-muted">{words.items(draft.items.length)}</span>
        )}
        {missing.length > 0 && (
          <span className="mt-1 block text-xs text-warn">
            {words.missingEvents(missing.join(", "))}. {empty ? words.nothing : words.missingHint}
          </span>
        )}
      </span>
    </label>
  );
}
