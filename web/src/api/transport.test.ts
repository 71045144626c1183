import { expect, test, vi } from "vitest";
import { createDashboardApi } from "./dashboard.ts";
import { serverTransport } from "./transport.ts";

test.each([
  ["http://host:8080/", "http://host:8080/millrace.v1.DashboardService/ListPanels"],
  ["https://host/tools/millrace/", "https://host/tools/millrace/millrace.v1.DashboardService/ListPanels"],
  [
    "https://host/tools/millrace/index.html?range=1h#x",
    "https://host/tools/millrace/millrace.v1.DashboardService/ListPanels",
  ],
])("below %s, calls go to %s", async (base, url) => {
  const fetched: string[] = [];
  vi.stubGlobal("fetch", async (input: string) => {
    fetched.push(input);
    throw new TypeError("Failed to fetch");
  });
  const api = createDashboardApi(serverTransport(base));
  await expect(api.listPanels(new AbortController().signal)).rejects.toThrow();
  vi.unstubAllGlobals();
  expect(fetched).toEqual([url]);
});
