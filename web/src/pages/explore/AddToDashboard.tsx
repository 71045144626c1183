import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { call } from "../../api/client.ts";
import { toFailure } from "../../api/errors.ts";
import type { Dashboard, DashboardItem, Init, Insight } from "../../api/messages.ts";
import { GET_DASHBOARD, LIST_DASHBOARDS, SAVE_DASHBOARD } from "../../api/methods.ts";
import { toRange } from "../../api/selection.ts";
import { Code, StatusError } from "../../api/status.ts";
import { invalidateCalls, useCall } from "../../live/useCall.ts";
import type { Selection } from "../../query/query.ts";
import { boardSearch, type Search } from "../../shell/view.ts";
import { Button } from "../../ui/Button.tsx";
import { Dialog } from "../../ui/Dialog.tsx";
import { Field, Input } from "../../ui/Field.tsx";
import { Spinner } from "../../ui/placeholders.tsx";
import { showToast } from "../../ui/toast.ts";
import type { Question } from "./question.ts";
import { chartNumber, toQuery } from "./request.ts";
import { isName, nameOf } from "./SaveInsight.tsx";
import { words } from "./strings.ts";

interface Props {
  question: Question;
  selection: Selection;
  /** If the question is that of a saved insight, the dashboard refers to it. */
  insight: Insight | undefined;
  title: string;
  onClose: () => void;
}

const NEW = "*new";

/** A reference to the insight, or the query itself. */
function newItem(
  question: Question,
  selection: Selection,
  title: string,
  insight: Insight | undefined,
): Init<DashboardItem> {
  if (insight) {
    return { title: title === insight.title ? "" : title, content: { case: "insight", value: insight.name } };
  }
  return { title, chart: chartNumber(question.chart), content: toQuery(question, selection) as never };
}

export function AddToDashboard({ question, selection, insight, title: initial, onClose }: Props) {
  const { data, failure } = useCall(LIST_DASHBOARDS, {});
  const navigate = useNavigate();
  const dashboards = data?.dashboards ?? [];
  const [chosen, setChosen] = useState<string>();
  const [title, setTitle] = useState(initial.slice(0, 120));
  const [dashboardTitle, setDashboardTitle] = useState("");
  const [submitted, setSubmitted] = useState(false);
  const [saving, setSaving] = useState(false);
  const [problem, setProblem] = useState("");
  const target = chosen ?? dashboards[0]?.name ?? NEW;
  const isNew = target === NEW;
  const titleError = submitted && title.trim() === "" ? words.saveHeadingMissing : undefined;
  const nameError = submitted && isNew && !isName(nameOf(dashboardTitle)) ? words.saveHeadingMissing : undefined;

  const save = async () => {
    setSubmitted(true);
    if (title.trim() === "" || (isNew && !isName(nameOf(dashboardTitle)))) return;
    setSaving(true);
    setProblem("");
    try {
      const item = newItem(question, selection, title.trim(), insight);
      const dashboard: Init<Dashboard> = isNew
        ? { name: nameOf(dashboardTitle), title: dashboardTitle.trim(), range: toRange(selection.range), items: [item] }
        : await extended(target, item);
      await call(SAVE_DASHBOARD, { dashboard });
      await invalidateCalls(GET_DASHBOARD, LIST_DASHBOARDS);
      const { name = target } = dashboard;
      showToast({
        title: words.added(dashboard.title || name),
        action: {
          label: words.openDashboard,
          onSelect: () =>
            void navigate({
              to: name === "default" ? "/" : `/dashboards/${encodeURIComponent(name)}`,
              search: ((search: Search) => boardSearch(search)) as never,
            }),
        },
      });
      onClose();
    } catch (error) {
      const conflict = error instanceof StatusError && error.code === Code.Aborted;
      setProblem(conflict ? words.dashboardConflict : `${words.saveFailed}: ${toFailure(error).reason}`);
      setSaving(false);
    }
  };

  return (
    <Dialog title={words.addToDashboard} onClose={onClose}>
      {!data && !failure && <Spinner />}
      {failure && <p className="text-danger">{failure.reason}</p>}
      {data && (
        <form
          noValidate
          className="flex flex-col gap-4"
          onSubmit={(event) => {
            event.preventDefault();
            void save();
          }}
        >
          <Field label={words.dashboard}>
            {(control) => (
              <select
                {...control}
                className="ui-input"
                value={target}
                onChange={(event) => setChosen(event.target.value)}
              >
                {dashboards.map((each) => (
                  <option key={each.name} value={each.name}>
                    {each.title}
                  </option>
                ))}
                <option value={NEW}>{words.newDashboard}</option>
              </select>
            )}
          </Field>
          {isNew && (
            <Field label={words.dashboardTitle} error={nameError}>
              {(control) => (
                <Input
                  {...control}
                  value={dashboardTitle}
                  onChange={(event) => setDashboardTitle(event.target.value)}
                />
              )}
            </Field>
          )}
          <Field label={words.itemTitle} error={titleError}>
            {(control) => <Input {...control} value={title} onChange={(event) => setTitle(event.target.value)} />}
          </Field>
          {problem && (
            <p role="alert" className="text-danger">
              {problem}
            </p>
          )}
          <Button kind="primary" type="submit" disabled={saving} className="self-start">
            {words.add}
          </Button>
        </form>
      )}
    </Dialog>
  );
}

/** The newest version of the dashboard with one more item, in the first free place. */
async function extended(name: string, item: Init<DashboardItem>): Promise<Init<Dashboard>> {
  const { dashboard } = await call(GET_DASHBOARD, { name });
  if (!dashboard) throw new StatusError(name, Code.NotFound);
  // A built-in one has no file: saving it makes one.
  const { builtIn: _, ...rest } = dashboard as Init<Dashboard>;
  const items = (rest.items ?? []).map(({ placement, error: __, ...kept }) => kept);
  return { ...rest, items: [...items, item] };
}
