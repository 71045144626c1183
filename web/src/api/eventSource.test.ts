import { expect, test } from "vitest";
import { EventSource } from "../gen/millrace/v1/events_pb.ts";
import { sourceName } from "./eventSource.ts";

test("every source of the contract has a name", () => {
  const sources = Object.values(EventSource).filter((source) => typeof source === "number");
  expect(sources.length).toBeGreaterThan(5);
  for (const source of sources) expect(sourceName(source)).toMatch(/^[A-Za-z]+$/);
  expect(sourceName(99 as EventSource)).toBe("99");
});
