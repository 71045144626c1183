import { expect, test } from "vitest";
import { Turns } from "./turns.ts";

const never = new AbortController().signal;

test("a few at a time, in order, and an aborted one is skipped", async () => {
  const turns = new Turns(2);
  const started: number[] = [];
  const ends: (() => void)[] = [];
  const task = (id: number) => () => {
    started.push(id);
    return new Promise<number>((done) => ends.push(() => done(id)));
  };
  const abort = new AbortController();
  const runs = [
    turns.run(task(1), never),
    turns.run(task(2), never),
    turns.run(task(3), abort.signal),
    turns.run(task(4), never),
  ];
  await Promise.resolve();
  expect(started).toEqual([1, 2]);
  abort.abort();
  ends[0]?.();
  await expect(runs[2]).rejects.toThrow();
  expect(await runs[0]).toBe(1);
  await new Promise((done) => setTimeout(done));
  expect(started).toEqual([1, 2, 4]);
  for (const end of ends) end();
  expect(await runs[3]).toBe(4);
  const last = turns.run(async () => 5, never);
  expect(await last).toBe(5);
});
