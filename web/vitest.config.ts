import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

export default defineConfig({
  plugins: [react()],
  test: {
    environment: "jsdom",
    include: ["src/**/*.test.{ts,tsx}"],
    setupFiles: ["src/test/setup.ts"],
    // The tests expect this time zone.
    env: { TZ: "Europe/Madrid", DEBUG_PRINT_LIMIT: "2000" },
    testTimeout: 30_000,
  },
});
