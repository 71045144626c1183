// Gzipped size of what the first visit of the dashboard loads, and of each page beyond that, from Vite's manifest. Fails above
// the limits.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const KB = 1024;
/** JavaScript before the first chart: entry, worker and the page of the dashboard. */
const BEFORE_CHART_KB = 150;
/** The same with the charts and the table that the default dashboard shows. */
const FIRST_LOAD_KB = 200;
const CSS_KB = 20;

/** JavaScript of each page in routes.tsx beyond the first load: what its address loads before it asks the server. */
const PAGE_KB = {
  "dashboard/DashboardPage": 1,
  "dashboards/DashboardsPage": 30,
  "explore/ExplorePage": 70,
  "live/LivePage": 44,
  "people/PeoplePage": 42,
  "people/PersonPage": 44,
  "status/StatusPage": 47,
  "uikit/UiKitPage": 8,
};

const DASHBOARD = "src/pages/dashboard/DashboardPage.tsx";
/** Loaded with the first data of the default dashboard. */
const CHARTS = /^src\/charts\/(TimeSeries|HorizontalBars|DataTable)\.tsx$/;

const dist = new URL(process.argv[2] ? `file://${process.argv[2]}/` : "../dist/", import.meta.url);
const manifest = JSON.parse(readFileSync(new URL(".vite/manifest.json", dist), "utf8"));
const gzipped = (file) => gzipSync(readFileSync(new URL(file, dist)), { level: 9 }).length;

/** The files of chunks and of their static imports. */
function closure(keys, into = new Set()) {
  for (const key of keys) {
    const chunk = manifest[key];
    if (!chunk || into.has(chunk.file)) continue;
    into.add(chunk.file);
    closure(chunk.imports ?? [], into);
  }
  return into;
}

function print(title, files, note = "") {
  const sizes = [...files].map((file) => [file, gzipped(file)]).sort((a, b) => b[1] - a[1]);
  const total = sizes.reduce((sum, [, bytes]) => sum + bytes, 0);
  console.log(`${(total / KB).toFixed(1).padStart(7)} KB  ${title}${note}`);
  for (const [file, bytes] of sizes) {
    if (bytes > KB) console.log(`${(bytes / KB).toFixed(1).padStart(15)}  ${file}`);
  }
  return total;
}

const entries = Object.keys(manifest).filter((key) => manifest[key].isEntry && manifest[key].file.endsWith(".js"));
const scripts = readdirSync(new URL("assets/", dist))
  .filter((name) => name.endsWith(".js"))
  .map((name) => `assets/${name}`);
const entry = closure(entries);
// Workers are built apart, and the manifest does not list them.
const worker = new Set(scripts.filter((file) => /worker/i.test(file)));
const page = new Set([...closure([DASHBOARD])].filter((file) => !entry.has(file)));
const charts = new Set(
  [...closure(Object.keys(manifest).filter((key) => CHARTS.test(key)))].filter(
    (file) => !entry.has(file) && !page.has(file),
  ),
);
const first = new Set([...entry, ...worker, ...page, ...charts]);
const lazy = scripts.filter((file) => !first.has(file));
const css = readdirSync(new URL("assets/", dist))
  .filter((name) => name.endsWith(".css"))
  .map((name) => `assets/${name}`);

const beforeChart = print("entry", entry) + print("worker", worker) + print("dashboard", page);
const firstLoad = beforeChart + print("charts of the default dashboard", charts);
print("on demand, together", lazy);
const style = print("style sheets", css);

// A part that is not found has been renamed, and would not be counted.
let failed = false;
for (const [what, files] of Object.entries({ entry, worker, page, charts })) {
  if (files.size > 0) continue;
  console.log(`OVER no files found: ${what}`);
  failed = true;
}
for (const [what, bytes, limit] of [
  ["JavaScript before the first chart", beforeChart, BEFORE_CHART_KB],
  ["JavaScript of the first load", firstLoad, FIRST_LOAD_KB],
  ["style sheets", style, CSS_KB],
]) {
  const over = bytes > limit * KB;
  failed ||= over;
  console.log(`${over ? "OVER " : "     "}${what}: ${(bytes / KB).toFixed(1)} KB, limit ${limit} KB`);
}
const routes = readFileSync(new URL("../src/routes.tsx", import.meta.url), "utf8");
const pages = new Set([...routes.matchAll(/import\("\.\/pages\/(.+?)\.tsx"\)/g)].map(([, name]) => name));
for (const name of new Set([...pages, ...Object.keys(PAGE_KB)])) {
  const key = `src/pages/${name}.tsx`;
  const limit = PAGE_KB[name];
  if (!pages.has(name) || !manifest[key] || limit === undefined) {
    console.log(
      `OVER ${name}: ${limit === undefined ? "has no limit" : "not found in routes.tsx and in the manifest"}`,
    );
    failed = true;
    continue;
  }
  const files = [...closure([key])].filter((file) => !first.has(file));
  const bytes = files.reduce((sum, file) => sum + gzipped(file), 0);
  const over = bytes > limit * KB;
  failed ||= over;
  console.log(
    `${over ? "OVER " : "     "}${name}: ${(bytes / KB).toFixed(1)} KB in ${files.length} files, limit ${limit} KB`,
  );
}
if (existsSync(new URL("theme.js", dist))) console.log(`     theme.js: ${gzipped("theme.js")} bytes, not counted`);
if (failed) process.exit(1);
