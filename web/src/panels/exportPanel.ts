// Exports a panel as a CSV or PNG file.

import { toCsv } from "../lib/csv.ts";
import { downloadFile, fileName } from "../lib/download.ts";
import { toPng } from "../lib/png.ts";
import type { Display, ShapedPanel } from "./panel.ts";

export function downloadCsv(name: string, shaped: ShapedPanel<unknown>, display: Display): void {
  const content = new Blob([toCsv(shaped.table)], { type: "text/csv;charset=utf-8" });
  downloadFile(fileName(name, display.range, new Date(), "csv"), content);
}

export async function downloadPng(
  name: string,
  title: string,
  shaped: ShapedPanel<unknown>,
  display: Display,
  card: HTMLElement,
): Promise<void> {
  const svg = card.querySelector<SVGSVGElement>("svg.recharts-surface");
  // The legend is HTML outside the SVG. Its colours come from the page, where the theme's variables are resolved.
  const legend = [...card.querySelectorAll<HTMLElement>("[data-legend] li")].map((item) => ({
    text: item.textContent ?? "",
    color: getComputedStyle(item.firstElementChild ?? item).backgroundColor,
  }));
  const image = { title, headline: shaped.headline, legend, svg, table: shaped.table, zone: display.zone };
  downloadFile(fileName(name, display.range, new Date(), "png"), await toPng(image));
}
