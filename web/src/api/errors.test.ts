import { create, toBinary } from "@bufbuild/protobuf";
import { DurationSchema } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { toFailure } from "./errors.ts";
import { Code, StatusError } from "./status.ts";

test.each([
  "Failed to fetch",
  "network error",
  "NetworkError when attempting to fetch resource.",
  "Error in input stream",
  "Error in body stream",
  "Load failed",
  "The network connection was lost.",
])("the browser error %o means that the server cannot be reached", (message) => {
  expect(toFailure(new TypeError(message))).toMatchObject({
    kind: "transient",
    reason: "the server cannot be reached",
    answered: false,
  });
});

test("the server's message is kept without the status code prefix", () => {
  expect(toFailure(new StatusError("ClickHouse is unreachable", Code.Unavailable))).toMatchObject({
    kind: "transient",
    reason: "ClickHouse is unreachable",
    answered: true,
  });
});

test("an exceeded deadline is slow: of the browser without an answer, of the server with one", () => {
  expect(toFailure(new StatusError("the operation timed out", Code.DeadlineExceeded))).toMatchObject({
    kind: "slow",
    reason: "no response in time",
    answered: false,
  });
  expect(toFailure(new StatusError("took more than 5 s", Code.DeadlineExceeded))).toMatchObject({
    kind: "slow",
    reason: "took more than 5 s",
    answered: true,
  });
});

test.each([
  [Code.InvalidArgument, "permanent", false],
  [Code.NotFound, "permanent", false],
  [Code.FailedPrecondition, "permanent", false],
  [Code.Unimplemented, "permanent", true],
  [Code.Unauthenticated, "permanent", true],
  [Code.PermissionDenied, "permanent", true],
  [Code.Unavailable, "transient", false],
  [Code.ResourceExhausted, "transient", false],
  [Code.Internal, "transient", false],
  [Code.Aborted, "transient", false],
])("code %i is %s, and rejects the page: %s", (code, kind, rejectsPage) => {
  const failure = toFailure(new StatusError("", code));
  expect(failure).toMatchObject({ kind, rejectsPage });
  expect(failure.reason).not.toBe("");
});

test("a gateway's error means that the server cannot be reached, another HTTP status is an answer", () => {
  expect(toFailure(new StatusError("HTTP 502", Code.Unavailable))).toMatchObject({
    kind: "transient",
    answered: false,
    reason: "the server is not available (HTTP 502)",
  });
  expect(toFailure(new StatusError("HTTP 404", Code.Unimplemented))).toMatchObject({
    kind: "permanent",
    answered: true,
    reason: "the server does not offer this call (HTTP 404)",
  });
});

test("the server's retry delay is read", () => {
  const duration = toBinary(DurationSchema, create(DurationSchema, { seconds: 1n, nanos: 500_000_000 }));
  const error = new StatusError("busy", Code.ResourceExhausted);
  error.details.push({ type: "google.rpc.RetryInfo", value: new Uint8Array([10, duration.length, ...duration]) });
  expect(toFailure(error).retryAfterMs).toBe(1_500);
});
