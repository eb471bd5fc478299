// Works through the example project as a person would, and says what it sees. Ends with an error at
// the first thing that is not as expected.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { browser, project, say, servers, until, Workbench } from "./workbench.mjs";

/** What a file of the example is after all safe moves, or after all safe fixes. */
const expected = (path) => readFileSync(join(import.meta.dirname, "../editors/expected", path), "utf8");
const REORDERED = expected("Dockerfile");
const SITE_REPAIRED = expected("web/Dockerfile");

const ORDER = ["copy-before-install", "copy-before-system-packages"];
const SITE = ".github/workflows/site.yml";
const STACK = ".github/workflows/stack.yml";
const ON_SAVE = { "[dockerfile]": { "editor.codeActionsOnSave": { "source.fixAll.layerwise": "explicit" } } };

/** Findings of both languages, and what is said of one. */
async function findings(window) {
  await window.open("Dockerfile");
  await window.command("Problems: Focus on Problems View");
  await window.has("Dockerfile", [...ORDER, "floating-base-image"]);
  await window.open(STACK);
  await window.has(STACK, ["compose-file-as-dockerfile", "comment-in-block-scalar"]);
  await until("the status is ready", async () => (await window.status()).includes("Layerwise 0.1.0, ready"), () => window.status());

  await window.quiet();

  await window.open("Dockerfile");
  await window.has("Dockerfile", ORDER);
  await window.look();
  await window.goTo("Dockerfile", "COPY ./app /app");
  await window.hover("Dockerfile", "any change to `./app` runs `apt-get install` again", "More about this rule");
  await window.picture("findings");
  await window.press("Escape");
}

/** The reordering from the light bulb, undone, and once more from the palette. */
async function reordering(window) {
  await window.goTo("Dockerfile", "COPY ./app /app");
  await window.act("Reorder stage", () => window.picture("actions"));
  await window.shows("Dockerfile", REORDERED, "the Dockerfile is in the order of the cache");
  await window.has("Dockerfile", ["floating-base-image"], ORDER);
  await window.focus("Dockerfile");
  await window.press("Control+z");
  await window.has("Dockerfile", ORDER);
  await window.focus("Dockerfile");
  await window.command("Layerwise: Reorder This Stage");
  await window.shows("Dockerfile", REORDERED, "the command does the same");
  await window.command("Layerwise: Reorder This Stage");
  await window.toast("nothing that can be moved safely").waitFor();
  say("and says so when there is nothing left to move");
  await window.press("Control+z");
}

/** What an unsaved workflow passes shows in the open Dockerfile beside it. */
async function acrossFiles(window) {
  await window.command("View: Close All Editors");
  await window.discard();
  await window.open("web/Dockerfile");
  await window.openBeside(SITE);
  await window.has("web/Dockerfile", ["volatile-arg-before-run", "copy-before-install"]);
  await window.replace(SITE, "${{ github.sha }}", "1.4.0");
  await window.has("web/Dockerfile", ["copy-before-install"], ["volatile-arg-before-run"]);
  await window.has(SITE, ["min-cache-mode"], ["volatile-arg-before-run"]);
  await window.replace(SITE, "1.4.0", "${{ github.sha }}");
  await window.has(SITE, ["volatile-arg-before-run"]);
  await window.has("web/Dockerfile", ["volatile-arg-before-run"]);
  await window.look();
  await window.command("View: Toggle Primary Side Bar Visibility");
  await window.command("Notifications: Clear All Notifications");
  await window.quiet();
  await window.picture("across");
}

/** Characters of two UTF-16 units and four bytes, in the line and in a line above it; then line ends of two. */
async function positions(window) {
  const at = async (place, what) => {
    await window.look("web/Dockerfile");
    await until(what, async () => (await window.problems())["volatile-arg-before-run"]?.join() === place, () => window.problems());
  };
  await at("2:5", "the finding stands at its place");
  await window.replace("web/Dockerfile", "ARG APP_VERSION=dev", "ARG ICON=🚀 APP_VERSION=dev");
  await at("2:13", "and behind an emoji");
  await window.pick("F1", [">Change End of Line Sequence", "Change End of Line Sequence"], ["CRLF", "CRLF"]);
  await window.goTo("web/Dockerfile", "ARG");
  await window.press("Control+Shift+Enter");
  await window.page.keyboard.insertText("# 📦🧭 built from");
  await at("3:13", "and below a line with more of them, where lines end in CRLF");
  await window.focus("web/Dockerfile");
  await window.command("File: Revert File");
  await at("2:5", "and is back");
}

