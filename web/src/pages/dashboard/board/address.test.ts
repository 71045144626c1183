import { expect, test } from "vitest";
import { formatSearch, parseSearch } from "../../../shell/view.ts";
import { type BoardView, readBoardView, withParameter, writeBoardView } from "./address.ts";

const roundTrip = (view: BoardView) => readBoardView(parseSearch(formatSearch(writeBoardView(view))));

test.each<BoardView>([
  { main: undefined, parameters: {}, edit: false },
  { main: "panel:error_rate", parameters: {}, edit: true },
  { main: undefined, parameters: { top_pages: { limit: "50" } }, edit: false },
  {
    main: "insight:signup-conversion",
    parameters: { a: { x: "1", y: "ä b&c=d:e.f\n" }, "my-panel": { threshold_pct: "" } },
    edit: false,
  },
])("survives the address: %o", (view) => {
  expect(roundTrip(view)).toEqual(view);
});

test("what the page does not understand is left out, and parameters of others stay", () => {
  expect(readBoardView(parseSearch("?set=nonsense&set=a.b&edit=yes&main="))).toEqual({
    main: undefined,
    parameters: {},
    edit: false,
  });
  expect(writeBoardView({ parameters: {}, edit: false }, { range: "1h" })).toMatchObject({ range: "1h" });
});

test("a parameter is set and goes back to its default", () => {
  const set = withParameter({}, "top_pages", "limit", "50");
  expect(set).toEqual({ top_pages: { limit: "50" } });
  const two = withParameter(set, "top_pages", "other", "1");
  expect(withParameter(two, "top_pages", "limit", undefined)).toEqual({ top_pages: { other: "1" } });
  expect(withParameter(set, "top_pages", "limit", undefined)).toEqual({});
});
