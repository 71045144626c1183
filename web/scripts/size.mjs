// Gzipped size of the JavaScript of the first load: the files in index.html and their static imports.
import { readdirSync, readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const LIMIT_KB = 250;
const dist = new URL("../dist/", import.meta.url);
const page = readFileSync(new URL("index.html", dist), "utf8");

const files = new Set([...page.matchAll(/(?:src|href)="\/?(assets\/[^"]+\.js)"/g)].map((match) => match[1]));
for (const file of files) {
  const code = readFileSync(new URL(file, dist), "utf8");
  for (const match of code.matchAll(/(?:import|from)\s*"\.\/([^"]+\.js)"/g)) files.add(`assets/${match[1]}`);
}

let total = 0;
for (const file of files) {
  const bytes = gzipSync(readFileSync(new URL(file, dist)), { level: 9 }).length;
  total += bytes;
  console.log(`${(bytes / 1024).toFixed(1).padStart(7)} KB  ${file}`);
}
const lazy = readdirSync(new URL("assets/", dist)).filter(
  (name) => name.endsWith(".js") && !files.has(`assets/${name}`),
);
if (lazy.length > 0) console.log(`loaded on demand: ${lazy.join(", ")}`);
console.log(`${(total / 1024).toFixed(1).padStart(7)} KB  total, limit ${LIMIT_KB} KB`);
if (total === 0 || total > LIMIT_KB * 1024) process.exit(1);
