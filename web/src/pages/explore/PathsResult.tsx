import { Chart } from "../../charts/Chart.tsx";
import type { PathsDetail } from "../../frame/detail.ts";
import { formatCount } from "../../lib/format.ts";
import { chartOf, type Paths } from "./question.ts";
import type { ResultProps } from "./Result.tsx";
import { words } from "./strings.ts";
import { ChartSelect } from "./tables.tsx";
import { questionWords } from "./words.ts";

export function PathsResult({ question, frame, frameKey, onQuestion }: ResultProps<Paths>) {
  const chart = chartOf(question);
  const { paths, truncatedVisitors } = frame.detail as PathsDetail;
  return (
    <>
      <div className="explore-toolbar">
        <ChartSelect question={question} onQuestion={onQuestion} />
        <span className="text-xs text-muted">{words.pathsFollowed(formatCount(paths))}</span>
      </div>
      <div className="explore-grid">
        <Chart
          frame={frame}
          frameKey={frameKey}
          kind={chart === "table" ? "table" : "flow"}
          title={questionWords(question)}
          top={50}
        />
      </div>
      {truncatedVisitors > 0 && <p className="text-xs text-muted">{words.truncated(truncatedVisitors)}</p>}
    </>
  );
}
