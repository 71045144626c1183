import { expect, test } from "vitest";
import { jsonLines, textOf, tokenize, topLevelValues } from "./json.ts";

const printed = (text: string) =>
  jsonLines(text).map(({ indent, tokens }) => `${" ".repeat(indent)}${tokens.map((token) => token.text).join("")}`);

test("objects and arrays are indented, empty ones stay on a line", () => {
  expect(printed('{"a":1,"b":{"c":[true,null]},"d":{},"e":[]}')).toEqual([
    "{",
    ' "a":1,',
    ' "b":{',
    '  "c":[',
    "   true,",
    "   null",
    "  ]",
    " },",
    ' "d":{},',
    ' "e":[]',
    "}",
  ]);
});

test("a value has its path and its JSON, with every digit", () => {
  const lines = jsonLines('{"properties":{"id":18446744073709551615,"plan":"p\\"ro"},"name":"x"}');
  expect(lines.map(({ path, value }) => [path.join("/"), value])).toEqual([
    ["", undefined],
    ["properties", undefined],
    ["properties/id", "18446744073709551615"],
    ["properties/plan", '"p\\"ro"'],
    ["", undefined],
    ["name", '"x"'],
    ["", undefined],
  ]);
});

test("the elements of an array have no key of their own", () => {
  const values = jsonLines('{"a":[1,{"b":2}]}').filter(({ value }) => value !== undefined);
  expect(values).toMatchObject([{ path: ["a", "b"], value: "2" }]);
});

test("kinds tell keys, strings, numbers and literals apart", () => {
  const [, line] = jsonLines('{"a": -1.5e3}');
  expect(line?.tokens.map(({ kind }) => kind)).toEqual(["key", "punctuation", "number"]);
  expect([...tokenize('[true,"x"]')].map(({ kind }) => kind)).toEqual([
    "punctuation",
    "literal",
    "punctuation",
    "string",
    "punctuation",
  ]);
});

test("a text that is cut is shown to its end", () => {
  expect(printed('{"a":1,"b":"ha')).toEqual(["{", ' "a":1,', ' "b":"ha']);
  expect(printed("not JSON")).toEqual(["not JSON"]);
  expect(printed("")).toEqual([]);
});

test("the first values of the top level", () => {
  const text = '{"a":{"x":1},"b":"2","c":[3],"d":4,"e":5}';
  expect(topLevelValues(text, 2)).toEqual([
    ["b", '"2"'],
    ["d", "4"],
  ]);
  expect(topLevelValues("{}", 2)).toEqual([]);
  expect(topLevelValues('{"a":', 2)).toEqual([]);
});

test("filters compare texts", () => {
  expect(textOf('"a\\u0062"')).toBe("ab");
  expect(textOf("12")).toBe("12");
});
