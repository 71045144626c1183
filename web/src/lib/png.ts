// A panel as a picture: its title, its headline, and its chart, or its table where it has no chart.

import type { PlainTable } from "./table.ts";
import { cellText } from "./table.ts";

/** What a colour of the chart stands for. */
export interface Key {
  color: string;
  text: string;
}

export interface Picture {
  title: string;
  lines: string[];
  keys: Key[];
  svg: SVGSVGElement | null;
  table: PlainTable;
  zone: string;
}

const INLINED = [
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

/** A copy that looks the same outside the page: the theme's colours are variables, which a picture does not know. */
export function standalone(svg: SVGSVGElement): SVGSVGElement {
  const copy = svg.cloneNode(true) as SVGSVGElement;
  const originals = [svg, ...svg.querySelectorAll<SVGElement>("*")];
  const copies = [copy, ...copy.querySelectorAll<SVGElement>("*")];
  originals.forEach((original, index) => {
    const style = getComputedStyle(original);
    const target = copies[index];
    if (!target) return;
    target.removeAttribute("class");
    for (const name of INLINED) {
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

async function image(svg: SVGSVGElement): Promise<HTMLImageElement> {
  const picture = new Image();
  const text = new XMLSerializer().serializeToString(standalone(svg));
  picture.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  await picture.decode();
  return picture;
}

const PADDING = 24;
const ROW = 24;
const MAX_ROWS = 20;
const FONT = "system-ui, sans-serif";

function drawTable(canvas: CanvasRenderingContext2D, picture: Picture, top: number, width: number): void {
  const { columns, rows } = picture.table;
  const step = (width - 2 * PADDING) / Math.max(1, columns.length);
  const line = (texts: string[], y: number) =>
    texts.forEach((text, i) => {
      canvas.fillText(text, PADDING + i * step, y, step - 8);
    });
  canvas.font = `600 13px ${FONT}`;
  line(
    columns.map((c) => c.label),
    top + ROW,
  );
  canvas.font = `13px ${FONT}`;
  rows.slice(0, MAX_ROWS).forEach((row, index) => {
    const texts = columns.map((c, i) => cellText(row[i] ?? null, c.kind, picture.zone));
    line(texts, top + ROW * (index + 2));
  });
}

const KEY_ROW = 24;

/** Places the keys from left to right, in as many rows as they need; draws them where there is something to draw on. */
function layKeys(canvas: CanvasRenderingContext2D, keys: Key[], top: number, width: number, draws: boolean): number {
  canvas.font = `13px ${FONT}`;
  let left = PADDING;
  let row = 0;
  for (const { color, text } of keys) {
    const room = canvas.measureText(text).width + 34;
    if (left > PADDING && left + room > width - PADDING) {
      left = PADDING;
      row += 1;
    }
    if (draws) {
      const ink = canvas.fillStyle;
      canvas.fillStyle = color;
      canvas.fillRect(left, top + row * KEY_ROW + 5, 10, 10);
      canvas.fillStyle = ink;
      canvas.fillText(text, left + 16, top + row * KEY_ROW + 15);
    }
    left += room;
  }
  return keys.length === 0 ? 0 : (row + 1) * KEY_ROW;
}

export async function toPng(picture: Picture): Promise<Blob> {
  const probe = document.createElement("div");
  probe.className = "bg-card text-ink";
  document.body.append(probe);
  const paper = getComputedStyle(probe).backgroundColor;
  const ink = getComputedStyle(probe).color;
  probe.remove();

  const box = picture.svg?.getBoundingClientRect();
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d");
  if (!context) throw new Error("this browser cannot draw pictures");

  const width = Math.ceil(Math.max(480, (box?.width ?? 0) + 2 * PADDING));
  const keysTop = PADDING + 28 + picture.lines.length * 28;
  const top = keysTop + layKeys(context, picture.keys, keysTop, width, false);
  const body = box ? box.height : ROW * (Math.min(MAX_ROWS, picture.table.rows.length) + 2);
  const height = Math.ceil(top + body + PADDING);

  // Twice the size, so that the picture is sharp on a slide.
  canvas.width = width * 2;
  canvas.height = height * 2;
  context.scale(2, 2);
  context.fillStyle = paper;
  context.fillRect(0, 0, width, height);
  context.fillStyle = ink;
  context.font = `600 18px ${FONT}`;
  context.fillText(picture.title, PADDING, PADDING + 16);
  context.font = `15px ${FONT}`;
  picture.lines.forEach((text, index) => {
    context.fillText(text, PADDING, PADDING + 16 + 28 * (index + 1), width - 2 * PADDING);
  });
  layKeys(context, picture.keys, keysTop, width, true);
  if (picture.svg && box) context.drawImage(await image(picture.svg), PADDING, top, box.width, box.height);
  else drawTable(context, picture, top, width);

  const blob = await new Promise<Blob | null>((done) => canvas.toBlob(done, "image/png"));
  if (!blob) throw new Error("this browser cannot write PNG files");
  return blob;
}
