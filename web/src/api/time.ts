// Times of the contract and of the page, which counts in Unix milliseconds.

import type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";

export const timestampMs = ({ seconds, nanos }: Pick<Timestamp, "seconds" | "nanos">): number =>
  Number(seconds) * 1000 + Math.floor(nanos / 1e6);

export const durationMs = ({ seconds, nanos }: Pick<Duration, "seconds" | "nanos">): number =>
  Number(seconds) * 1000 + nanos / 1e6;

export const toTimestamp = (at: number) => ({
  seconds: BigInt(Math.floor(at / 1000)),
  nanos: Math.floor(((at % 1000) + 1000) % 1000) * 1_000_000,
});

export const toDuration = (ms: number) => ({
  seconds: BigInt(Math.floor(ms / 1000)),
  nanos: Math.round(ms % 1000) * 1_000_000,
});
