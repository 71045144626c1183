// Paints a chart of HTML and SVG onto a canvas, from its computed styles: what the browser shows, in the theme of the page. It
// knows what charts are made of: boxes with backgrounds and borders, texts, and the shapes of SVG.

/** Where the chart is, and how far its content reaches. */
interface Sheet {
  ctx: CanvasRenderingContext2D;
  left: number;
  top: number;
  /** Without it, nothing is drawn. */
  draw: boolean;
  right: number;
  bottom: number;
}

export interface Painting {
  width: number;
  height: number;
  draw: (ctx: CanvasRenderingContext2D, x: number, y: number) => void;
  remove: () => void;
}

/**
 * All of the chart, also what has to be scrolled to. It is laid out for that as a copy outside of the window, until it is
 * removed.
 */
export function paintingOf(chart: HTMLElement): Painting {
  const { width, height } = chart.getBoundingClientRect();
  const copy = chart.cloneNode(true) as HTMLElement;
  copy.inert = true;
  Object.assign(copy.style, {
    position: "absolute",
    left: "-100000px",
    top: "0",
    width: `${width}px`,
    height: "auto",
    minHeight: `${height}px`,
  });
  chart.after(copy);
  for (const element of copy.querySelectorAll<HTMLElement>("*")) {
    const { overflow, position } = getComputedStyle(element);
    if (/auto|scroll/.test(overflow)) element.style.overflow = "visible";
    if (position === "sticky") element.style.position = "static";
  }
  const paint = (ctx: CanvasRenderingContext2D, draw: boolean) => {
    const { left, top } = copy.getBoundingClientRect();
    const sheet = { ctx, left, top, draw, right: left + width, bottom: top };
    paintElement(sheet, copy);
    return sheet;
  };
  const measured = paint(document.createElement("canvas").getContext("2d") as CanvasRenderingContext2D, false);
  return {
    width: measured.right - measured.left,
    height: measured.bottom - measured.top,
    draw: (ctx, x, y) => {
      ctx.save();
      ctx.translate(x, y);
      paint(ctx, true);
      ctx.restore();
    },
    remove: () => copy.remove(),
  };
}

function paintElement(sheet: Sheet, element: Element): void {
  const style = getComputedStyle(element);
  const forReaders = style.position === "absolute" && style.clipPath === "inset(50%)";
  const forScreens = "screenOnly" in (element as HTMLElement | SVGElement).dataset;
  if (style.display === "none" || style.visibility === "hidden" || forReaders || forScreens) return;
  const { ctx } = sheet;
  ctx.save();
  ctx.globalAlpha *= Number(style.opacity);
  if (element instanceof SVGSVGElement) {
    for (const shape of element.querySelectorAll<SVGGraphicsElement>("path, rect, line, text"))
      paintShape(sheet, shape);
  } else {
    if (style.display !== "contents") paintBox(sheet, element.getBoundingClientRect(), style);
    for (const child of element.childNodes) {
      if (child instanceof Element) paintElement(sheet, child);
      else if (child instanceof Text) paintText(sheet, child, element);
    }
  }
  ctx.restore();
}

function reach(sheet: Sheet, { right, bottom }: DOMRect): void {
  sheet.right = Math.max(sheet.right, right);
  sheet.bottom = Math.max(sheet.bottom, bottom);
}

export const isTransparent = (color: string): boolean =>
  color === "transparent" || /^rgba\(.*, 0\)$|\/ 0\)$/.test(color);

