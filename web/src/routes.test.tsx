import { createMemoryHistory } from "@tanstack/react-router";
import { expect, test } from "vitest";
import { createAppRouter } from "./routes.tsx";

const IDS = ["u-1", "a b", "x&y=z", "50%", "50%25", "%2F", "#1", "1:2", "é", "日本", "+", "?", "/", "a/../b", "a\\b"];

test.each([...IDS, "https://example.com/?a=1#b"])("the id of a person is one part of the path: %s", (id) => {
  const router = createAppRouter(createMemoryHistory());
  const { href } = router.buildLocation({ to: "/people/$id", params: { id } as never });
  const path = new URL(href, "http://host").pathname;
  expect(path).toMatch(/^\/people\/[^/]+$/);
  const matched = createAppRouter(createMemoryHistory({ initialEntries: [href] }));
  expect(matched.matchRoutes(matched.latestLocation).at(-1)).toMatchObject({ routeId: "/people/$id", params: { id } });
});
