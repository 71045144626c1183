import { act, render, screen } from "@testing-library/react";
import { expect, test } from "vitest";
import { PauseProvider, usePause, useWaiting } from "./pause.tsx";

test("an update that arrives while paused renders only what shows the number of updates", () => {
  let renders = 0;
  let pause: ReturnType<typeof usePause> | undefined;
  function Panel() {
    pause = usePause();
    renders += 1;
    return null;
  }
  const Waiting = () => <output>{useWaiting()}</output>;
  render(
    <PauseProvider>
      <Panel />
      <Waiting />
    </PauseProvider>,
  );
  act(() => pause?.toggle());
  const before = renders;
  act(() => pause?.count());
  expect(screen.getByRole("status").textContent).toBe("1");
  expect(renders).toBe(before);
});
