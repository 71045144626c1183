import { useCallback } from "react";
import { LIST_INSIGHTS } from "../../api/methods.ts";
import { useCall } from "../../live/useCall.ts";
import { Combobox } from "../../ui/Combobox.tsx";
import { words } from "./strings.ts";

/** Opens a saved insight. Nothing if there is none. */
export function SavedInsights({ current, onOpen }: { current: string; onOpen: (name: string) => void }) {
  const { data } = useCall(LIST_INSIGHTS, {}, { staleMs: 30_000 });
  const insights = data?.insights;
  const options = useCallback(
    () => (insights ?? []).map(({ name, title, query }) => ({ value: name, label: title, detail: query.case })),
    [insights],
  );
  if (!insights || insights.length === 0) return null;
  return (
    <Combobox
      label={words.openInsight}
      value={current}
      options={options}
      onChange={onOpen}
      placeholder={words.searchInsights}
      empty={words.noInsights}
      className="max-sm:hidden"
    >
      {words.savedInsights}
    </Combobox>
  );
}
