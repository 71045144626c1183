// A real server on a free loopback port with a data folder of its own, ended by its process id.

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const BINARY = process.env.MILLRACE_BIN ?? fileURLToPath(new URL("../../target/debug/millrace", import.meta.url));

export interface Server {
  url: string;
  /** Dies at once, as in a crash. */
  kill: () => Promise<void>;
  /** Comes back on the same port and data. */
  start: () => Promise<void>;
  /** Ends it and removes its data. */
  close: () => Promise<void>;
}

export function freePort(): Promise<number> {
  return new Promise((done, fail) => {
    const probe = createServer();
    probe.once("error", fail);
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() => (address && typeof address === "object" ? done(address.port) : fail(new Error("no port"))));
    });
  });
}

const ended = (child: ChildProcess): Promise<void> =>
  new Promise((done) => {
    if (child.exitCode !== null || child.signalCode !== null) done();
    else child.once("exit", () => done());
  });

async function ready(url: string, child: ChildProcess, output: string[]): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (Date.now() < deadline) {
    if (child.exitCode !== null) throw new Error(`the server ended at its start: ${output.join("")}`);
    const answer = await fetch(`${url}/readyz`).catch(() => undefined);
    if (answer?.ok) return;
    await new Promise((done) => setTimeout(done, 100));
  }
  throw new Error(`the server was not ready in time: ${output.join("")}`);
}

export async function startServer(env: Record<string, string> = {}): Promise<Server> {
  if (!existsSync(BINARY)) throw new Error(`${BINARY} is missing: build it first, or set MILLRACE_BIN`);
  const data = mkdtempSync(join(tmpdir(), "millrace-e2e-"));
  const listen = `127.0.0.1:${await freePort()}`;
  const url = `http://${listen}`;
  let child: ChildProcess | undefined;

  async function start(): Promise<void> {
    const output: string[] = [];
    child = spawn(BINARY, ["serve", "--listen", listen, "--data-dir", data], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...env },
    });
    child.stdout?.on("data", (text) => output.push(String(text)));
    child.stderr?.on("data", (text) => output.push(String(text)));
    await ready(url, child, output);
  }

  async function stop(signal: NodeJS.Signals): Promise<void> {
    if (!child) return;
    child.kill(signal);
    await ended(child);
    child = undefined;
  }

  await start();
  return {
    url,
    start,
    kill: () => stop("SIGKILL"),
    close: async () => {
      await stop("SIGTERM");
      rmSync(data, { recursive: true, force: true });
    },
  };
}

/** Synthetic traffic; ends when it is done. */
export async function generate(url: string, ...options: string[]): Promise<void> {
  await promisify(execFile)(BINARY, ["generate", "--target", url, ...options]);
}

/** Live traffic until it is ended. */
export function startTraffic(url: string, rate: number): { close: () => Promise<void> } {
  const child = spawn(BINARY, ["generate", "--target", url, "--rate", String(rate), "--duration", "forever"], {
    stdio: "ignore",
  });
  return {
    close: async () => {
      child.kill("SIGTERM");
      await ended(child);
    },
  };
}
