import { expect, test } from "vitest";
import { type PeoplePage, peopleCsv } from "./peopleCsv.ts";

const PEOPLE = ["u1", 'a,"b"', "=cmd()", "u4", "u5"].map((id, index) => ({ id, events: BigInt(index) }));
const pages =
  (size: number) =>
  async (token: string): Promise<PeoplePage> => {
    const from = Number(token || 0);
    const next = from + size;
    return {
      people: PEOPLE.slice(from, next),
      nextPageToken: next < PEOPLE.length ? String(next) : "",
      total: BigInt(PEOPLE.length),
    };
  };

test("all pages are in the file, quoted", async () => {
  const seen: number[] = [];
  const { text, count, total } = await peopleCsv(pages(2), true, (loaded) => seen.push(loaded));
  expect(text).toBe('id,events\r\nu1,0\r\n"a,""b""",1\r\n\'=cmd(),2\r\nu4,3\r\nu5,4\r\n');
  expect([count, total, seen]).toEqual([5, 5, [2, 4, 5]]);
});

test("a file has a limit", async () => {
  const { text, count, total } = await peopleCsv(pages(2), false, () => {}, 3);
  expect(text).toBe('id\r\nu1\r\n"a,""b"""\r\n\'=cmd()\r\n');
  expect([count, total]).toEqual([3, 5]);
});
