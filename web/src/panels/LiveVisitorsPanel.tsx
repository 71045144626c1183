import { formatCount, formatDuration } from "../lib/format.ts";
import { AnimatedNumber } from "./AnimatedNumber.tsx";
import { type LiveVisitors, shapeLiveVisitors } from "./liveVisitors.ts";
import { type BodyProps, definePanel } from "./panel.ts";

function Body({ data }: BodyProps<LiveVisitors>) {
  return (
    <>
      <p className="flex flex-wrap items-baseline gap-x-4">
        <AnimatedNumber text={formatCount(data.visitors)} className="headline-number" />
        <span className="text-sm text-muted">on pages in the last 5 minutes</span>
      </p>
      <dl className="mt-3 flex gap-8 text-sm">
        <div>
          <dt className="text-muted">Page views</dt>
          <dd className="text-xl font-semibold">
            <AnimatedNumber text={formatCount(data.views)} />
          </dd>
        </div>
        <div>
          <dt className="text-muted">Average duration</dt>
          <dd className="text-xl font-semibold">
            <AnimatedNumber text={data.averageMs > 0 ? formatDuration(data.averageMs) : "–"} />
          </dd>
        </div>
      </dl>
    </>
  );
}

export const liveVisitorsPanel = definePanel("liveVisitors", "page_view events appear here.", shapeLiveVisitors, Body);