/** All safe fixes when a file is saved. */
async function fixesOnSave(window) {
  window.settings(ON_SAVE);
  await until("saving repairs the file on disk", async () => {
    // The settings of the folder are read some time after they were written.
    await window.focus("web/Dockerfile");
    await window.press("Control+s");
    return readFileSync(join(project, "web/Dockerfile"), "utf8") === SITE_REPAIRED;
  }, () => readFileSync(join(project, "web/Dockerfile"), "utf8"));
  await window.has("web/Dockerfile", [], ["copy-before-install", "volatile-arg-before-run"]);
  await window.has(SITE, ["min-cache-mode"], ["volatile-arg-before-run"]);
}

/** A rule that is switched off while the server runs. */
async function settings(window) {
  const [before] = servers();
  window.settings({ "layerwise.rules": { "min-cache-mode": "off", "workflow-named-cache-scope": "error" } });
  await window.has(SITE, ["workflow-named-cache-scope"], ["min-cache-mode"]);
  window.settings({});
  await window.has(SITE, ["workflow-named-cache-scope", "min-cache-mode"]);
  if (servers().join() !== String(before)) {
    throw new Error(`a new server was started: ${servers()} instead of ${before}`);
  }
  say("by the same server");
}

/** A server that is killed comes back; one that is killed again and again does not, until asked to. */
async function crashes(window) {
  const next = async (old) => {
    let now;
    await until("there is a new server", () => (now = servers().find((it) => it !== old)) !== undefined, servers);
    return now;
  };
  let current = servers()[0];
  process.kill(current, "SIGKILL");
  current = await next(current);
  await until("which is ready", async () => (await window.status()).includes("ready"), () => window.status());
  await window.replace(SITE, "${{ github.sha }}", "1.4.0");
  await window.replace(SITE, "type=gha,scope=${{ github.workflow }}", "type=gha,scope=site");
  await window.has(SITE, ["min-cache-mode"]);
  for (let crash = 2; crash <= 5; crash++) {
    process.kill(current, "SIGKILL");
    current = crash < 5 ? await next(current) : undefined;
  }
  const toast = window.toast("The server ended 5 times by itself");
  await toast.waitFor();
  await until("the status is broken", async () => (await window.status()).includes("is not started again"), () => window.status());
  await window.picture("broken");
  await window.quiet(toast);
  await toast.hover();
  await toast.getByRole("button", { name: "Restart Server" }).click();
  await next();
  await window.has(SITE, ["min-cache-mode"]);
}

/** A program that is not there is named, and another setting is all it takes. */
async function missingProgram(window) {
  window.settings({ "layerwise.path": "/nowhere/layerwise" });
  const toast = window.toast("`/nowhere/layerwise` does not exist; the setting `layerwise.path` names it");
  await toast.waitFor();
  await toast.hover();
  await toast.getByRole("button", { name: "Open Settings" }).click();
  await window.page.locator(".settings-editor .setting-item-contents", { hasText: "Layerwise: Path" }).first().waitFor();
  say("the button opens the setting");
  await window.picture("settings");
  await window.press("Escape");
  window.settings({});
  await window.has(SITE, ["min-cache-mode"]);
}

async function rulePage(window) {
  await window.goTo(SITE, "cache-to:");
  await window.pick("F1", [">Layerwise: Show the Page of a Rule", "Show the Page of a Rule"], ["min-cache", "min-cache-mode"]);
  await window.heading("min-cache-mode");
  await window.picture("page");
  await window.command("Layerwise: Show Version");
  await window.toast("Layerwise: server 0.1.0").waitFor();
  say("and the version");
}

const chromium = await browser();
let window;
try {
  window = await Workbench.open(chromium);
  await findings(window);
  await reordering(window);
  await acrossFiles(window);
  await positions(window);
  await fixesOnSave(window);
  await settings(window);
  await crashes(window);
  await missingProgram(window);
  await rulePage(window);
  say("all as expected");
} catch (error) {
  await window?.picture("failed");
  say(`FAILED: ${error.stack}`);
  process.exitCode = 1;
} finally {
  await chromium.close();
}
