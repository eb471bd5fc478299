// Packages the bundled extension, as a file that `code --install-extension` takes.
//
// usage: node package.mjs [--target PLATFORM --binary PATH] [--out FILE]
//
// With a binary, for one platform (`linux-x64`, `darwin-arm64`, `win32-x64` …), the file carries the
// server. Without, it is for all platforms, and the server has to be on the PATH.

import { chmodSync, copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { createVSIX } from "@vscode/vsce";

const { values: options } = parseArgs({ options: { target: { type: "string" }, binary: { type: "string" }, out: { type: "string" } } });
if (Boolean(options.target) !== Boolean(options.binary)) {
  throw new Error("--target and --binary go together: a binary is for one platform");
}

const here = import.meta.dirname;
const root = join(here, "../..");
const staging = join(here, "dist/package");
const manifest = JSON.parse(readFileSync(join(here, "package.json"), "utf8"));

rmSync(staging, { recursive: true, force: true });

function put(from, to) {
  mkdirSync(dirname(join(staging, to)), { recursive: true });
  copyFileSync(from, join(staging, to));
}

put(join(here, "dist/extension.js"), "dist/extension.js");
put(join(here, "images/icon.png"), "images/icon.png");
put(join(here, "README.md"), "README.md");
put(join(root, "CHANGELOG.md"), "CHANGELOG.md");
put(join(root, "docs/rules.md"), "rules.md");
// One file, as extensions have it; the reader chooses.
const licences = ["LICENSE-MIT", "LICENSE-APACHE"].map((it) => readFileSync(join(root, it), "utf8").trim());
writeFileSync(join(staging, "LICENSE.txt"), `${licences.join(`\n\n${"-".repeat(80)}\n\n`)}\n`);
// What an installed extension has no use for; and `private` is there to keep `npm publish` away.
const { scripts, devDependencies, dependencies, private: _, ...installed } = manifest;
writeFileSync(join(staging, "package.json"), JSON.stringify({ ...installed, files: ["**/*"] }, null, 2));
if (options.binary) {
  const name = options.target.startsWith("win32") ? "bin/layerwise.exe" : "bin/layerwise";
  put(options.binary, name);
  chmodSync(join(staging, name), 0o755);
}

const name = [manifest.name, options.target, manifest.version].filter(Boolean).join("-");
const folder = `${manifest.repository.url}/raw/main/${manifest.repository.directory}`;
await createVSIX({
  cwd: staging,
  packagePath: options.out ?? join(here, `${name}.vsix`),
  target: options.target,
  dependencies: false,
  baseContentUrl: folder.replace("/raw/", "/blob/"),
  baseImagesUrl: folder,
});
