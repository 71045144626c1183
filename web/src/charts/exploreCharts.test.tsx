// The charts of questions, rendered.

import { render, screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeAll, expect, test, vi } from "vitest";
import type { ChartKind } from "../frame/catalog.ts";
import { installBrowser } from "../test/browser.ts";
import { EXPLORE_SAMPLES } from "../test/explore.ts";
import { Chart } from "./Chart.tsx";
import { type OnPick, PickProvider } from "./pick.tsx";

beforeAll(installBrowser);

function show(name: string, onPick?: OnPick, kind?: ChartKind) {
  const sample = EXPLORE_SAMPLES.find((each) => each.name === name);
  if (!sample) throw new Error(name);
  const { title, chart, frame } = sample;
  const view = render(
    <PickProvider onPick={onPick}>
      <Chart frame={frame} frameKey={name} kind={kind ?? chart} title={title} top={10} />
    </PickProvider>,
  );
  return { ...view, user: userEvent.setup() };
}

test("a funnel is a list of steps; a step and what it lost can be chosen", async () => {
  const onPick = vi.fn();
  const { user } = show("funnel", onPick);
  const list = await screen.findByRole("region", { name: "Sign-up to checkout: funnel of 5 steps" });
  expect(within(list).getAllByRole("listitem")).toHaveLength(5);
  expect(list.textContent).toContain("12,480");
  await user.click(screen.getByRole("button", { name: /^7,738 reached signup_started/ }));
  expect(onPick).toHaveBeenLastCalledWith({ kind: "funnel", step: 2, dropped: false }, expect.any(String));
  await user.click(screen.getByRole("button", { name: /^4,742 have not gone on \(38%\) before signup_started/ }));
  expect(onPick).toHaveBeenLastCalledWith(
    { kind: "funnel", step: 2, dropped: true, breakdown: undefined },
    "signup_started: 4,742 have not gone on (38%)",
  );
});

test("the values of a breakdown are under each step", async () => {
  const onPick = vi.fn();
  const { user } = show("funnel_by_country", onPick);
  await screen.findByRole("region");
  expect(screen.getAllByText("Spain")).toHaveLength(5);
  await user.click(screen.getByRole("button", { name: /reached page_view · Germany/ }));
  expect(onPick.mock.lastCall?.[0]).toEqual({ kind: "funnel", step: 1, dropped: false, breakdown: "Germany" });
});

test("without a reader of picks, figures are no buttons", async () => {
  show("funnel");
  await screen.findByRole("region");
  expect(screen.queryByRole("button")).toBeNull();
});

test("the time to convert has its histogram as a table as well", async () => {
  show("time_to_convert");
  const table = await screen.findByRole("table", { name: "Conversions by the time they took" });
  expect(within(table).getAllByRole("row")).toHaveLength(25);
  expect(screen.getByText("90th percentile").parentElement?.textContent).toContain("9");
});

test("a retention is a table with one tab stop, and arrow keys move in it", async () => {
  const onPick = vi.fn();
  const { user } = show("retention", onPick);
  const table = await screen.findByRole("table");
  expect(
    within(table)
      .getAllByRole("columnheader")
      .map(({ textContent }) => textContent),
  ).toEqual(["Cohort", "Visitors", ...Array.from({ length: 8 }, (_, index) => `Week ${index + 1}`)]);
  const cells = within(table).getAllByRole("button", { name: /Week/ });
  expect(cells.filter(({ tabIndex }) => tabIndex === 0)).toHaveLength(1);
  cells[0]?.focus();
  await user.keyboard("{ArrowDown}{ArrowRight}");
  expect(document.activeElement?.getAttribute("aria-label")).toMatch(/Week 2: \d+%/);
  await user.keyboard("{Enter}");
  expect(onPick.mock.lastCall?.[0]).toMatchObject({ kind: "retention", period: 2, dropped: false });
  expect(screen.getByText(/can still grow: their period/)).toBeTruthy();
});

test("a retention with a breakdown shows one value at a time", async () => {
  const { user } = show("retention_by_plan", undefined, "grid");
  const choice = await screen.findByRole("combobox", { name: "plan" });
  const before = screen.getByRole("table").textContent;
  await user.selectOptions(choice, "pro");
  expect(screen.getByRole("table").textContent).not.toBe(before);
});

test("the mean retention is a line, and a table", async () => {
  show("retention_by_plan");
  const table = await screen.findByRole("table");
  expect(
    within(table)
      .getAllByRole("rowheader")
      .map(({ textContent }) => textContent),
  ).toEqual(["pro", "free"]);
});

test("a step of paths shows what came before and after it", async () => {
  const { user } = show("paths");
  const node = await screen.findByRole("button", { name: /^page_view 9,000 · 100%/ });
  expect(screen.getByText(/Choose a step/)).toBeTruthy();
  await user.click(node);
  expect(node.getAttribute("aria-pressed")).toBe("true");
  expect(screen.getByText("Nothing: paths begin here.")).toBeTruthy();
  const after = screen.getByText("After page_view").parentElement as HTMLElement;
  expect(within(after).getByText("Visit ended")).toBeTruthy();
  await user.click(node);
  expect(screen.getByText(/Choose a step/)).toBeTruthy();
});

test("numbers of a trend have their change and a line", async () => {
  show("trend_numbers");
  expect(await screen.findByRole("img", { name: "page_view over the range" })).toBeTruthy();
  expect(screen.getByText("30,642")).toBeTruthy();
  expect(screen.getByText("↑ +18.5%")).toBeTruthy();
});

test("totals of a trend are bars and a table", async () => {
  show("trend_bars");
  expect(await screen.findByText("enterprise")).toBeTruthy();
  expect(screen.getByText(/no line of their own/)).toBeTruthy();
});
