// Frames for tests and for the development page.

import type { Cell, Frame, FrameColumn, FrameContext } from "../frame/frame.ts";

export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
/** Sat 21 November 2026, 10:00 UTC. */
export const START = Date.UTC(2026, 10, 21, 10);

export const context = (overrides: Partial<FrameContext> = {}): FrameContext => ({
  start: START,
  end: START + HOUR,
  zone: "UTC",
  computedAt: START + HOUR - 20_000,
  approximate: false,
  partialFrom: null,
  bucketSeconds: null,
  span: "",
  ...overrides,
});

const base = { unit: "", additive: false, label: "" };

export const timeColumn = (values: Cell[], overrides: Partial<FrameColumn> = {}): FrameColumn => ({
  ...base,
  name: "bucket_start",
  label: "From",
  type: "time",
  role: "time",
  values,
  ...overrides,
});

export const dimension = (name: string, values: Cell[], overrides: Partial<FrameColumn> = {}): FrameColumn => ({
  ...base,
  name,
  label: name,
  type: "text",
  role: "dimension",
  values,
  ...overrides,
});

/** A count, unless overridden. */
export const measure = (name: string, values: Cell[], overrides: Partial<FrameColumn> = {}): FrameColumn => ({
  ...base,
  name,
  label: name,
  type: "int",
  role: "measure",
  additive: true,
  values,
  ...overrides,
});

export const frame = (columns: FrameColumn[], overrides: Partial<Frame> = {}): Frame => ({
  columns,
  rows: columns[0]?.values.length ?? 0,
  figures: [],
  threshold: null,
  context: context(),
  ...overrides,
});
