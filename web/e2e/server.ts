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

type Env = Record<string, string>;

/** `env` may depend on the address and the data directory, and write files there before the server starts. */
export async function startServer(
  env: Env | ((server: Pick<TestServer, "url" | "data">) => Promise<Env>) = {},
): Promise<TestServer> {
  if (!existsSync(BINARY)) throw new Error(`${BINARY} is missing: build it or set MILLRACE_BIN`);
  const data = mkdtempSync(join(tmpdir(), "millrace-e2e-"));
  const listen = `127.0.0.1:${await freePort()}`;
  const url = `http://${listen}`;
  const settings = typeof env === "function" ? await env({ url, data }) : env;
  let child: ChildProcess | undefined;

  async function start(): Promise<void> {
    const output: string[] = [];
    child = spawn(BINARY, ["serve", "--listen", listen, "--data-dir", data], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...settings },
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

/** Runs `millrace keys`, and returns what it prints. */
export const keysCommand = async (data: string, ...options: string[]): Promise<string> =>
  (await promisify(execFile)(BINARY, ["keys", ...options, "--data-dir", data])).stdout.trim();

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
