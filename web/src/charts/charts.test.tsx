import { act, fireEvent, render, renderHook, screen, waitFor } from "@testing-library/react";
import { afterEach, beforeAll, expect, test, vi } from "vitest";
import { installBrowser } from "../test/browser.ts";
import { dimension, frame, MINUTE, measure, START, timeColumn } from "../test/frames.ts";
import { SAMPLES } from "../test/panels.ts";
import { figuresOf, figureView } from "./bigFigure.ts";
import { Chart } from "./Chart.tsx";
import { chartForm, isEmpty } from "./chartForm.ts";
import DataTable from "./DataTable.tsx";
import { barBox, runs } from "./draw.ts";
import HorizontalBars, { barExtent, MiddleCut } from "./HorizontalBars.tsx";
import TimeSeries from "./TimeSeries.tsx";
import { useThrottled } from "./useRedraw.ts";

beforeAll(installBrowser);
afterEach(() => vi.useRealTimers());

const sample = (name: string) => {
  const found = SAMPLES.find(({ info }) => info.name === name);
  if (!found) throw new Error(`no sample ${name}`);
  return found;
};
const text = (value: string | number | bigint, unit = "") =>
  figureView({ label: "", unit, value, isTime: false }, frame([])).text.replaceAll("\u00a0", " ");

test("figures are abbreviated only beyond what fits, and keep the exact value", () => {
  expect(text(1_234_567_890n)).toBe("1,234,567,890");
  const figure = { label: "", unit: "", value: 18_446_744_073_709_551_615n, isTime: false };
  expect(figureView(figure, frame([]))).toEqual({
    text: "1.84\u00a0×\u00a010¹⁹",
    exact: "18,446,744,073,709,551,615",
  });
  expect(text(18_446_744_073_709_551_615n, "bytes")).toBe("18.4 EB");
});

test("a number panel without figures shows the first measure of the first row", () => {
  expect(figuresOf(frame([dimension("name", ["a"]), measure("views", [7])]))[0]?.value).toBe(7);
  expect(figuresOf(frame([]))).toEqual([]);
});

test("a frame without the columns of its kind is drawn as what it has", () => {
  const ranked = frame([dimension("page", ["/"]), measure("views", [1])]);
  expect(chartForm("line", ranked)).toBe("horizontal-bar");
  expect(chartForm("bar", ranked)).toBe("category-bars");
  expect(chartForm("area", frame([dimension("page", ["/"])]))).toBe("table");
  expect(chartForm("line", frame([measure("views", [1])]))).toBe("table");
  const textTime = timeColumn(["10:00"], { type: "text" });
  expect(chartForm("line", frame([textTime, measure("views", [1])]))).toBe("table");
});

test("zeros of counts are empty, zeros of ratios are values", () => {
  expect(isEmpty("line", sample("empty").frame)).toBe(true);
  const rate = measure("rate", [0], { unit: "%", type: "float", additive: false });
  expect(isEmpty("horizontal-bar", frame([dimension("page", ["/"]), rate]))).toBe(false);
  expect(isEmpty("table", frame([dimension("page", [])]))).toBe(true);
});

test("bars of negative values end at the zero line", () => {
  expect(barExtent(-50, { min: -50, max: 50 })).toEqual([0, 50]);
  expect(barExtent(50, { min: -50, max: 50 })).toEqual([50, 50]);
  expect(barExtent(null, { min: 0, max: 50 })).toEqual([0, 0]);
  expect(barExtent(1, { min: 0, max: 0 })).toEqual([0, 0]);
});

test("bars of one bucket do not overlap, and gaps separate lines", () => {
  const [first, width] = barBox(0, 100, 0, 2, 1000);
  expect(barBox(0, 100, 1, 2, 1000)[0]).toBeGreaterThanOrEqual(first + width);
  expect([...runs([1, null, 2, 3, null])]).toEqual([
    [0, 1],
    [2, 4],
  ]);
});

test("a long name is cut in the middle, and its text is complete", () => {
  const name = "https://shop.example.com/collections/summer/linen-shirt-white?variant=41";
  const { container } = render(<MiddleCut text={name} />);
  expect(container.textContent).toBe(name);
  expect(container.querySelector(".shrink-0")?.textContent).toBe("ite?variant=41");
  expect(container.firstElementChild?.getAttribute("title")).toBe(name);
});

test("10,000 bars are capped, and the chart says what is left out", () => {
  const { container } = render(<HorizontalBars frame={sample("ten_thousand_bars").frame} title="Bars" top={6} />);
  expect(container.querySelectorAll("li")).toHaveLength(6);
  expect(container.textContent).toContain("9,994 more not shown");
});

test("on a wall a row of a ranking knows its part of the height", () => {
  const { container } = render(<HorizontalBars frame={sample("top_pages").frame} title="Pages" top={4} />);
  const list = container.querySelector<HTMLElement>(".ranking-bars > ul");
  expect(list?.style.getPropertyValue("--rows")).toBe(String(list?.querySelectorAll("li").length));
  expect(list?.style.getPropertyValue("--measures")).toBe("1");
});

test("of 10,000 rows only those in view are in the document, and the count is stated", () => {
  const { container } = render(<DataTable frame={sample("ten_thousand").frame} title="Rows" />);
  const rows = container.querySelectorAll("tbody tr").length;
  expect(rows).toBeGreaterThan(5);
  expect(rows).toBeLessThan(60);
  expect(container.textContent).toContain("10,000 rows");
  expect(container.querySelector("table")?.getAttribute("aria-rowcount")).toBe("10001");
});

