import { render, screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeAll, expect, test, vi } from "vitest";
import type { Frame } from "../frame/frame.ts";
import { panelFileName } from "../lib/download.ts";
import type { QueryState } from "../live/protocol.ts";
import { installBrowser } from "../test/browser.ts";
import { context, dimension, frame, HOUR, measure, START } from "../test/frames.ts";
import { info, query, SAMPLES, type Sample } from "../test/panels.ts";
import { splitReason } from "./cardState.ts";
import { selectionName } from "./exportPanel.ts";
import { PanelCard } from "./PanelCard.tsx";
import { imageContent, imageTable } from "./pngContent.ts";

beforeAll(installBrowser);

const live: QueryState = { status: "live", since: START + HOUR };
const pages = frame([dimension("page_url", ["/", "/pricing"]), measure("views", [7, 3])], {
  figures: [{ label: "page views", unit: "", value: 10, isTime: false }],
});
const top = info("top_pages", { title: "Top pages", chart: "horizontal-bar" });

const card = (props: { info?: Sample["info"]; frame?: Frame; state?: QueryState; placeholder?: boolean } = {}) => {
  const { info = top, frame, state = live, placeholder = false } = props;
  const drawn = frame && { frame, query: query(info.name), placeholder };
  return render(<PanelCard info={info} drawn={drawn} state={state} onRetry={() => {}} />);
};
const region = (name = "Top pages") => screen.getByRole("region", { name });

test("a live card has its figures and its chart, and nothing about its age", () => {
  card({ frame: pages });
  expect(region().dataset.state).toBe("live");
  expect(region().querySelector("[data-figure]")?.textContent).toBe("10");
  expect(region().querySelector("[data-chart=horizontal-bar]")).not.toBeNull();
  expect(region().querySelector("[data-as-of]")).toBeNull();
});

test("figures of another range are marked, and named by their own range", () => {
  card({ frame: pages, placeholder: true, state: { status: "loading", since: 0 } });
  expect(region().hasAttribute("data-placeholder")).toBe(true);
  expect(region().textContent).toContain("showing the last hour");
});

test("stale figures are dimmed and have their age, and the reason is not repeated on each card", () => {
  card({ frame: pages, state: { status: "stale", since: START + HOUR, reason: "the server cannot be reached" } });
  expect(region().querySelector("[data-as-of]")?.textContent).toBe("as of 10:59:40");
  expect(region().querySelector("[data-dimmed]")).not.toBeNull();
  expect(region().querySelector("[data-figure]")?.className).toContain("text-muted");
  expect(region().textContent).not.toContain("cannot be reached");
});

test("a panel with its own span says so", () => {
  card({ frame: { ...pages, context: context({ span: "last 5 minutes" }) } });
  expect(region().querySelector("[data-span]")?.textContent).toBe("last 5 minutes");
});

test("an empty panel names the events and the span", () => {
  card({ frame: frame([dimension("page_url", []), measure("views", [])]) });
  expect(region().textContent).toContain("No page_view events 10:00–11:00");
});

test("a rejected query says plainly why, with the details folded", () => {
  const reason = "There is no column page_ulr.\nCode: 47. DB::Exception: Unknown expression";
  card({ state: { status: "failed", since: 0, reason } });
  const failure = region().querySelector("[data-failure]");
  expect(failure?.querySelector("p")?.textContent).toBe("There is no column page_ulr.");
  expect(failure?.querySelector("details")?.open).toBe(false);
  expect(splitReason("Code: 62. DB::Exception: Syntax error")).toEqual({
    summary: "Syntax error.",
    details: "Code: 62. DB::Exception: Syntax error",
  });
});

test("an error while drawing stays in its card, and newer results are drawn again", () => {
  // React reports errors that a boundary contains.
  const reported = vi.spyOn(console, "error").mockImplementation(() => {});
  const broken = { ...pages, columns: null } as unknown as Frame;
  const { rerender } = card({ frame: broken });
  expect(region().textContent).toContain("This panel could not be drawn.");
  reported.mockRestore();
  const drawn = { frame: pages, query: query("top_pages"), placeholder: false };
  rerender(<PanelCard info={top} drawn={drawn} state={live} onRetry={() => {}} />);
  expect(region().querySelector("[data-figure]")?.textContent).toBe("10");
});

