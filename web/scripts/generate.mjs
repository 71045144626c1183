// Generates src/gen from ../proto. buf compiles the contracts and runs protoc-gen-es and the plugin beside this file, so npm is
// the only requirement.
// The buf binary comes from an optional platform package: npm installs only the one for this platform.
import { execFileSync } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const web = join(dirname(fileURLToPath(import.meta.url)), "..");
const require = createRequire(import.meta.url);

const platform = `${process.platform}-${process.arch === "arm64" && process.platform === "linux" ? "aarch64" : process.arch}`;
const name = process.platform === "win32" ? "buf.exe" : "buf";

function bufBinary() {
  try {
    return join(dirname(require.resolve(`@bufbuild/buf-${platform}/package.json`)), "bin", name);
  } catch {
    // No package for this platform: use buf from the PATH.
    return name;
  }
}

const template = {
  version: "v2",
  clean: true,
  inputs: [{ directory: "../proto" }],
  plugins: [
    { local: "protoc-gen-es", out: "src/gen", opt: ["target=ts"] },
    {
      local: [process.execPath, join(web, "scripts", "protoc-gen-codec.mjs")],
      out: "src/gen",
      opt: ["target=ts", "import_extension=ts"],
    },
  ],
};

const bin = join(web, "node_modules", ".bin");
if (!existsSync(bin)) throw new Error("run npm ci first");
rmSync(join(web, "src", "gen"), { recursive: true, force: true });
execFileSync(bufBinary(), ["generate", "--template", JSON.stringify(template)], {
  cwd: web,
  stdio: "inherit",
  env: { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH}` },
});
