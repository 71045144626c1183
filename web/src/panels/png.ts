// Renders a panel or a question as a PNG image: title, figures, span, and the chart with its legend, or the values as a table if
// that is what is shown. Loaded lazily.

import { readColors } from "../charts/chartColors.ts";
import { chartForm } from "../charts/chartForm.ts";
import type { LastFrame } from "../live/hooks.tsx";
import type { ChartKind, PanelInfo } from "../live/protocol.ts";
import { type Painting, paintingOf } from "./paint.ts";
import { type ImageTable, imageContent, imageTable } from "./pngContent.ts";

const PADDING = 24;
const LINE = 22;
const MIN_WIDTH = 520;
const MAX_WIDTH = 1600;
/** Sharp on high-density screens and slides. */
const SCALE = 2;

interface LegendEntry {
  color: string;
  dashed: boolean;
  text: string;
}

/** The legend is HTML, where the theme's variables are resolved. */
function readLegend(card: HTMLElement): LegendEntry[] {
  return [...card.querySelectorAll<HTMLElement>("[data-legend] li")].map((item) => ({
    text:
      [...item.children]
        .map((part) => part.textContent)
        .filter(Boolean)
        .join(" ") ||
      (item.textContent ?? ""),
    dashed: item.dataset.dash !== undefined,
    color: getComputedStyle(item.firstElementChild ?? item).backgroundColor,
  }));
}

/** Draws from top to bottom. Without `draw` it only measures. */
class Page {
  y = PADDING;

  constructor(
    readonly ctx: CanvasRenderingContext2D,
    readonly width: number,
    readonly draw: boolean,
    private readonly family: string,
  ) {}

  text(text: string, size: number, color: string, weight = 400): void {
    this.ctx.font = `${weight} ${size}px ${this.family}`;
    this.ctx.fillStyle = color;
    if (this.draw) this.ctx.fillText(text, PADDING, this.y + size, this.width - 2 * PADDING);
    this.y += size + 8;
  }

  legend(entries: LegendEntry[], ink: string): void {
    if (entries.length === 0) return;
    this.ctx.font = `12px ${this.family}`;
    let left = PADDING;
    for (const { color, dashed, text } of entries) {
      const width = this.ctx.measureText(text).width + 34;
      if (left > PADDING && left + width > this.width - PADDING) {
        left = PADDING;
        this.y += LINE;
      }
      if (this.draw) {
        this.ctx.fillStyle = color;
        this.ctx.fillRect(left, this.y + 4, dashed ? 4 : 10, 10);
        if (dashed) this.ctx.fillRect(left + 6, this.y + 4, 4, 10);
        this.ctx.fillStyle = ink;
        this.ctx.fillText(text, left + 16, this.y + 14);
      }
      left += width;
    }
    this.y += LINE + 4;
  }

  table({ header, numeric, widths, rows, note }: ImageTable, ink: string, muted: string): void {
    const free = this.width - 2 * PADDING;
    const total = widths.reduce((sum, width) => sum + width, 0);
    const scale = free / Math.max(1, total);
    const row = (texts: string[], color: string, weight: number) => {
      this.ctx.font = `${weight} 13px ${this.family}`;
      this.ctx.fillStyle = color;
      let left = PADDING;
      texts.forEach((text, index) => {
        const width = (widths[index] ?? 0) * scale;
        this.ctx.textAlign = numeric[index] ? "right" : "left";
        if (this.draw) {
          const fitted = this.fit(text, width - 12);
          this.ctx.fillText(fitted, numeric[index] ? left + width - 8 : left, this.y + 15);
        }
        left += width;
      });
      this.ctx.textAlign = "left";
      this.y += LINE;
    };
    row(header, muted, 500);
    for (const texts of rows) row(texts, ink, 400);
    if (note) this.text(note, 12, muted);
  }

