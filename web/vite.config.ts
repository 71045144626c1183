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

/** Lets the browser fetch the dashboard and the worker together with the entry that needs them, instead of one after the other. */
const preloadFirstView: Plugin = {
  name: "preload-first-view",
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
        if (/\/worker-[^/]+\.js$/.test(file)) files.add(file);
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

const FRAMEWORK = {
  name: "framework",
  test: /node_modules\/(react|react-dom|scheduler|use-sync-external-store|@tanstack\/(react-router|router-core|history|react-store|store))\//,
  priority: 2,
};

/** What the dashboard shows before anything is opened. Popups, dialogs, exports and charts are loaded on demand. */
const FIRST_VIEW = {
  name: "first-view",
  test: /preload-helper|\/src\/(strings|lazyPart|routes|lib\/(format|time|backoff|download)|query\/|frame\/(?!csv|timeSeries)|live\/(hooks|store|openWorker|workerLink|protocol)|shell\/(?!CustomRange)|ui\/(Button|icons|placeholders|ErrorBoundary|SegmentedControl|Menu|Dialog|Popover|Combobox|CopyButton|Toaster|Tooltip|Select|Field|toast|popupContainer|useLazyPopup)\.|charts\/(Chart|chartForm|HorizontalBars|RankingNotes|BigFigure|bigFigure|useRedraw|valueFilter)\.|panels\/(?!png)|pages\/dashboard\/[A-Za-z]+\.)/,
  priority: 1,
};

export default defineConfig({
  // Addresses are relative to the base element of index.html, so that the page works under any path.
  base: "./",
  plugins: [react(), tailwindcss(), preloadFirstView],
  server: { proxy },
  preview: { proxy },
  worker: { format: "es" },
  build: {
    target: "es2023",
    assetsInlineLimit: 0,
    manifest: true,
    chunkSizeWarningLimit: 900,
    // What the first view needs is in two files: over HTTP/1.1, six at a time, each further file costs round trips.
    rolldownOptions: { output: { codeSplitting: { groups: [FRAMEWORK, FIRST_VIEW] } } },
  },
});
