import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

export default defineConfig({
  plugins: [react()],
  test: {
    // The tests expect this time zone.
    env: { TZ: "Europe/Madrid", DEBUG_PRINT_LIMIT: "2000" },
    testTimeout: 60_000,
    projects: [
      // A document costs each file more than its tests do.
      { extends: true, test: { name: "code", environment: "node", include: ["src/**/*.test.ts"] } },
      {
        extends: true,
        test: {
          name: "components",
          environment: "jsdom",
          include: ["src/**/*.test.tsx"],
          setupFiles: ["src/test/setup.ts"],
        },
      },
    ],
  },
});
