import { useState } from "react";
import { Button } from "../../../ui/Button.tsx";
import { Dialog } from "../../../ui/Dialog.tsx";
import { CHARTS, type Chart, OFFERED_CHARTS } from "../../explore/question.ts";
import { words as exploreWords } from "../../explore/strings.ts";
import type { BoardItem, QueryKind } from "../board/board.ts";
import { type Known, titleOf } from "../board/items.ts";
import { chartText } from "./review.ts";
import { editStrings as words } from "./strings.ts";

interface Props {
  item: BoardItem;
  /** What the item asks. */
  kind: QueryKind;
  known: Known;
  /** `InsightChart`; 0 for that of the insight, or of the kind. */
  onChart: (chart: number) => void;
  onClose: () => void;
}

/** The charts that Explore offers for a question of this kind. */
export default function ChartDialog({ item, kind, known, onChart, onClose }: Props) {
  const isInsight = item.content.case === "insight";
  const usual = isInsight ? undefined : OFFERED_CHARTS[kind][0];
  const present = item.chart === 0 ? usual : CHARTS[item.chart - 1];
  const [chart, setChart] = useState(present);
  const options: { value: Chart | undefined; label: string | undefined }[] = OFFERED_CHARTS[kind].map((value) => ({
    value,
    label: exploreWords.charts[value],
  }));
  if (isInsight) options.unshift({ value: undefined, label: chartText({ ...item, chart: 0 }, known) });
  return (
    <Dialog title={words.chartTitle(titleOf(item, known))} onClose={onClose}>
      <form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault();
          if (chart === present) onClose();
          else onChart(chart === undefined || chart === usual ? 0 : CHARTS.indexOf(chart) + 1);
        }}
      >
        <fieldset className="flex flex-col">
          <legend className="sr-only">{words.chart}</legend>
          {options.map(({ value, label }) => (
            <label key={label} className="flex items-center gap-2 py-1.5">
              <input
                type="radio"
                name="chart"
                className="size-4 flex-none accent-accent"
                checked={chart === value}
                onChange={() => setChart(value)}
              />
              {label}
            </label>
          ))}
        </fieldset>
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>{words.cancel}</Button>
          <Button kind="primary" type="submit">
            {words.apply}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
