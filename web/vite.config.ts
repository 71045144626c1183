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

/** Every route of the router has a `Link` of its own, which the page does not use: without it, links are in no first file. */
const withoutRouteLinks: Plugin = {
  name: "without-route-links",
  apply: "build",
  enforce: "pre",
  resolveId: (source, importer) =>
    source === "./link.js" && importer?.endsWith("/react-router/dist/esm/route.js") ? "\0route-link" : undefined,
  load: (id) => (id === "\0route-link" ? "export const Link = undefined;" : undefined),
};

const FRAMEWORK = {
  name: "framework",
  // Without the router's index, links and blocks: the first view has none of them.
  test: /node_modules\/(react|react-dom|scheduler|use-sync-external-store|@tanstack\/(react-router(?!\/dist\/esm\/(index|link|useBlocker)\.)|router-core|history|react-store|store))\//,
  priority: 2,
};

/**
 * What the dashboard shows before anything is opened: its page and the frame of all pages, with what they import. Popups,
 * dialogs, exports and charts are imported on demand, and are in files of their own.
 */
const FIRST_VIEW = {
  name: "first-view",
  test: /preload-helper|\/src\/(routes\.tsx|live\/(hooks\.tsx|store\.ts)|pages\/dashboard\/DashboardPage\.tsx)$/,
  priority: 1,
};

/** React has what these replace in its older versions. */
const alias = [
  { find: /^use-sync-external-store\/shim$/, replacement: "react" },
  {
    find: /^use-sync-external-store\/shim\/with-selector(\.js)?$/,
    replacement: "use-sync-external-store/with-selector",
  },
];

export default defineConfig({
  // Addresses are relative to the base element of index.html, so that the page works under any path.
  base: "./",
  plugins: [withoutRouteLinks, react(), tailwindcss(), preloadFirstView],
  resolve: { alias },
  server: { proxy },
  preview: { proxy },
  worker: { format: "es" },
  build: {
    target: "es2023",
    assetsInlineLimit: 0,
    // All browsers that run the page know it.
    modulePreload: { polyfill: false },
    manifest: true,
    chunkSizeWarningLimit: 900,
    // What the first view needs is in two files: over HTTP/1.1, six at a time, each further file costs round trips.
    rolldownOptions: {
      output: {
        codeSplitting: { groups: [FRAMEWORK, FIRST_VIEW] },
        // The first view lists the files of all pages: shorter hashes make it smaller, and 42 bits tell versions apart.
        chunkFileNames: "assets/[name]-[hash:7].js",
        assetFileNames: "assets/[name]-[hash:7][extname]",
      },
    },
  },
});
