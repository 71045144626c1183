// A dashboard as the server has it.

import type { Dashboard, DashboardItem, Init } from "../../../api/messages.ts";
import type { Board, BoardItem, Content } from "./board.ts";

const ABSENT = { x: 0, y: 0, width: 6, height: 4 };

export function toBoard({ items, range, ...rest }: Dashboard): Board {
  const { name, title, description, project, builtIn, etag } = rest;
  return {
    name,
    title,
    description,
    project,
    builtIn,
    etag,
    ...(range && { range }),
    items: items.map(toItem),
    automatic: items.every(({ layout }) => layout === undefined),
  };
}

function toItem({ title, content, chart, layout, placement, error }: DashboardItem, index: number): BoardItem {
  const { x, y, width, height } = placement ?? layout ?? ABSENT;
  return {
    id: String(index),
    title,
    // An item without content is rejected by the server before it is listed.
    content: content as Content,
    chart,
    place: { x, y, width, height },
    ...(error && { error }),
  };
}

/** With the place of every item, unless the page arranges them. */
export function toDashboard(board: Board): Init<Dashboard> {
  const { name, title, description, project, range, etag, items, automatic } = board;
  return {
    name,
    title,
    description,
    project,
    etag,
    ...(range && { range: range as Init<Dashboard>["range"] }),
    items: items.map(({ title, content, chart, place }) => ({
      title,
      content: content as Init<DashboardItem>["content"],
      chart,
      ...(!automatic && { layout: place }),
    })) as Init<Dashboard>["items"],
  };
}
