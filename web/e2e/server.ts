// Starts a server process on a free loopback port with its own data directory.

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export const BINARY =
  process.env.MILLRACE_BIN ?? fileURLToPath(new URL("../../target/debug/millrace", import.meta.url));

export interface TestServer {
  url: string;
  /** Its data directory. */
  data: string;
  /** Sends SIGKILL, as in a crash. */
  kill: () => Promise<void>;
  /** Stops its process as SIGSTOP does: connections stay open, nothing responds. */
  freeze: () => void;
  /** Continues a frozen process. */
  thaw: () => void;
  /** Restarts on the same port and data directory. */
  start: () => Promise<void>;
  /** Stops the server and removes its data directory. */
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

const exited = (child: ChildProcess): Promise<void> =>
  new Promise((done) => {
    if (child.exitCode !== null || child.signalCode !== null) done();
    else child.once("exit", () => done());
  });

async function waitUntilReady(url: string, child: ChildProcess, output: string[]): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (Date.now() < deadline) {
    if (child.exitCode !== null) throw new Error(`the server exited during startup: ${output.join("")}`);
    const response = await fetch(`${url}/readyz`).catch(() => undefined);
    if (response?.ok) return;
    await new Promise((done) => setTimeout(done, 100));
  }
  throw new Error(`the server was not ready in time: ${output.join("")}`);
}

export async function startServer(env: Record<string, string> = {}): Promise<TestServer> {
  if (!existsSync(BINARY)) throw new Error(`${BINARY} is missing: build it or set MILLRACE_BIN`);
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
    await waitUntilReady(url, child, output);
  }

  async function stop(signal: NodeJS.Signals): Promise<void> {
    if (!child) return;
    child.kill(signal);
    await exited(child);
    child = undefined;
  }

  await start();
  return {
    url,
    data,
    start,
    kill: () => stop("SIGKILL"),
    freeze: () => void child?.kill("SIGSTOP"),
    thaw: () => void child?.kill("SIGCONT"),
    close: async () => {
      // A frozen process handles no other signal.
      child?.kill("SIGCONT");
      await stop("SIGTERM");
      rmSync(data, { recursive: true, force: true });
    },
  };
}

/** Sends synthetic events and returns when they are sent. */
export async function generateEvents(url: string, ...options: string[]): Promise<void> {
  await promisify(execFile)(BINARY, ["generate", "--target", url, "--scenario", "steady", ...options]);
}

/** Sends synthetic events until `close`. */
export function startTraffic(url: string, rate: number): { close: () => Promise<void> } {
  const child = spawn(
    BINARY,
    ["generate", "--target", url, "--rate", String(rate), "--scenario", "steady", "--duration", "forever"],
    {
      stdio: "ignore",
    },
  );
  return {
    close: async () => {
      child.kill("SIGTERM");
      await exited(child);
    },
  };
}
