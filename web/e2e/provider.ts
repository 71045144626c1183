// A real OpenID Connect provider: tests/clients/oidc_provider.mjs, which `make test-tools` installs.

import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";

export interface TestProvider {
  issuer: string;
  close: () => void;
}

export async function startProvider(redirectUri: string): Promise<TestProvider> {
  const tools = process.env.MILLRACE_TEST_TOOLS;
  if (!tools) throw new Error("MILLRACE_TEST_TOOLS is not set: run `make test-page`, which installs the provider");
  const child = spawn("node", ["oidc_provider.mjs"], {
    cwd: join(tools, "node"),
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, REDIRECT_URI: redirectUri },
  });
  const issuer = await new Promise<string>((done, fail) => {
    createInterface(child.stdout).once("line", done);
    child.once("exit", (code) => fail(new Error(`the provider has exited with ${code}`)));
  });
  return { issuer, close: () => void child.kill() };
}
