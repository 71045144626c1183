import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

// In development Vite serves the page and proxies everything else to a running server: same origin, as in production.
const server = process.env.MILLRACE_URL ?? "http://127.0.0.1:8080";
const proxy = {
  "^/millrace\\.v1\\..*": { target: server },
  "/api": { target: server },
  "/events": { target: server },
};

/** Lets the browser fetch the dashboard together with the entry that imports it, instead of one after the other. */
const preloadDashboard: Plugin = {
  name: "preload-dashboard",
  apply: "build",
  transformIndexHtml: {
    order: "post",
    handler: (html, { bundle = {} }) => {
      const files = new Set<string>();
      const add = (file: string) => {
        const chunk = bundle[file];
        if (chunk?.type !== "chunk" || files.has(file)) return;
        files.add(file);
        for (const imported of chunk.imports) add(imported);
      };
      for (const [file, chunk] of Object.entries(bundle)) {
        if (chunk.type === "chunk" && chunk.facadeModuleId?.endsWith("/pages/dashboard/DashboardPage.tsx")) add(file);
      }
      return [...files]
        .filter((file) => !html.includes(file))
        .map((file) => ({
          tag: "link",
          attrs: { rel: "modulepreload", crossorigin: true, href: `./${file}` },
          injectTo: "head",
        }));
    },
  },
};

export default defineConfig({
  // Addresses are relative to the base element of index.html, so that the page works under any path.
  base: "./",
  plugins: [react(), tailwindcss(), preloadDashboard],
  server: { proxy },
  preview: { proxy },
  worker: { format: "es" },
  build: { target: "es2023", assetsInlineLimit: 0, manifest: true, chunkSizeWarningLimit: 900 },
});
