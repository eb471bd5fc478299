// Has VS Code run extension.cjs in its extension host, and says what came of it.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { browser, extensions, say, until, Workbench } from "./workbench.mjs";

const results = process.env.LAYERWISE_RESULTS;
const extension = readdirSync(extensions).find((it) => it.startsWith("layerwise.layerwise-"));

const chromium = await browser();
let window;
try {
  window = await Workbench.open(chromium, (remote) => [
    ["extensionDevelopmentPath", `${remote}${join(extensions, extension)}`],
    ["extensionTestsPath", `${remote}${join(import.meta.dirname, "extension.cjs")}`],
  ]);
  await until("the tests have run", () => existsSync(results), () => window.picture("failed-extension"), 180_000);
  for (const { name, milliseconds, failure } of JSON.parse(readFileSync(results, "utf8"))) {
    say(`${failure ? "FAILED" : "ok"}: ${name} (${milliseconds} ms)${failure ? `\n${failure}` : ""}`);
    process.exitCode ||= failure ? 1 : 0;
  }
} catch (error) {
  await window?.picture("failed-extension");
  say(`FAILED: ${error.stack}`);
  process.exitCode = 1;
} finally {
  await chromium.close();
}
