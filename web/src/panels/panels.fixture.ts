import { type Timestamp, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Display } from "./panel.ts";

export const DISPLAY: Display = { range: "1h", zone: "UTC" };

/** Minute `n` of a fixed hour. */
export const minuteMs = (n: number): number => Date.UTC(2026, 10, 21, 12, n);
export const minute = (n: number): Timestamp => timestampFromMs(minuteMs(n));
