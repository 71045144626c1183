// A panel is a pure function that shapes its value and a component that draws the result.

import type { FC } from "react";
import type { PanelValue, ValueOf } from "../api/value.ts";
import type { PlainTable } from "../lib/table.ts";
import type { Range } from "../lib/time.ts";

/** Display settings that all panels share. */
export interface Display {
  range: Range;
  zone: string;
}

export interface ShapedPanel<D> {
  /** Input of the component. */
  data: D;
  /** Text alternative of the chart, for screen readers. */
  summary: string;
  /** Key values, for the PNG export. */
  headline: string[];
  /** The values of the chart, for the table view and the CSV export. */
  table: PlainTable;
  /** There is nothing to draw. */
  empty: boolean;
  /** Distinct counts may be off by up to 1 %. */
  approximate: boolean;
}

export interface BodyProps<D> {
  data: D;
  display: Display;
  summary: string;
}

export interface PanelDefinition {
  /** Which events the panel needs. Shown while it is empty. */
  emptyHint: string;
  shape: (value: PanelValue, display: Display) => ShapedPanel<unknown> | null;
  Body: FC<BodyProps<unknown>>;
}

/** Pairs a shaping function with its component. The casts are sound because both use the type of the value's case. */
export function definePanel<C extends PanelValue["case"], D>(
  valueCase: C,
  emptyHint: string,
  shape: (value: ValueOf<C>, display: Display) => ShapedPanel<D>,
  Body: FC<BodyProps<D>>,
): PanelDefinition {
  return {
    emptyHint,
    shape: (value, display) => (value.case === valueCase ? shape(value.value as ValueOf<C>, display) : null),
    Body: Body as FC<BodyProps<unknown>>,
  };
}