/** What hangs over the box of an element is cut off if the element says so. */
function paintBox(sheet: Sheet, box: DOMRect, style: CSSStyleDeclaration): void {
  const filled = !isTransparent(style.backgroundColor);
  if (filled) reach(sheet, box);
  if (!sheet.draw) return;
  const { ctx } = sheet;
  const [x, y] = [box.left - sheet.left, box.top - sheet.top];
  const radius = Math.min(Number.parseFloat(style.borderTopLeftRadius) || 0, box.width / 2, box.height / 2);
  const outline = new Path2D();
  outline.roundRect(x, y, box.width, box.height, radius);
  if (filled) {
    ctx.fillStyle = style.backgroundColor;
    ctx.fill(outline);
  }
  const [stripes] = /rgba?\([^)]*\)|(?:color|oklab|oklch)\([^)]*\)/.exec(style.backgroundImage) ?? [];
  if (stripes) paintStripes(ctx, outline, x, y, box, stripes);
  for (const [side, x1, y1, x2, y2] of [
    ["Top", 0, 0, box.width, 0],
    ["Right", box.width, 0, box.width, box.height],
    ["Bottom", 0, box.height, box.width, box.height],
    ["Left", 0, 0, 0, box.height],
  ] as const) {
    const width = Number.parseFloat(style[`border${side}Width`]);
    if (width > 0)
      paintLine(ctx, [x + x1, y + y1, x + x2, y + y2], width, style[`border${side}Style`], style[`border${side}Color`]);
  }
  if (style.outlineStyle === "dashed") {
    ctx.setLineDash([3, 3]);
    ctx.strokeStyle = style.outlineColor;
    ctx.lineWidth = 1;
    ctx.stroke(outline);
    ctx.setLineDash([]);
  }
  if (style.overflow !== "visible") ctx.clip(outline);
}

function paintLine(
  ctx: CanvasRenderingContext2D,
  [x1, y1, x2, y2]: [number, number, number, number],
  width: number,
  kind: string,
  color: string,
): void {
  ctx.setLineDash(kind === "dashed" ? [2 * width + 1, 2 * width + 1] : []);
  ctx.lineWidth = width;
  ctx.strokeStyle = color;
  ctx.beginPath();
  ctx.moveTo(x1, y1);
  ctx.lineTo(x2, y2);
  ctx.stroke();
  ctx.setLineDash([]);
}

const STRIPE_DISTANCE = 7;

function paintStripes(
  ctx: CanvasRenderingContext2D,
  outline: Path2D,
  x: number,
  y: number,
  { width, height }: DOMRect,
  color: string,
): void {
  ctx.save();
  ctx.clip(outline);
  for (let at = 0; at < width + height; at += STRIPE_DISTANCE)
    paintLine(ctx, [x + at - height, y + height, x + at, y], 1, "solid", color);
  ctx.restore();
}

