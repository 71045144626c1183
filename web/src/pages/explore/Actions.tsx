// What can be done with a question: save it, put it on a dashboard, take it along.

import { type RefObject, useState } from "react";
import { toFailure } from "../../api/errors.ts";
import type { Insight } from "../../api/messages.ts";
import { LIST_INSIGHTS } from "../../api/methods.ts";
import { csvBytes } from "../../frame/csv.ts";
import { downloadFile } from "../../lib/download.ts";
import { useCall } from "../../live/useCall.ts";
import type { Selection } from "../../query/query.ts";
import { rangeFileName } from "../../query/range.ts";
import { Button } from "../../ui/Button.tsx";
import { Menu, type MenuItem } from "../../ui/Menu.tsx";
import { showToast } from "../../ui/toast.ts";
import { AddToDashboard } from "./AddToDashboard.tsx";
import { copy } from "./copy.ts";
import { curlCommand, insightYaml } from "./document.ts";
import { panelTitle } from "./panelTitle.ts";
import type { Question } from "./question.ts";
import { nameOf, SaveInsight } from "./SaveInsight.tsx";
import { words } from "./strings.ts";
import type { Answer } from "./useAnswer.tsx";
import { useCanEdit } from "./useCanEdit.ts";
import { questionWords } from "./words.ts";

interface Props {
  question: Question;
  selection: Selection;
  /** Whether the question is complete. */
  valid: boolean;
  /** The saved insight that is open. */
  insight: Insight | undefined;
  changed: boolean;
  answer: Answer | undefined;
  /** The answer could not be brought up to date. */
  stale: boolean;
  /** Holds the drawn chart. */
  result: RefObject<HTMLElement | null>;
  onSaved: (name: string) => void;
  onNew: () => void;
}

export function Actions({
  question,
  selection,
  valid,
  insight,
  changed,
  answer,
  stale,
  result,
  onSaved,
  onNew,
}: Props) {
  const [dialog, setDialog] = useState<"save" | "dashboard">();
  const { data } = useCall(LIST_INSIGHTS, {}, { staleMs: 30_000 });
  const canEdit = useCanEdit();
  const readOnly = data?.readOnly ?? false;
  const title =
    (insight && !changed ? insight.title : panelTitle(question)) ?? insight?.title ?? questionWords(question);
  const fileName = insight?.name || nameOf(title);
  const savePng = async () => {
    if (!answer || !result.current) return;
    const { frame, query } = answer;
    try {
      const { downloadPng } = await import("../../panels/exportPanel.ts");
      const info = { name: fileName, title, chart: "table" } as const;
      await downloadPng(info, { frame, query, placeholder: false }, stale, result.current);
    } catch (error) {
      showToast({ title: words.pngFailed(toFailure(error).reason), type: "error" });
    }
  };
  const items: MenuItem[] = [
    { label: words.newQuestion, icon: "plus", onSelect: onNew },
    { label: words.copyLink, icon: "copy", onSelect: () => void copy(location.href, words.linkCopied) },
    {
      label: words.copyCurl,
      icon: "copy",
      disabled: !valid,
      onSelect: () => void copy(curlCommand(question, selection, document.baseURI), words.curlCopied),
    },
    {
      label: words.downloadYaml,
      disabled: !valid,
      onSelect: () => {
        const text = insightYaml(question, selection, { title, description: insight?.description ?? "" });
        downloadFile(`${fileName}.yaml`, new Blob([text], { type: "application/yaml" }));
      },
    },
    {
      label: words.downloadCsv,
      disabled: !answer,
      onSelect: () => {
        if (!answer) return;
        const name = `${fileName}-${rangeFileName(answer.query.range, answer.query.zone)}.csv`;
        downloadFile(name, new Blob([csvBytes(answer.frame, "raw")], { type: "text/csv" }));
      },
    },
    { label: words.downloadPng, disabled: !answer, onSelect: () => void savePng() },
  ];
  return (
    <div className="flex flex-none items-center gap-2">
      {canEdit && (
        <Button
          disabled={!valid || readOnly}
          title={readOnly ? words.readOnly : undefined}
          kind={changed || !insight ? "primary" : "default"}
          onClick={() => setDialog("save")}
        >
          {words.save}
        </Button>
      )}
      {canEdit && (
        <Button
          disabled={!valid || readOnly}
          title={readOnly ? words.readOnly : undefined}
          className="max-sm:hidden"
          onClick={() => setDialog("dashboard")}
        >
          {words.addToDashboard}
        </Button>
      )}
      <Menu
        label={words.actions}
        items={[
          ...(valid && canEdit && !readOnly
            ? [{ label: words.addToDashboard, onSelect: () => setDialog("dashboard") }]
            : []),
          ...items,
        ]}
      />
      {dialog === "save" && (
        <SaveInsight
          question={question}
          selection={selection}
          insight={insight}
          onClose={() => setDialog(undefined)}
          onSaved={(name) => {
            setDialog(undefined);
            onSaved(name);
          }}
        />
      )}
      {dialog === "dashboard" && (
        <AddToDashboard
          question={question}
          selection={selection}
          insight={changed ? undefined : insight}
          title={title}
          onClose={() => setDialog(undefined)}
        />
      )}
    </div>
  );
}
