// Where a question of a dashboard leads: loaded when the reader goes there.

import { figureOf } from "../../api/explore.ts";
import { encodeFigure } from "../../api/figureAddress.ts";
import type { Pick } from "../../frame/pick.ts";
import type { ExploreQuery } from "../../query/query.ts";
import { type Search, viewSearch } from "../../shell/view.ts";
import { INSIGHT_KEY, writeQuestion } from "../explore/address.ts";
import { rememberTitle } from "../explore/panelTitle.ts";
import { fromQuery, type Query } from "../explore/request.ts";
import { panelQuestion } from "./panelQuestions.ts";

/** The people that a figure counts. Undefined if it counts none. */
export function peopleSearch(query: ExploreQuery, pick: Pick, search: Search): Search | undefined {
  const figure = figureOf(query, pick);
  return figure && { ...viewSearch(search), figure: encodeFigure(figure) };
}

/** The question in Explore, with the range, the comparison and the filters of the page. `chart`: `InsightChart`. */
export function exploreSearch(
  { explore }: ExploreQuery,
  { chart, insight }: { chart: number; insight?: string | undefined },
  title: string,
  search: Search,
) {
  const question = fromQuery({ case: explore.kind, value: explore.request } as Query, chart);
  rememberTitle(question, title);
  return { ...writeQuestion(question, viewSearch(search)), [INSIGHT_KEY]: insight };
}

/** The question that computes the figures of a built-in panel. Undefined if there is none. */
export function panelSearch(panel: string, title: string, search: Search): Search | undefined {
  const question = panelQuestion(panel);
  if (question) rememberTitle(question, title);
  return question && writeQuestion(question, viewSearch(search));
}
