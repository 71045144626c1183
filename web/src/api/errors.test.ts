import { create, toBinary } from "@bufbuild/protobuf";
import { DurationSchema } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { toFailure } from "./errors.ts";
import { Code, ConnectionLost, StatusError } from "./status.ts";

test("a lost connection means that the server cannot be reached, whatever the browser calls it", () => {
  expect(toFailure(new ConnectionLost("Load failed"))).toEqual({
    kind: "transient",
    reason: "the server cannot be reached",
    responded: false,
    rejectsPage: false,
  });
});

test.each(["network error", "Load failed"])("the server's own message %o is not a lost connection", (message) => {
  expect(toFailure(new StatusError(message, Code.Internal))).toMatchObject({ reason: message, responded: true });
});

test("an error of the page's own code is not a lost connection", () => {
  const message = "Cannot read properties of undefined";
  expect(toFailure(new TypeError(message))).toMatchObject({ reason: message, responded: true });
});

test("the server's message is kept without the status code prefix", () => {
  expect(toFailure(new StatusError("ClickHouse is unreachable", Code.Unavailable))).toMatchObject({
    kind: "transient",
    reason: "ClickHouse is unreachable",
    responded: true,
  });
});

test("an exceeded deadline is slow: of the browser without a response, of the server with one", () => {
  expect(toFailure(new StatusError("the operation timed out", Code.DeadlineExceeded))).toMatchObject({
    kind: "slow",
    reason: "no response in time",
    responded: false,
  });
  expect(toFailure(new StatusError("took more than 5 s", Code.DeadlineExceeded))).toMatchObject({
    kind: "slow",
    reason: "took more than 5 s",
    responded: true,
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

test("a gateway's error means that the server cannot be reached, another HTTP status is a response", () => {
  expect(toFailure(new StatusError("HTTP 502", Code.Unavailable))).toMatchObject({
    kind: "transient",
    responded: false,
    reason: "the server is not available (HTTP 502)",
  });
  expect(toFailure(new StatusError("HTTP 404", Code.Unimplemented))).toMatchObject({
    kind: "permanent",
    responded: true,
    reason: "the server does not offer this call (HTTP 404)",
  });
});

test("the server's retry delay is read", () => {
  const duration = toBinary(DurationSchema, create(DurationSchema, { seconds: 1n, nanos: 500_000_000 }));
  const error = new StatusError("busy", Code.ResourceExhausted);
  error.details.push({ type: "google.rpc.RetryInfo", value: new Uint8Array([10, duration.length, ...duration]) });
  expect(toFailure(error).retryAfterMs).toBe(1_500);
});
