// Where the page comes from: the server serves the one that was built into it. With E2E_PROXY=1 it is web/dist, served
// from here with every other request passed on, so that a change of the page is tested without building the server anew.

import { readFile } from "node:fs/promises";
import { createServer, request } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const DIST = fileURLToPath(new URL("../dist/", import.meta.url));
const TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
};
// What the page needs and no more: pictures from data are its icon and the PNG of a panel.
const POLICY = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'";
const SERVED_BY_MILLRACE = /^\/(millrace\.v1\.|api\/|events)/;

export interface Site {
  url: string;
  close: () => Promise<void>;
}

export function startSite(serverUrl: string): Promise<Site> {
  if (process.env.E2E_PROXY !== "1") return Promise.resolve({ url: serverUrl, close: async () => {} });
  const target = new URL(serverUrl);
  const site = createServer(async (asked, answer) => {
    const path = new URL(asked.url ?? "/", serverUrl).pathname;
    if (SERVED_BY_MILLRACE.test(path)) {
      const { method, headers, url } = asked;
      const passed = request({ host: target.hostname, port: target.port, path: url, method, headers }, (got) => {
        answer.writeHead(got.statusCode ?? 502, got.headers);
        got.pipe(answer);
        got.on("error", () => answer.destroy());
      });
      passed.on("error", () => answer.destroy());
      answer.on("close", () => passed.destroy());
      asked.pipe(passed);
      return;
    }
    const file = normalize(join(DIST, path === "/" ? "index.html" : path));
    const content = file.startsWith(DIST) ? await readFile(file).catch(() => undefined) : undefined;
    answer.writeHead(content ? 200 : 404, {
      "content-type": TYPES[extname(file)] ?? "application/octet-stream",
      "content-security-policy": POLICY,
    });
    answer.end(content);
  });
  return new Promise((done) => {
    site.listen(0, "127.0.0.1", () => {
      const address = site.address();
      const port = address && typeof address === "object" ? address.port : 0;
      done({
        url: `http://127.0.0.1:${port}`,
        close: () =>
          new Promise((closed) => {
            site.closeAllConnections();
            site.close(() => closed());
          }),
      });
    });
  });
}