test("the description is a text on demand, and the values are a table on demand", async () => {
  card({ frame: pages });
  const description = screen.getByText("What top_pages is about.");
  expect(description.hidden).toBe(true);
  await userEvent.click(screen.getByRole("button", { name: "About Top pages" }));
  expect(description.hidden).toBe(false);
  await userEvent.click(screen.getByRole("button", { name: "Top pages: more actions" }));
  await userEvent.click(await screen.findByRole("menuitem", { name: "Show as table" }));
  expect((await within(region()).findByRole("table")).textContent).toContain("/pricing");
});

test("a number without words has its unit beside it", () => {
  const users = frame([measure("users", [18_446_744_073_709_551_615n], { unit: "users" })]);
  card({ info: info("users", { title: "Users", chart: "number" }), frame: users });
  expect(region("Users").textContent).toContain("users");
  expect(region("Users").querySelector("[data-figure]")?.getAttribute("title")).toBe("18,446,744,073,709,551,615");
});

test("a comparison without enough history has no percentage", () => {
  const sample = SAMPLES.find(({ info }) => info.name === "no_history");
  card({ info: sample?.info, frame: sample?.frame });
  expect(region("Without history").textContent).toContain("not enough history");
  expect(region("Without history").textContent).not.toContain("%");
});

test("a change has the earlier value in its unit, and details say where the figures come from", async () => {
  const figures = [
    {
      label: "mean",
      unit: "ms",
      value: 1200,
      isTime: false,
      comparison: { label: "previous period", value: 800, changePct: 50 },
    },
    {
      label: "views",
      unit: "",
      value: 3,
      isTime: false,
      comparison: { label: "previous period", value: 0, changePct: null },
    },
  ];
  const requestedStart = START - 24 * HOUR;
  card({ frame: { ...pages, figures, context: context({ source: "events", requestedStart }) } });
  expect(region().textContent).toContain("+50.0%vs previous period");
  expect(within(region()).getByTitle("800 ms previous period")).toBeTruthy();
  expect(region().textContent).toContain("nothing to compare with");
  await userEvent.click(screen.getByRole("button", { name: "About Top pages" }));
  expect(region().textContent).toContain("Computed from the events themselves");
  expect(region().textContent).toContain("What is before Sat 21 Nov, 10:00 is no longer stored.");
});

test("approximate counts are marked in words", () => {
  card({ frame: { ...pages, context: context({ approximate: true }) } });
  expect(within(region()).getByRole("img", { name: "approximately" })).toBeTruthy();
});

test("files are named by the query and the moment of the figures in their zone", () => {
  const madrid = context({ zone: "Europe/Madrid", computedAt: Date.UTC(2026, 10, 21, 10, 59, 40) });
  expect(panelFileName("error_rate", "6h", madrid, "csv")).toBe("error_rate-6h-2026-11-21T115940+0100.csv");
});

test("files and images of an interval, a comparison and filters say so", () => {
  const selection = query("top_pages", {
    range: { from: START - 24 * HOUR, to: START },
    filters: [{ dimension: "country_code", value: "ES" }],
  });
  const earlier = frame([], { context: context({ start: START - 48 * HOUR, end: START - 24 * HOUR }) });
  const result = { ...pages, context: context({ start: START - 24 * HOUR, end: START }), comparison: earlier };
  expect(selectionName(selection, result)).toBe("2026-11-20T1000-2026-11-21T1000-filtered");
  // It has ended, so it has no time of its figures.
  expect(imageContent(top, result, selection, true).caption).toBe(
    "Fri 20 Nov, 10:00 – Sat 21 Nov, 10:00 · UTC · compared with Thu 19 Nov, 10:00 – Fri 20 Nov, 10:00 · country: Spain",
  );
});

test("an image states its span, zone, time and what is left out", () => {
  const many = frame([
    dimension(
      "page_url",
      Array.from({ length: 40 }, (_, i) => `/${i}`),
    ),
  ]);
  expect(
    imageContent(top, { ...pages, context: context({ zone: "Europe/Madrid" }) }, query("top_pages"), true),
  ).toEqual({
    title: "Top pages",
    figures: ["10 page views"],
    caption: "11:00–12:00 · Madrid, UTC+1 · as of 11:59:40 · not current",
  });
  expect(imageContent(top, many, query("top_pages"), false).figures).toEqual([]);
  expect(imageTable(many).note).toBe("15 more rows are left out. The CSV file has all.");
});
