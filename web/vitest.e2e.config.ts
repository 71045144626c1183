import { defineConfig } from "vitest/config";

// Each file starts a server and a browser, so files run sequentially. Measurements take minutes and run only in their own
// mode.
export default defineConfig(({ mode }) => ({
  test: {
    environment: "node",
    include: mode === "measure" ? ["e2e/**/*.measure.ts"] : ["e2e/**/*.e2e.ts"],
    fileParallelism: false,
    testTimeout: mode === "measure" ? 24 * 3_600_000 : 300_000,
    hookTimeout: 600_000,
  },
}));
