import { act, cleanup, fireEvent, screen, waitFor, within } from "@testing-library/react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { installBrowser } from "../../test/browser.ts";
import { panelInfo, replaceFake } from "../../test/fakeLive.ts";
import { renderPage } from "../../test/renderPage.tsx";

// The whole page around the control: its source of data is a fake.
vi.mock("../live.ts", () => import("../../test/fakeLive.ts"));
installBrowser();

beforeEach(() => localStorage.clear());
afterEach(cleanup);

async function open(address = "/?zone=Europe/Madrid") {
  const live = replaceFake();
  const page = renderPage(address);
  act(() => live.goLive({ panels: [panelInfo("error_rate")], version: "1", hasEvents: true }));
  await waitFor(() => expect(document.querySelector("[data-panel=error_rate]")).toBeTruthy());
  const openPopup = async () => {
    await page.user.click(screen.getByRole("button", { name: /^Time range:/ }));
    return screen.findByRole("dialog", { name: "Choose the time range" });
  };
  return { ...page, openPopup };
}
const daysAgo = (days: number) => new Date(Date.now() - days * 86_400_000).toISOString().slice(0, 10);

test("times are typed on the clock of the zone, and refused in words", async () => {
  const { user, search, openPopup } = await open();
  const popup = await openPopup();
  expect(popup.textContent).toMatch(/Times in Madrid, UTC\+[12]\. Figures are stored for 400 days: since \w{3} \d/);
  await user.click(within(popup).getByRole("checkbox", { name: /Until now/ }));
  const [from, to] = ["From", "To"].map((label) => within(popup).getByLabelText(label)) as HTMLInputElement[];
  const apply = () => user.click(within(popup).getByRole("button", { name: "Apply" }));
  const enter = (start: string, end: string) => {
    fireEvent.change(from as Element, { target: { value: start } });
    fireEvent.change(to as Element, { target: { value: end } });
  };
  const alerts = () =>
    within(popup)
      .getAllByRole("alert")
      .map(({ textContent }) => textContent);
  enter("2001-01-01T00:00", "2999-01-01T00:00");
  expect(within(popup).queryByRole("alert"), "before anything was submitted").toBeNull();
  await apply();
  expect(alerts()).toEqual([
    expect.stringMatching(/^Figures are stored for 400 days/),
    expect.stringMatching(/^The end is in the future/),
  ]);
  enter(`${daysAgo(3)}T10:00`, `${daysAgo(3)}T09:00`);
  expect(alerts()).toEqual(["The end must be after the start"]);
  enter(`${daysAgo(3)}T10:00`, `${daysAgo(3)}T12:30`);
  await apply();
  await waitFor(() => expect(search()).toBe(`?from=${daysAgo(3)}T10:00&to=${daysAgo(3)}T12:30&zone=Europe/Madrid`));
  expect(screen.getByRole("button", { name: /^Time range: .*10:00–12:30$/ })).toBeTruthy();
});

test("days are chosen in the calendar with the keyboard alone", async () => {
  const { user, search, openPopup } = await open("/?zone=utc");
  const popup = await openPopup();
  const stops = () => [...popup.querySelectorAll<HTMLElement>("td button[tabindex='0']")];
  expect(stops(), "one day is in the tab order").toHaveLength(1);
  act(() => stops()[0]?.focus());
  const focused = () => Number((document.activeElement as HTMLElement).dataset.day);
  const today = focused();
  expect(today).toBe(Math.floor(Date.now() / 86_400_000));
  await user.keyboard("{ArrowRight}");
  expect(focused(), "not in the future").toBe(today);
  await user.keyboard("{ArrowUp}{ArrowLeft}{ArrowLeft}");
  expect(focused()).toBe(today - 9);
  await user.keyboard("{Enter}");
  await user.keyboard("{ArrowRight}{ArrowRight}{Enter}");
  // By selector: roles of a hundred cells take seconds to compute.
  expect(popup.querySelectorAll("[aria-selected=true]")).toHaveLength(3);
  await user.click(within(popup).getByText("Apply"));
  await waitFor(() => expect(search()).toBe(`?from=${daysAgo(9)}T00:00&to=${daysAgo(6)}T00:00&zone=utc`));
});

test("steps go back and forward by the span, with buttons and keys", async () => {
  const { user, search } = await open("/?range=yesterday&zone=utc");
  await user.click(screen.getByRole("button", { name: "Earlier" }));
  await waitFor(() => expect(search()).toBe(`?from=${daysAgo(2)}T00:00&to=${daysAgo(1)}T00:00&zone=utc`));
  await user.keyboard("]");
  await waitFor(() => expect(search()).toBe(`?from=${daysAgo(1)}T00:00&to=${daysAgo(0)}T00:00&zone=utc`));
  await user.keyboard("]");
  await waitFor(() => expect(search()).toBe("?range=today&zone=utc"));
  expect(screen.getByRole("button", { name: "Later" }).hasAttribute("disabled")).toBe(true);
});
