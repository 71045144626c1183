// The JavaScript of the first load, gzipped: everything that index.html names, and what those files import at once.
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
const others = readdirSync(new URL("assets/", dist)).filter(
  (name) => name.endsWith(".js") && !files.has(`assets/${name}`),
);
if (others.length > 0) console.log(`later, on demand: ${others.join(", ")}`);
console.log(`${(total / 1024).toFixed(1).padStart(7)} KB  in total, ${LIMIT_KB} allowed`);
if (total === 0 || total > LIMIT_KB * 1024) process.exit(1);
