import { act, render, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { lazyPart, loadIdleParts, retryFailedParts } from "../lazyPart.ts";
import { ErrorBoundary, OptionalPart } from "./ErrorBoundary.tsx";

let online: boolean;
const load = vi.fn(async () => {
  if (!online) throw new TypeError("Failed to fetch dynamically imported module");
  return { default: () => <p>loaded</p> };
});
beforeEach(() => {
  online = false;
  load.mockClear();
  // React reports caught errors.
  vi.spyOn(console, "error").mockImplementation(() => {});
});
afterEach(() => vi.restoreAllMocks());

const failed = () => document.querySelector("[data-part-failed]");

/** A page with one part, as the kit's popups use it. */
function Page({ part: Part, onClose }: { part: ReturnType<typeof lazyPart<object>>; onClose?: () => void }) {
  return (
    <ErrorBoundary fallback={() => <p>the page is lost</p>}>
      <p>page</p>
      <OptionalPart onClose={onClose}>
        <Part />
      </OptionalPart>
    </ErrorBoundary>
  );
}

test("a popup that cannot be loaded leaves the page, says so, and is loaded on retry", async () => {
  const onClose = vi.fn();
  render(<Page part={lazyPart(load)} onClose={onClose} />);
  await waitFor(() => expect(failed()?.textContent).toContain("This could not be loaded."));
  expect(screen.getByText("page")).toBeTruthy();
  await userEvent.click(screen.getByRole("button", { name: "Dismiss" }));
  expect(onClose).toHaveBeenCalled();
  online = true;
  await userEvent.click(screen.getByRole("button", { name: "Retry" }));
  expect(await screen.findByText("loaded")).toBeTruthy();
});

test("a tooltip that cannot be loaded leaves the page and says nothing", async () => {
  render(<Page part={lazyPart(load)} />);
  // Both renderings of StrictMode share one load.
  await act(async () => void (await Promise.allSettled(load.mock.results.map(({ value }) => value))));
  await waitFor(() => expect(console.error).toHaveBeenCalled());
  expect(screen.getByText("page")).toBeTruthy();
  expect(failed()).toBeNull();
});

test("a popup that is opened again is loaded again", async () => {
  const Part = lazyPart(load);
  const { rerender } = render(<Page key="1" part={Part} onClose={() => {}} />);
  await waitFor(() => expect(failed()).toBeTruthy());
  online = true;
  rerender(<Page key="2" part={Part} onClose={() => {}} />);
  rerender(<Page key="3" part={Part} onClose={() => {}} />);
  expect(await screen.findByText("loaded")).toBeTruthy();
});

test("after a reconnection failed parts are loaded without a press on Retry", async () => {
  render(<Page part={lazyPart(load)} onClose={() => {}} />);
  await waitFor(() => expect(failed()).toBeTruthy());
  online = true;
  act(() => retryFailedParts());
  expect(await screen.findByText("loaded")).toBeTruthy();
  expect(failed()).toBeNull();
});

test("popups are loaded in advance, so that they work while the server is away", async () => {
  online = true;
  const Part = lazyPart(load, "idle");
  loadIdleParts();
  expect(load).toHaveBeenCalledTimes(1);
  await load.mock.results[0]?.value;
  online = false;
  render(<Page part={Part} onClose={() => {}} />);
  expect(screen.getByText("loaded")).toBeTruthy();
});