  /** Cut in the middle, as on the page. */
  private fit(text: string, width: number): string {
    if (this.ctx.measureText(text).width <= width) return text;
    const characters = [...text.slice(0, 400)];
    for (let kept = characters.length - 1; kept > 2; kept -= 1) {
      const start = Math.ceil(kept / 2);
      const cut = `${characters.slice(0, start).join("")}…${characters.slice(characters.length - (kept - start)).join("")}`;
      if (this.ctx.measureText(cut).width <= width) return cut;
    }
    return "…";
  }
}

/** What a picture says of a panel. */
export type Pictured = Pick<PanelInfo, "title" | "chart">;

export async function toPng(info: Pictured, drawn: LastFrame, stale: boolean, card: HTMLElement): Promise<Blob> {
  const chart = card.querySelector<HTMLElement>("[data-chart]");
  const form = chart && chartForm(chart.dataset.chart as ChartKind, drawn.frame);
  const canvas = chart?.querySelector("canvas") ?? undefined;
  // Its code may still be loading.
  const undrawn = (form === "time-series" && !canvas) || chart?.querySelector(".skeleton");
  const isTable = chart ? form === "table" || Boolean(undrawn) : info.chart !== "number";
  const painting = chart && !isTable && !canvas ? paintingOf(chart) : undefined;
  try {
    return await render(info, drawn, stale, card, { painting, canvas, isTable, isNumber: form === "number" });
  } finally {
    painting?.remove();
  }
}

interface Chart {
  /** Of a chart without a canvas of its own. */
  painting: Painting | undefined;
  canvas: HTMLCanvasElement | undefined;
  isTable: boolean;
  /** The chart is the figures. */
  isNumber: boolean;
}

async function render(
  info: Pictured,
  { frame, query }: LastFrame,
  stale: boolean,
  card: HTMLElement,
  { painting, canvas: chart, isTable, isNumber }: Chart,
): Promise<Blob> {
  const canvas = document.createElement("canvas");
  const ctx = canvas.getContext("2d");
  if (!ctx) throw new Error("this browser has no 2D canvas");
  const colors = readColors(card);
  const [background, ink, muted] = [colors("--card"), colors("--ink"), colors("--muted")];
  const family = getComputedStyle(card).fontFamily;
  const chartBox = painting ?? chart?.getBoundingClientRect();
  const content = imageContent(info, frame, query, stale);
  // A painting has its own.
  const legend = painting ? [] : readLegend(card);
  const table = isTable ? imageTable(frame) : null;
  const tableWidth = table ? table.widths.reduce((sum, width) => sum + width, 0) : 0;
  const wanted = (chartBox?.width ?? tableWidth) + 2 * PADDING;
  const width = Math.ceil(Math.max(MIN_WIDTH, painting ? wanted : Math.min(MAX_WIDTH, wanted)));

  const layOut = (draw: boolean): number => {
    const page = new Page(ctx, width, draw, family);
    page.text(content.title, 18, ink, 600);
    if (!isNumber) for (const figure of content.figures) page.text(figure, 15, ink);
    page.text(content.caption, 12, muted);
    page.legend(legend, ink);
    if (chartBox) {
      page.y += 8;
      if (draw) painting?.draw(ctx, PADDING, page.y);
      if (draw && chart) ctx.drawImage(chart, PADDING, page.y, chartBox.width, chartBox.height);
      page.y += chartBox.height;
    } else if (table) page.table(table, ink, muted);
    return Math.ceil(page.y + PADDING);
  };

  const height = layOut(false);
  canvas.width = width * SCALE;
  canvas.height = height * SCALE;
  ctx.scale(SCALE, SCALE);
  ctx.fillStyle = background;
  ctx.fillRect(0, 0, width, height);
  layOut(true);

  const blob = await new Promise<Blob | null>((done) => canvas.toBlob(done, "image/png"));
  if (!blob) throw new Error("this browser cannot encode PNG files");
  return blob;
}
