// What a panel is to the rest of the page: a pure function that shapes its value, and a component that draws the shape.

import type { FC } from "react";
import type { PanelValue, ValueOf } from "../api/value.ts";
import type { PlainTable } from "../lib/table.ts";
import type { Range } from "../lib/time.ts";

/** What the visitor looks at it with. */
export interface Display {
  range: Range;
  zone: string;
}

export interface ShapedPanel<D> {
  /** What the component draws. */
  data: D;
  /** The values in words, for those who do not see the chart. */
  summary: string;
  /** The leading values, for the picture. */
  headline: string[];
  /** The values behind the drawing. */
  table: PlainTable;
  /** Whether there is nothing to draw. */
  empty: boolean;
  /** Whether distinct counts may be off by up to 1 %. */
  approximate: boolean;
}

export interface BodyProps<D> {
  data: D;
  display: Display;
  summary: string;
}

export interface PanelDefinition {
  /** What is missing when the panel is empty. */
  emptyHint: string;
  shape: (value: PanelValue, display: Display) => ShapedPanel<unknown> | null;
  Body: FC<BodyProps<unknown>>;
}

/** Joins a shape and its component; the value's case says that they belong together, which the types cannot follow. */
export function definePanel<C extends PanelValue["case"], D>(
  answer: C,
  emptyHint: string,
  shape: (value: ValueOf<C>, display: Display) => ShapedPanel<D>,
  Body: FC<BodyProps<D>>,
): PanelDefinition {
  return {
    emptyHint,
    shape: (value, display) => (value.case === answer ? shape(value.value as ValueOf<C>, display) : null),
    Body: Body as FC<BodyProps<unknown>>,
  };
}
