import { defineConfig } from "vitest/config";

// Whole-page tests: a real server and a real browser each, so one file after the other. The measurement of memory takes
// minutes and is no test: it has a mode of its own.
export default defineConfig(({ mode }) => ({
  test: {
    environment: "node",
    include: mode === "heap" ? ["e2e/heap.measure.ts"] : ["e2e/**/*.e2e.ts"],
    fileParallelism: false,
    testTimeout: mode === "heap" ? 24 * 3_600_000 : 300_000,
    hookTimeout: 600_000,
  },
}));
