import { useEffect, useMemo } from "react";
import type { Figure } from "../../frame/frame.ts";
import type { PanelQuery } from "../../query/query.ts";
import { useLastFrame } from "../../shell/live.ts";
import { strings } from "../../strings.ts";

const number = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });

export function figureTitle(figure: Figure | undefined): string {
  if (!figure || figure.value === null || figure.isTime) return strings.product;
  const { value, unit, label } = figure;
  const text = typeof value === "number" || typeof value === "bigint" ? number.format(value) : String(value);
  const withUnit = unit === "" ? text : unit === "%" ? `${text}%` : `${text} ${unit}`;
  return `${withUnit} ${label.toLowerCase()} · ${strings.product}`;
}

/** The tab's title shows the lead figure of a panel. */
export function DocumentTitle({ panel, range, zone }: PanelQuery) {
  const last = useLastFrame(useMemo(() => ({ panel, range, zone }), [panel, range, zone]));
  const title = figureTitle(last?.frame.figures[0]);
  useEffect(() => {
    document.title = title;
  }, [title]);
  return null;
}
