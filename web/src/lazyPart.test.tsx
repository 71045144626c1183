import { act, cleanup, render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { Suspense } from "react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { lazyPart } from "./lazyPart.ts";
import { ErrorBoundary } from "./ui/ErrorBoundary.tsx";

let online = true;
const load = vi.fn(async () => {
  if (!online) throw new TypeError("Failed to fetch dynamically imported module");
  return { default: ({ text }: { text: string }) => <p>{text}</p> };
});

afterEach(() => {
  cleanup();
  vi.useRealTimers();
});
beforeEach(() => {
  online = true;
  load.mockClear();
  // React reports caught errors.
  vi.spyOn(console, "error").mockImplementation(() => {});
});

const show = (Part: ReturnType<typeof lazyPart<{ text: string }>>, resetKey = 1) => (
  <ErrorBoundary
    resetKey={resetKey}
    fallback={(error, retry) => (
      <button type="button" onClick={retry}>
        {error.message}
      </button>
    )}
  >
    <Suspense fallback="loading">
      <Part text="loaded" />
    </Suspense>
  </ErrorBoundary>
);

test("a part is loaded once, when it is first shown", async () => {
  const Part = lazyPart(load);
  expect(load).not.toHaveBeenCalled();
  const { unmount } = render(show(Part));
  expect(screen.getByText("loading")).toBeTruthy();
  expect(await screen.findByText("loaded")).toBeTruthy();
  unmount();
  render(show(Part));
  expect(screen.getByText("loaded"), "at once").toBeTruthy();
  expect(load).toHaveBeenCalledTimes(1);
});

test("a part that could not be loaded is loaded again on retry, and not by new data", async () => {
  online = false;
  const Part = lazyPart(load);
  const { rerender } = render(show(Part));
  await screen.findByRole("button", { name: /^Failed to fetch/ });
  rerender(show(Part, 2));
  const retry = await screen.findByRole("button", { name: /^Failed to fetch/ });
  expect(load).toHaveBeenCalledTimes(1);
  online = true;
  await userEvent.click(retry);
  expect(await screen.findByText("loaded")).toBeTruthy();
  expect(load).toHaveBeenCalledTimes(2);
});

test("a part that could not be loaded is loaded as soon as that is possible, without a click and without a flicker", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout"] });
  online = false;
  const Part = lazyPart(load);
  render(show(Part));
  const settle = () => act(async () => void (await Promise.allSettled(load.mock.results.map(({ value }) => value))));
  await settle();
  const failure = screen.getByRole("button", { name: /^Failed to fetch/ });
  for (const [wait, loads] of [
    [2_000, 2],
    [4_000, 3],
  ] as const) {
    await act(() => vi.advanceTimersByTimeAsync(wait));
    expect(load).toHaveBeenCalledTimes(loads);
    expect(screen.getByRole("button", { name: /^Failed to fetch/ }), "the same").toBe(failure);
  }
  online = true;
  await act(() => vi.advanceTimersByTimeAsync(8_000));
  await settle();
  expect(screen.getByText("loaded")).toBeTruthy();
  const loads = load.mock.calls.length;
  await act(() => vi.advanceTimersByTimeAsync(600_000));
  expect(load).toHaveBeenCalledTimes(loads);
});

test("a preload that fails has no consequences", async () => {
  online = false;
  const Part = lazyPart(load);
  Part.preload();
  await vi.waitFor(() => expect(load).toHaveBeenCalledTimes(1));
  online = true;
  render(show(Part));
  expect(await screen.findByText("loaded")).toBeTruthy();
});
