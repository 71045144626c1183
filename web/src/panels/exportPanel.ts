// A panel as a file.

import { toCsv } from "../lib/csv.ts";
import { download, fileName } from "../lib/download.ts";
import { toPng } from "../lib/png.ts";
import type { Display, ShapedPanel } from "./panel.ts";

export function downloadCsv(name: string, shaped: ShapedPanel<unknown>, display: Display): void {
  const content = new Blob([toCsv(shaped.table)], { type: "text/csv;charset=utf-8" });
  download(fileName(name, display.range, new Date(), "csv"), content);
}

export async function downloadPng(
  name: string,
  title: string,
  shaped: ShapedPanel<unknown>,
  display: Display,
  card: HTMLElement,
): Promise<void> {
  const svg = card.querySelector<SVGSVGElement>("svg.recharts-surface");
  // The legend is text beside the chart: its colours are taken from the page, where the theme has made them.
  const keys = [...card.querySelectorAll<HTMLElement>("[data-legend] li")].map((item) => ({
    text: item.textContent ?? "",
    color: getComputedStyle(item.firstElementChild ?? item).backgroundColor,
  }));
  const picture = { title, lines: shaped.headline, keys, svg, table: shaped.table, zone: display.zone };
  download(fileName(name, display.range, new Date(), "png"), await toPng(picture));
}
