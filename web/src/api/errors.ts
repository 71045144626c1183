// What the error of a call means: whether it is worth a retry, and how to tell people. The only table of status codes.

import type { Duration } from "@bufbuild/protobuf/wkt";
import { DURATION } from "../gen/google/protobuf/duration_codec.ts";
import { decode, schema } from "./codec.ts";
import { OWN_DEADLINE } from "./grpcWeb.ts";
import { Code, ConnectionLost, StatusError } from "./status.ts";
import { durationMs } from "./time.ts";

/** `permanent`: fails again unless the request or the server is changed. `slow`: a deadline has passed. */
export type FailureKind = "transient" | "permanent" | "slow";

export interface Failure {
  kind: FailureKind;
  /** For people. Starts in lower case and has no full stop, so that it can follow a colon. */
  reason: string;
  /** Whether the server responded. False if the connection, a proxy or the browser's deadline failed. */
  responded: boolean;
  /** Whether every request of this page would be rejected, not only this one. */
  rejectsPage: boolean;
  /** The server's own delay before a retry, if it has named one. */
  retryAfterMs?: number;
}

/** The words are for errors without a message. */
const CODES: Record<Code, { kind: FailureKind; words: string; rejectsPage?: true }> = {
  [Code.Canceled]: { kind: "transient", words: "the request was cancelled" },
  [Code.Unknown]: { kind: "transient", words: "the server has failed" },
  [Code.InvalidArgument]: { kind: "permanent", words: "the server does not accept the request" },
  [Code.DeadlineExceeded]: { kind: "slow", words: "no response in time" },
  [Code.NotFound]: { kind: "permanent", words: "the server does not have it" },
  [Code.AlreadyExists]: { kind: "permanent", words: "it exists already" },
  [Code.PermissionDenied]: { kind: "permanent", words: "the server does not permit it", rejectsPage: true },
  [Code.ResourceExhausted]: { kind: "transient", words: "the server is busy" },
  [Code.FailedPrecondition]: { kind: "permanent", words: "the server is not in a state to do it" },
  [Code.Aborted]: { kind: "transient", words: "the server has aborted the request" },
  [Code.OutOfRange]: { kind: "permanent", words: "the request is out of range" },
  [Code.Unimplemented]: { kind: "permanent", words: "the server does not offer this call", rejectsPage: true },
  [Code.Internal]: { kind: "transient", words: "the server has failed" },
  [Code.Unavailable]: { kind: "transient", words: "the server is not available" },
  [Code.DataLoss]: { kind: "transient", words: "the server has lost data" },
  [Code.Unauthenticated]: { kind: "permanent", words: "the server requires a sign-in", rejectsPage: true },
};

/** The client's message if a response has no gRPC status: it comes from a proxy, or from a server that is not Millrace. */
const HTTP_ERROR = /^HTTP (\d+)$/;

export function toFailure(error: unknown): Failure {
  if (error instanceof ConnectionLost) {
    return { kind: "transient", reason: "the server cannot be reached", responded: false, rejectsPage: false };
  }
  const code = error instanceof StatusError ? error.code : Code.Unknown;
  const message = error instanceof Error ? error.message : String(error);
  const { kind, words, rejectsPage = false } = CODES[code] ?? CODES[Code.Unknown];
  if (code === Code.DeadlineExceeded && (message === "" || message === OWN_DEADLINE)) {
    return { kind, reason: words, responded: false, rejectsPage };
  }
  const http = HTTP_ERROR.exec(message);
  if (http) {
    const gateway = Number(http[1]) >= 502 && Number(http[1]) <= 504;
    return { kind, reason: `${words} (${message})`, responded: !gateway, rejectsPage };
  }
  return { kind, reason: message || words, responded: true, rejectsPage, retryAfterMs: retryDelayMs(error) };
}

/** The failure of one query of a stream, which has a code and a message only. */
export const queryFailure = (code: number, message: string): Failure => ({
  ...toFailure(new StatusError(message, code)),
  responded: true,
});

/** google.rpc.RetryInfo. */
const RETRY_INFO = schema<{ retryDelay?: Duration }>({ 1: ["retryDelay", () => DURATION] });

function retryDelayMs(error: unknown): number | undefined {
  const details = error instanceof StatusError ? error.details : [];
  const info = details.find(({ type }) => type === "google.rpc.RetryInfo");
  const delay = info && decode(RETRY_INFO, info.value).retryDelay;
  return delay && durationMs(delay);
}

/** google.rpc.BadRequest. */
const BAD_REQUEST = /*#__PURE__*/ schema<{ fieldViolations: FieldViolation[] }>({
  1: [
    "fieldViolations",
    () => schema<FieldViolation>({ 1: ["field", "string"], 2: ["description", "string"] }),
    "repeated",
  ],
});

export interface FieldViolation {
  /** Path of the field in the request, for example "steps[1].event_name". */
  field: string;
  description: string;
}

/** Which fields of the request the server has rejected, as far as it has said so. The message of the error says it in words. */
export function fieldViolations(error: unknown): FieldViolation[] {
  const details = error instanceof StatusError ? error.details : [];
  const found = details.find(({ type }) => type === "google.rpc.BadRequest");
  return found ? decode(BAD_REQUEST, found.value).fieldViolations : [];
}
