import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { describeError } from "./describeError.ts";

test.each(["Failed to fetch", "NetworkError when attempting to fetch resource.", "Load failed", "network error"])(
  "a browser's %o is a server that cannot be reached",
  (message) => {
    expect(describeError(new TypeError(message))).toEqual({ reason: "the server cannot be reached", slow: false });
  },
);

test("what the server says is passed on, without the code before it", () => {
  expect(describeError(new ConnectError("ClickHouse is away", Code.Unavailable)).reason).toBe("ClickHouse is away");
});

test("a deadline is slowness", () => {
  expect(describeError(new ConnectError("", Code.DeadlineExceeded))).toEqual({
    reason: "no answer in time",
    slow: true,
  });
});
