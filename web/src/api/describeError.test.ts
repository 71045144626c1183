import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { describeError } from "./describeError.ts";

test.each(["Failed to fetch", "NetworkError when attempting to fetch resource.", "Load failed", "network error"])(
  "the browser error %o means that the server cannot be reached",
  (message) => {
    expect(describeError(new TypeError(message))).toEqual({ reason: "the server cannot be reached", timedOut: false });
  },
);

test("the server's message is kept without the status code prefix", () => {
  expect(describeError(new ConnectError("ClickHouse is unreachable", Code.Unavailable)).reason).toBe(
    "ClickHouse is unreachable",
  );
});

test("an exceeded deadline is a timeout", () => {
  expect(describeError(new ConnectError("", Code.DeadlineExceeded))).toEqual({
    reason: "no response in time",
    timedOut: true,
  });
});
