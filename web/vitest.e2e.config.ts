import { defineConfig } from "vitest/config";

// Whole-page tests: a real server and a real browser each, so one file after the other.
export default defineConfig({
  test: {
    environment: "node",
    include: ["e2e/**/*.e2e.ts"],
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
