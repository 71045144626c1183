// Which series of a chart is looked at: the others fade. Set by what is bound to the chart, for example a table.

import { createContext } from "react";
import type { Plot } from "./plot.ts";

/** The key of the series. */
export const HighlightContext = createContext<string | undefined>(undefined);

/** Called with the series that is nearest to the pointer; undefined if the pointer has left. */
export const HoverContext = createContext<((key: string | undefined) => void) | undefined>(undefined);

const FADED = "--line-strong";

/** The other series fade. */
export function withHighlight(plot: Plot | null, key: string | undefined): Plot | null {
  if (!plot || key === undefined || !plot.series.some((series) => series.key === key)) return plot;
  const fade = <T extends { key: string; color: string }>(one: T): T =>
    one.key === key ? one : { ...one, color: FADED };
  const compared = plot.compared && { ...plot.compared, lines: plot.compared.lines.map(fade) };
  return { ...plot, series: plot.series.map(fade), compared };
}