test("hostile texts are texts", () => {
  const { container } = render(<HorizontalBars frame={sample("top_pages").frame} title="Pages" top={12} />);
  expect(container.querySelector("script")).toBeNull();
  expect(container.textContent).toContain("<script>alert(1)</script>");
  expect(container.textContent).toContain("(empty)");
});

test("a chart over time describes itself, and the arrow keys read its points", async () => {
  const { info, frame } = sample("error_rate");
  render(<Chart frame={frame} frameKey="a" kind="line" title={info.title} top={5} />);
  const chart = await screen.findByRole("img");
  await waitFor(() => expect(chart.querySelector("canvas")).not.toBeNull());
  expect(chart.getAttribute("aria-label")).toContain("Error rate, 10:00–11:01.");
  fireEvent.keyDown(chart, { key: "Home" });
  expect(screen.getByRole("status").textContent).toContain("10:00–10:01: Errors");
  fireEvent.keyDown(chart, { key: "ArrowRight" });
  expect(screen.getByRole("status").textContent).toContain("10:01–10:02: Errors");
  fireEvent.keyDown(chart, { key: "End" });
  expect(screen.getByRole("status").textContent).toContain("so far, as of 11:00:22");
  fireEvent.keyDown(chart, { key: "Escape" });
  expect(screen.getByRole("status").textContent).toBe("");
});

test("the legend keeps its order when totals change with an update, and is ranked anew for another query", () => {
  const times = timeColumn([START, START, START + MINUTE, START + MINUTE]);
  const views = (values: number[]) => frame([times, dimension("page", ["a", "b", "a", "b"]), measure("views", values)]);
  const names = () => [...document.querySelectorAll("[data-legend] > li")].map((entry) => entry.textContent?.[0]);
  const props = { kind: "line", title: "Views", top: 5 } as const;
  const { rerender } = render(<TimeSeries {...props} frameKey="1h" frame={views([1, 5, 1, 5])} />);
  expect(names()).toEqual(["b", "a"]);
  rerender(<TimeSeries {...props} frameKey="1h" frame={views([9, 5, 9, 5])} />);
  expect(names()).toEqual(["b", "a"]);
  rerender(<TimeSeries {...props} frameKey="24h" frame={views([9, 5, 9, 5])} />);
  expect(names()).toEqual(["a", "b"]);
});

test("a pointer and new results are not spoken, and blur ends the point", async () => {
  const { info, frame } = sample("error_rate");
  const { rerender } = render(<TimeSeries frame={frame} frameKey="a" kind="line" title={info.title} top={5} />);
  const chart = screen.getByRole("img");
  await waitFor(() => expect(chart.querySelector("canvas")).not.toBeNull());
  const status = () => screen.getByRole("status").textContent;
  fireEvent.keyDown(chart, { key: "End" });
  const spoken = status();
  expect(spoken).toContain("so far, as of 11:00:22");
  const later = { ...frame, context: { ...frame.context, computedAt: frame.context.computedAt + 1000 } };
  rerender(<TimeSeries frame={later} frameKey="a" kind="line" title={info.title} top={5} />);
  expect(document.querySelector("[data-tooltip]")?.textContent).toContain("so far, as of 11:00:23");
  expect(status()).toBe(spoken);
  fireEvent.blur(chart);
  expect(status()).toBe("");
});

test("colours are read once for a theme, not for each result", async () => {
  const { info, frame } = sample("error_rate");
  const { rerender } = render(<TimeSeries frame={frame} frameKey="a" kind="line" title={info.title} top={5} />);
  await waitFor(() => expect(screen.getByRole("img").querySelector("canvas")).not.toBeNull());
  const read = vi.spyOn(window, "getComputedStyle");
  rerender(<TimeSeries frame={{ ...frame }} frameKey="a" kind="line" title={info.title} top={5} />);
  expect(read.mock.calls.filter(([element]) => element instanceof HTMLSpanElement)).toEqual([]);
  read.mockRestore();
});

test("printing draws the newest result, also of what is off the screen", async () => {
  vi.stubGlobal(
    "IntersectionObserver",
    class {
      constructor(private readonly report: (entries: { isIntersecting: boolean }[]) => void) {}
      observe = () => this.report([{ isIntersecting: false }]);
      disconnect() {}
    },
  );
  const bars = (page: string) => (
    <Chart
      frame={frame([dimension("page", [page]), measure("views", [1])])}
      frameKey="a"
      kind="horizontal-bar"
      title="Pages"
      top={5}
    />
  );
  const { container, rerender } = render(bars("/old"));
  await waitFor(() => expect(container.textContent).toContain("/old"));
  rerender(bars("/new"));
  expect(container.textContent).toContain("/old");
  act(() => void window.dispatchEvent(new Event("beforeprint")));
  expect(container.textContent).toContain("/new");
  act(() => void window.dispatchEvent(new Event("afterprint")));
  expect(container.textContent).toContain("/old");
  vi.unstubAllGlobals();
});

test("results are drawn at most once a second while visible, and those of another query at once", () => {
  vi.useFakeTimers();
  const { result, rerender } = renderHook(({ value, key, visible }) => useThrottled(value, key, visible), {
    initialProps: { value: 1, key: "a", visible: true },
  });
  rerender({ value: 2, key: "a", visible: true });
  expect(result.current).toBe(2);
  rerender({ value: 3, key: "a", visible: true });
  rerender({ value: 4, key: "a", visible: true });
  expect(result.current).toBe(2);
  act(() => vi.advanceTimersByTime(1000));
  expect(result.current).toBe(4);
  rerender({ value: 5, key: "a", visible: false });
  act(() => vi.advanceTimersByTime(5000));
  expect(result.current).toBe(4);
  rerender({ value: 6, key: "b", visible: false });
  expect(result.current).toBe(6);
});
