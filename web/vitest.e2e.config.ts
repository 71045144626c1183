import { defineConfig } from "vitest/config";

// Each file starts a server and a browser, so files run sequentially. The heap measurement takes minutes and runs only in
// its own mode.
export default defineConfig(({ mode }) => ({
  test: {
    environment: "node",
    include: mode === "heap" ? ["e2e/heap.measure.ts"] : ["e2e/**/*.e2e.ts"],
    fileParallelism: false,
    testTimeout: mode === "heap" ? 24 * 3_600_000 : 300_000,
    hookTimeout: 600_000,
  },
}));
