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
  // One line for each test as it ends, and one more for all of them. A line may be half written.
  const lines = () => (existsSync(results) ? readFileSync(results, "utf8").split("\n").slice(0, -1).map((it) => JSON.parse(it)) : []);
  for (let seen = 0; ; seen++) {
    await until(undefined, () => lines().length > seen, () => `only ${seen} results`);
    const { name, milliseconds, failure, total } = lines()[seen];
    if (total !== undefined) {
      say(`${total} tests have run`);
      break;
    }
    say(`${failure ? "FAILED" : "ok"}: ${name} (${milliseconds} ms)${failure ? `\n${failure}` : ""}`);
    process.exitCode ||= failure ? 1 : 0;
    if (failure) {
      await window.picture("failed-extension");
    }
  }
} catch (error) {
  await window?.picture("failed-extension");
  say(`FAILED: ${error.stack}`);
  process.exitCode = 1;
} finally {
  await chromium.close();
}
