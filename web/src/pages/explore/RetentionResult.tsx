import { Chart } from "../../charts/Chart.tsx";
import { type Chart as ChartName, type Retention, withValue } from "./question.ts";
import type { ResultProps } from "./Result.tsx";
import { ChartSelect } from "./tables.tsx";
import { questionWords } from "./words.ts";

const CHARTS: ChartName[] = ["table", "line"];

/** Cohorts by periods, or their mean. */
export function RetentionResult({ question, frame, frameKey, onQuestion }: ResultProps<Retention>) {
  const chart = question.chart === "line" ? "line" : "table";
  return (
    <>
      <div className="explore-toolbar">
        <ChartSelect
          charts={CHARTS}
          value={chart}
          onChange={(value) => onQuestion(withValue(question, "chart", value === "table" ? undefined : value))}
        />
      </div>
      <div className={chart === "line" ? "explore-chart" : "explore-grid"}>
        <Chart
          frame={frame}
          frameKey={frameKey}
          kind={chart === "line" ? "line" : "grid"}
          title={questionWords(question)}
          top={50}
        />
      </div>
    </>
  );
}
