// Renders a panel as a PNG image: title, headline, and the chart or, for a panel without a chart, the table.

import type { PlainTable } from "./table.ts";
import { cellText } from "./table.ts";

export interface LegendEntry {
  color: string;
  text: string;
}

export interface PanelImage {
  title: string;
  headline: string[];
  legend: LegendEntry[];
  svg: SVGSVGElement | null;
  table: PlainTable;
  zone: string;
}

const INLINED_PROPERTIES = [
  "fill",
  "fill-opacity",
  "stroke",
  "stroke-width",
  "stroke-dasharray",
  "stroke-opacity",
  "stroke-linecap",
  "opacity",
  "font-size",
  "font-family",
  "font-weight",
  "text-anchor",
];

/** Copies the computed styles into the clone: an SVG outside the page has no stylesheet and no theme variables. */
export function cloneWithInlineStyles(svg: SVGSVGElement): SVGSVGElement {
  const copy = svg.cloneNode(true) as SVGSVGElement;
  const originals = [svg, ...svg.querySelectorAll<SVGElement>("*")];
  const copies = [copy, ...copy.querySelectorAll<SVGElement>("*")];
  originals.forEach((original, index) => {
    const style = getComputedStyle(original);
    const target = copies[index];
    if (!target) return;
    target.removeAttribute("class");
    for (const name of INLINED_PROPERTIES) {
      const value = style.getPropertyValue(name);
      if (value) target.style.setProperty(name, value);
    }
  });
  const box = svg.getBoundingClientRect();
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("width", String(box.width));
  copy.setAttribute("height", String(box.height));
  return copy;
}

async function loadImage(svg: SVGSVGElement): Promise<HTMLImageElement> {
  const image = new Image();
  const text = new XMLSerializer().serializeToString(cloneWithInlineStyles(svg));
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  await image.decode();
  return image;
}

const PADDING = 24;
const ROW = 24;
const MAX_TABLE_ROWS = 20;
const FONT = "system-ui, sans-serif";

function drawTable(canvas: CanvasRenderingContext2D, image: PanelImage, top: number, width: number): void {
  const { columns, rows } = image.table;
  const columnWidth = (width - 2 * PADDING) / Math.max(1, columns.length);
  const drawRow = (texts: string[], y: number) =>
    texts.forEach((text, i) => {
      canvas.fillText(text, PADDING + i * columnWidth, y, columnWidth - 8);
    });
  canvas.font = `600 13px ${FONT}`;
  drawRow(
    columns.map((c) => c.label),
    top + ROW,
  );
  canvas.font = `13px ${FONT}`;
  rows.slice(0, MAX_TABLE_ROWS).forEach((row, index) => {
    const texts = columns.map((c, i) => cellText(row[i] ?? null, c.kind, image.zone));
    drawRow(texts, top + ROW * (index + 2));
  });
}

const LEGEND_ROW = 24;

/** Wraps the legend into rows and returns its height. Without `draw` it only measures. */
function layoutLegend(
  canvas: CanvasRenderingContext2D,
  entries: LegendEntry[],
  top: number,
  width: number,
  draw: boolean,
): number {
  canvas.font = `13px ${FONT}`;
  let left = PADDING;
  let row = 0;
  for (const { color, text } of entries) {
    const entryWidth = canvas.measureText(text).width + 34;
    if (left > PADDING && left + entryWidth > width - PADDING) {
      left = PADDING;
      row += 1;
    }
    if (draw) {
      const textStyle = canvas.fillStyle;
      canvas.fillStyle = color;
      canvas.fillRect(left, top + row * LEGEND_ROW + 5, 10, 10);
      canvas.fillStyle = textStyle;
      canvas.fillText(text, left + 16, top + row * LEGEND_ROW + 15);
    }
    left += entryWidth;
  }
  return entries.length === 0 ? 0 : (row + 1) * LEGEND_ROW;
}

export async function toPng(image: PanelImage): Promise<Blob> {
  const probe = document.createElement("div");
  probe.className = "bg-card text-ink";
  document.body.append(probe);
  const background = getComputedStyle(probe).backgroundColor;
  const foreground = getComputedStyle(probe).color;
  probe.remove();

  const box = image.svg?.getBoundingClientRect();
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d");
  if (!context) throw new Error("this browser has no 2D canvas");

  const width = Math.ceil(Math.max(480, (box?.width ?? 0) + 2 * PADDING));
  const legendTop = PADDING + 28 + image.headline.length * 28;
  const top = legendTop + layoutLegend(context, image.legend, legendTop, width, false);
  const body = box ? box.height : ROW * (Math.min(MAX_TABLE_ROWS, image.table.rows.length) + 2);
  const height = Math.ceil(top + body + PADDING);

  // Rendered at 2x, so that the image is sharp on high-density screens and slides.
  canvas.width = width * 2;
  canvas.height = height * 2;
  context.scale(2, 2);
  context.fillStyle = background;
  context.fillRect(0, 0, width, height);
  context.fillStyle = foreground;
  context.font = `600 18px ${FONT}`;
  context.fillText(image.title, PADDING, PADDING + 16);
  context.font = `15px ${FONT}`;
  image.headline.forEach((text, index) => {
    context.fillText(text, PADDING, PADDING + 16 + 28 * (index + 1), width - 2 * PADDING);
  });
  layoutLegend(context, image.legend, legendTop, width, true);
  if (image.svg && box) context.drawImage(await loadImage(image.svg), PADDING, top, box.width, box.height);
  else drawTable(context, image, top, width);

  const blob = await new Promise<Blob | null>((done) => canvas.toBlob(done, "image/png"));
  if (!blob) throw new Error("this browser cannot encode PNG files");
  return blob;
}
