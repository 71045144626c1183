import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// In development Vite serves the page and proxies everything else to a running server: same origin, as in production.
const server = process.env.MILLRACE_URL ?? "http://127.0.0.1:8080";
const proxy = {
  "^/millrace\\.v1\\..*": { target: server },
  "/api": { target: server },
  "/events": { target: server },
};

export default defineConfig({
  plugins: [react(), tailwindcss()],
  server: { proxy },
  preview: { proxy },
  build: { target: "es2023", assetsInlineLimit: 0, chunkSizeWarningLimit: 900 },
});