/** Line by line, as the browser has broken it, and cut where it is cut. */
function paintText(sheet: Sheet, node: Text, parent: Element): void {
  const lines = linesOf(node);
  for (const { rect } of lines) reach(sheet, rect);
  if (!sheet.draw || lines.length === 0) return;
  const { ctx } = sheet;
  const style = getComputedStyle(parent);
  ctx.font = `${style.fontStyle} ${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
  ctx.fillStyle = style.color;
  const cut = cutAt(parent);
  for (const { text, rect } of lines) {
    if (cut >= rect.right - 0.5) writeText(sheet, text, rect);
    else {
      const shown = shorten(ctx, text, cut - rect.left);
      writeText(sheet, shown, new DOMRect(rect.left, rect.top, ctx.measureText(shown).width, rect.height));
    }
  }
}

/** A canvas has no tabular figures: the text is spread over the width that it has on the page. */
function writeText({ ctx, left, top }: Sheet, text: string, rect: DOMRect): void {
  const { width, fontBoundingBoxAscent: ascent, fontBoundingBoxDescent: descent } = ctx.measureText(text);
  ctx.letterSpacing = `${(rect.width - width) / text.length}px`;
  ctx.fillText(text, rect.left - left, rect.top - top + (rect.height - ascent - descent) / 2 + ascent);
  ctx.letterSpacing = "0px";
}

function linesOf(node: Text): { text: string; rect: DOMRect }[] {
  const range = document.createRange();
  const lines: { text: string; rect: DOMRect }[] = [];
  for (let index = 0; index < node.length; index += 1) {
    range.setStart(node, index);
    range.setEnd(node, index + 1);
    const rect = range.getBoundingClientRect();
    // A space where a line is broken.
    if (rect.width === 0) continue;
    const last = lines.at(-1);
    if (last && Math.abs(last.rect.top - rect.top) < 2) {
      last.text += node.data[index];
      last.rect = new DOMRect(last.rect.left, last.rect.top, rect.right - last.rect.left, rect.height);
    } else lines.push({ text: node.data[index] ?? "", rect });
  }
  return lines.filter(({ text }) => text.trim() !== "");
}

/** The right edge at which an ancestor cuts its text with an ellipsis. */
function cutAt(parent: Element): number {
  for (
    let element: Element | null = parent, depth = 0;
    element && depth < 3;
    element = element.parentElement, depth += 1
  )
    if (getComputedStyle(element).textOverflow === "ellipsis") return element.getBoundingClientRect().right;
  return Number.POSITIVE_INFINITY;
}

function shorten(ctx: CanvasRenderingContext2D, text: string, width: number): string {
  const characters = [...text];
  while (characters.length > 0 && ctx.measureText(`${characters.join("")}…`).width > width) characters.pop();
  return `${characters.join("")}…`;
}

function paintShape(sheet: Sheet, shape: SVGGraphicsElement): void {
  const style = getComputedStyle(shape);
  const matrix = shape.getScreenCTM();
  if (style.display === "none" || !matrix) return;
  reach(sheet, shape.getBoundingClientRect());
  if (!sheet.draw) return;
  if (shape instanceof SVGTextElement) {
    for (const node of [shape, ...shape.querySelectorAll("tspan")].flatMap(({ childNodes }) => [...childNodes])) {
      if (node instanceof Text) paintSvgText(sheet, node, style);
    }
    return;
  }
  const { ctx } = sheet;
  const path = new Path2D();
  path.addPath(
    pathOf(shape),
    new DOMMatrix([matrix.a, matrix.b, matrix.c, matrix.d, matrix.e - sheet.left, matrix.f - sheet.top]),
  );
  ctx.save();
  ctx.globalAlpha *= Number(style.opacity);
  if (style.fill !== "none" && !style.fill.startsWith("url")) {
    ctx.save();
    ctx.globalAlpha *= Number(style.fillOpacity);
    ctx.fillStyle = style.fill;
    ctx.fill(path);
    ctx.restore();
  }
  if (style.stroke !== "none" && Number.parseFloat(style.strokeWidth) > 0) {
    ctx.globalAlpha *= Number(style.strokeOpacity);
    ctx.strokeStyle = style.stroke;
    ctx.lineWidth = Number.parseFloat(style.strokeWidth);
    ctx.lineJoin = style.strokeLinejoin as CanvasLineJoin;
    ctx.setLineDash((style.strokeDasharray.match(/[\d.]+/g) ?? []).map(Number));
    ctx.stroke(path);
  }
  ctx.restore();
}

/** An SVG text has its fill as its colour. */
function paintSvgText(
  sheet: Sheet,
  node: Text,
  { fill, fontStyle, fontWeight, fontSize, fontFamily }: CSSStyleDeclaration,
) {
  const { ctx } = sheet;
  const range = document.createRange();
  range.selectNodeContents(node);
  ctx.font = `${fontStyle} ${fontWeight} ${fontSize} ${fontFamily}`;
  ctx.fillStyle = fill;
  writeText(sheet, node.data, range.getBoundingClientRect());
}

function pathOf(shape: SVGGraphicsElement): Path2D {
  const number = (name: string) => Number(shape.getAttribute(name) ?? 0);
  const path = new Path2D(shape.getAttribute("d") ?? undefined);
  switch (shape.localName) {
    case "rect":
      path.roundRect(number("x"), number("y"), number("width"), number("height"), number("rx"));
      break;
    case "line":
      path.moveTo(number("x1"), number("y1"));
      path.lineTo(number("x2"), number("y2"));
  }
  return path;
}
