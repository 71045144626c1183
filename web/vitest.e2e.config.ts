import { defineConfig } from "vitest/config";

// Each file starts a server and a browser of its own, which mostly wait: two files run at a time. Measurements take minutes, run
// only in their own mode, and one at a time.
export default defineConfig(({ mode }) => ({
  test: {
    environment: "node",
    include: mode === "measure" ? ["e2e/**/*.measure.ts"] : ["e2e/**/*.e2e.ts"],
    fileParallelism: mode !== "measure",
    maxWorkers: 2,
    testTimeout: mode === "measure" ? 24 * 3_600_000 : 300_000,
    hookTimeout: 600_000,
  },
}));
