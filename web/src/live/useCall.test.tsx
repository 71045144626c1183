import { act, renderHook, waitFor } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";
import { setClient } from "../api/client.ts";
import type { GrpcWebClient } from "../api/grpcWeb.ts";
import type { ListValuesRequest } from "../api/messages.ts";
import { LIST_VALUES } from "../api/methods.ts";
import { Code, StatusError } from "../api/status.ts";
import { notifyReachable } from "./reachable.ts";
import { invalidateCalls, queryClient, useCall } from "./useCall.ts";

interface Made {
  request: Partial<ListValuesRequest>;
  signal: AbortSignal;
  resolve: (response: unknown) => void;
  reject: (error: Error) => void;
}
let made: Made[] = [];

const client: GrpcWebClient = {
  unary: (_, request, { signal }) =>
    new Promise((resolve, reject) => {
      made.push({ request: request as Made["request"], signal, resolve: resolve as Made["resolve"], reject });
      signal.addEventListener("abort", () => reject(new StatusError("the call was cancelled", Code.Canceled)));
    }),
  stream: () => {
    throw new Error("no stream is expected");
  },
};
setClient(client);

afterEach(() => {
  queryClient().clear();
  made = [];
});

const open = (field: string | null) =>
  renderHook(({ field }) => useCall(LIST_VALUES, field === null ? null : { field }), {
    initialProps: { field },
  });
const last = () => made.at(-1) as Made;
/** Without those of the mount that StrictMode undoes. */
const kept = () => made.filter(({ request, signal }) => !signal.aborted || request.field !== "plan");

test("a superseded call is cancelled, and the result before stays until the next one is there", async () => {
  const { result, rerender } = open("plan");
  expect(result.current.isPending).toBe(true);
  await act(async () => last().resolve({ values: ["pro"] }));
  await waitFor(() => expect(result.current.data).toEqual({ values: ["pro"] }));

  rerender({ field: "page_url" });
  expect(result.current).toMatchObject({ data: { values: ["pro"] }, isPlaceholderData: true });
  const superseded = last();
  rerender({ field: "country_code" });
  expect(superseded.signal.aborted).toBe(true);
  await act(async () => last().resolve({ values: ["ES"] }));
  await waitFor(() => expect(result.current.data).toEqual({ values: ["ES"] }));
  expect(kept().map(({ request }) => request.field)).toEqual(["plan", "page_url", "country_code"]);
});

test("a call whose reader has gone is cancelled", () => {
  const { unmount } = open("plan");
  unmount();
  expect(last().signal.aborted).toBe(true);
});

test("without a request there is no call", () => {
  expect(open(null).result.current.data).toBeUndefined();
  expect(made).toHaveLength(0);
});

test("the server's words reach the reader, and a permanent error is not tried again", async () => {
  const { result } = open("nope");
  await act(async () => last().reject(new StatusError("no such field: nope", Code.InvalidArgument)));
  await waitFor(() =>
    expect(result.current.failure).toMatchObject({ kind: "permanent", reason: "no such field: nope" }),
  );
  expect(made.filter(({ signal }) => !signal.aborted)).toHaveLength(1);
});

test("what was saved is read again", async () => {
  const { result } = open("plan");
  await act(async () => last().resolve({ values: ["pro"] }));
  await waitFor(() => expect(result.current.data).toBeDefined());
  void invalidateCalls(LIST_VALUES);
  await vi.waitFor(() => expect(kept()).toHaveLength(2));
  await act(async () => last().resolve({ values: ["team"] }));
  await waitFor(() => expect(result.current.data).toEqual({ values: ["team"] }));
});

test("what has failed is read again when the server can be reached again, and nothing else is", async () => {
  const { result } = open("plan");
  await act(async () => last().reject(new StatusError("not now", Code.FailedPrecondition)));
  await waitFor(() => expect(result.current.failure).toBeDefined());
  act(notifyReachable);
  await vi.waitFor(() => expect(kept()).toHaveLength(2));
  await act(async () => last().resolve({ values: ["pro"] }));
  await waitFor(() => expect(result.current.data).toEqual({ values: ["pro"] }));
  act(notifyReachable);
  expect(kept()).toHaveLength(2);
});
