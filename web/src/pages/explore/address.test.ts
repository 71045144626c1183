import { expect, test } from "vitest";
import { Random } from "../../lib/random.testing.ts";
import { formatSearch, parseSearch } from "../../shell/view.ts";
import { readQuestion, writeQuestion } from "./address.ts";
import { eventRef, funnelOf, noFilter, pathsOf, type Question, retentionOf, seriesOf, trendOf } from "./question.ts";
import { randomQuestion } from "./randomQuestion.testing.ts";

const address = (question: Question) => formatSearch(writeQuestion(question));
const read = (text: string) => readQuestion(parseSearch(text));

test("every question survives its address", () => {
  const random = new Random(7);
  for (let i = 0; i < 2_000; i += 1) {
    const question = randomQuestion(random);
    const text = address(question);
    expect(read(text), text).toEqual({ question, rejected: [] });
    expect(address(read(text).question as Question)).toBe(text);
  }
});

test("addresses are short and readable", () => {
  expect(address(trendOf([seriesOf("page_view")]))).toBe("?s=page_view");
  const where = {
    ...noFilter(),
    items: [{ type: "field", not: false, field: "page_url", op: "is", values: ["/pricing", "/"] }],
  };
  expect(
    address({ ...trendOf([seriesOf("page_view", "visitors"), seriesOf("")]), by: ["country_code"], where } as Question),
  ).toBe("?s=page_view+visitors&s=*&where=page_url+is+/pricing+/&by=country_code");
  expect(address({ ...funnelOf(["signup_started", "signup_completed"]), window: 3_600, by: "device_type" })).toBe(
    "?q=funnel&s=signup_started&s=signup_completed&by=device_type&window=1h",
  );
  expect(address({ ...retentionOf("login", "login"), period: "day" })).toBe("?q=retention&s=login&s=login&period=day");
  expect(address(pathsOf())).toBe("?q=paths");
});

test("an address without a question has none, and one with errors says what cannot be read", () => {
  expect(read("")).toEqual({ rejected: [] });
  expect(read("?range=7d&filter=a:b")).toEqual({ rejected: [] });
  const { question, rejected } = read("?s=login+typo&s=login&where=a+is+1+or+b+is+2+and+c+is+3&top=x&bucket=year");
  expect(question).toEqual(trendOf([seriesOf("login")]));
  expect(rejected).toEqual(["s=login typo", "bucket=year", "where=a is 1 or b is 2 and c is 3", "top=x"]);
});

test("parameters of the page and of others stay", () => {
  const search = parseSearch("?range=7d&zone=utc&token=a&s=login&by=plan");
  expect(formatSearch(writeQuestion(trendOf([seriesOf("page_view")]), search))).toBe(
    "?range=7d&zone=utc&token=a&s=page_view",
  );
  expect(formatSearch(writeQuestion(undefined, search))).toBe("?range=7d&zone=utc&token=a");
  expect(eventRef("a")).toEqual({ event: "a", where: noFilter() });
});
