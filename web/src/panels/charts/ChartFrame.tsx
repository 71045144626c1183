import type { ReactElement } from "react";
import { ResponsiveContainer } from "recharts";

/** Fills the free space of its card. To screen readers it is one labelled image; the table view has the values. */
export function ChartFrame({ summary, children }: { summary: string; children: ReactElement }) {
  return (
    <div role="img" aria-label={summary} className="relative min-h-28 in-data-wall:min-h-0 w-full flex-1">
      <div className="absolute inset-0">
        <ResponsiveContainer width="100%" height="100%" initialDimension={{ width: 480, height: 200 }}>
          {children}
        </ResponsiveContainer>
      </div>
    </div>
  );
}
