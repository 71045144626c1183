import { expect, test } from "vitest";
import { dashboardOf, dashboardPath, nextDashboard } from "./rotation.ts";

test("dashboards follow each other and begin again", () => {
  const names = ["web", "product", "api"];
  expect(nextDashboard(names, "web")).toBe("product");
  expect(nextDashboard(names, "api")).toBe("web");
  expect(nextDashboard(names, undefined)).toBe("web");
  expect(nextDashboard(names, "deleted")).toBe("web");
});

test("one dashboard does not rotate, and none is no rotation", () => {
  expect(nextDashboard(["web"], "web")).toBeUndefined();
  expect(nextDashboard(["web"], undefined)).toBe("web");
  expect(nextDashboard([], "web")).toBeUndefined();
});

test("the name is in the path", () => {
  expect(dashboardOf("/dashboards/web")).toBe("web");
  expect(dashboardOf("/sub/dashboards/web/")).toBe("web");
  expect(dashboardOf(dashboardPath("a-b_c"))).toBe("a-b_c");
  expect(dashboardOf("/")).toBeUndefined();
  expect(dashboardOf("/dashboards")).toBeUndefined();
});
