import { Chart } from "../../charts/Chart.tsx";
import { chartOf, type Retention } from "./question.ts";
import type { ResultProps } from "./Result.tsx";
import { ChartSelect } from "./tables.tsx";
import { questionWords } from "./words.ts";

/** Cohorts by periods, or their mean. */
export function RetentionResult({ question, frame, frameKey, onQuestion }: ResultProps<Retention>) {
  const chart = chartOf(question);
  return (
    <>
      <div className="explore-toolbar">
        <ChartSelect question={question} onQuestion={onQuestion} />
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
