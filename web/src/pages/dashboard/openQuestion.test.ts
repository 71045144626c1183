import { expect, test } from "vitest";
import { Random } from "../../lib/random.testing.ts";
import { exploreQuery } from "../../query/query.ts";
import { readQuestion, writeQuestion } from "../explore/address.ts";
import { panelTitle } from "../explore/panelTitle.ts";
import type { Trend } from "../explore/question.ts";
import { randomQuestion } from "../explore/randomQuestion.testing.ts";
import { chartNumber, toQuery } from "../explore/request.ts";
import { IN_EXPLORE } from "./ItemSlot.tsx";
import { exploreSearch, panelSearch } from "./openQuestion.ts";
import { PANELS_WITH_QUESTION, panelQuestion } from "./panelQuestions.ts";

const SELECTION = { range: "24h", zone: "UTC" } as const;

test("a question opens in Explore as it is, with the view of the page", () => {
  const random = new Random(7);
  for (let round = 0; round < 100; round++) {
    // As an address has it: what is not valid cannot be on a dashboard.
    const { question } = readQuestion(writeQuestion(randomQuestion(random)));
    if (!question) continue;
    const { case: kind, value: request } = toQuery(question, SELECTION);
    const query = exploreQuery({ kind, request }, SELECTION);
    const search = exploreSearch(query, { chart: chartNumber(question.chart), insight: "saved" }, "Title", {
      range: "7d",
      zone: "Asia/Tokyo",
      filter: "platform:web",
      edit: "1",
    });
    const read = readQuestion(search);
    expect(read.rejected).toEqual([]);
    // A group of one is the same as its only condition.
    expect(read.question && toQuery(read.question, SELECTION)).toEqual({ case: kind, value: request });
    expect(search).toMatchObject({ range: "7d", zone: "Asia/Tokyo", filter: "platform:web", insight: "saved" });
    expect(search).not.toHaveProperty("edit");
  }
});

test("the panels that offer Explore have a question, which an address holds", () => {
  expect([...IN_EXPLORE]).toEqual(PANELS_WITH_QUESTION);
  for (const panel of PANELS_WITH_QUESTION) {
    const search = panelSearch(panel, "Title", { range: "7d", zone: "UTC", compare: "week", edit: "1" });
    expect(readQuestion(search ?? {})).toEqual({ question: panelQuestion(panel), rejected: [] });
    expect(search).toMatchObject({ range: "7d", compare: "week" });
    expect(search).not.toHaveProperty("edit");
  }
  expect(panelSearch("live_visitors", "Title", {})).toBeUndefined();
});

test("the question of a panel has its title, and that of its breakdown", () => {
  panelSearch("error_rate", "Error rate", {});
  panelSearch("traffic_by_country", "Traffic by country", {});
  const [rate, traffic] = ["error_rate", "traffic_by_country"].map(panelQuestion) as Trend[];
  if (!rate || !traffic) throw new Error("no questions");
  expect(panelTitle({ ...rate, by: ["properties.release"], chart: "ranking", bucket: "day" })).toBe(
    "Error rate by release",
  );
  expect(panelTitle(rate)).toBe("Error rate");
  expect(panelTitle(traffic)).toBe("Traffic by country");
  // Not "Traffic by country by release", and not of another question.
  expect(panelTitle({ ...traffic, by: ["properties.release"] })).toBeUndefined();
  expect(panelTitle({ ...rate, formula: "A - B" })).toBeUndefined();
});
