// A VS Code in a browser, and what a person can see and do in it.

import { mkdirSync, readFileSync, readdirSync, readlinkSync, realpathSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const scratch = realpathSync(process.env.LAYERWISE_SCRATCH);
const output = process.env.LAYERWISE_OUTPUT;

/** Where extensions are installed. */
export const extensions = join(scratch, "../extensions");
const { chromium } = createRequire(join(process.env.LAYERWISE_CODE, "package.json"))("playwright-core");

/** Milliseconds: long enough for a machine that is busy with something else; nothing waits for its own sake. */
const PATIENCE = 60_000;

/** The files that the editor shows. */
export const project = join(scratch, "almanac");

/** All lines of the example can be seen at once, above the problems. */
const SIZE = { width: 1280, height: 960 };

const started = Date.now();

export function say(text) {
  console.log(`${String(Date.now() - started).padStart(7)} ms  ${text}`);
}

/** Waits until a condition holds, and says so if that has a name; `show` says what there is instead if it never does. */
export async function until(what, condition, show = condition) {
  const end = Date.now() + PATIENCE;
  while (!(await condition())) {
    if (Date.now() > end) {
      throw new Error(`waited in vain: ${what ?? "nothing came"}\n  there is: ${JSON.stringify(await show())}`);
    }
    // As often as the screen could have changed.
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  if (what !== undefined) {
    say(what);
  }
}

/** The address that the editor listens on, which it chooses itself. */
async function address() {
  let port;
  await until("the editor listens", () => {
    port = /listening on (\d+)/.exec(readFileSync(join(scratch, "code.log"), "utf8"))?.[1];
    return port !== undefined;
  });
  return `127.0.0.1:${port}`;
}

export async function browser() {
  const root = join(process.env.LAYERWISE_TOOLS, "chromium/root");
  const libraries = readdirSync(join(root, "usr/lib")).filter((it) => it.endsWith("-linux-gnu")).map((it) => join(root, "usr/lib", it));
  // Pictures look the same whatever fonts the system has.
  const fonts = join(scratch, "fonts.conf");
  writeFileSync(fonts, `<fontconfig><dir>${root}/usr/share/fonts</dir><cachedir>${scratch}/fonts</cachedir></fontconfig>`);
  return chromium.launch({
    executablePath: join(root, "usr/lib/chromium/chromium"),
    // Its sandbox wants rights that containers do not give; it shows nothing but our own page.
    args: ["--no-sandbox", "--disable-dev-shm-usage"],
    env: { ...process.env, FONTCONFIG_FILE: fonts, LD_LIBRARY_PATH: [...libraries, ...libraries.map((it) => join(it, "pulseaudio"))].join(":") },
  });
}

/** Process ids of the servers that run the binary of the extension; not of those that tell the version. */
export function servers() {
  return readdirSync("/proc").filter((it) => {
    try {
      return /^\d+$/.test(it) && readlinkSync(`/proc/${it}/exe`).startsWith(extensions) && readFileSync(`/proc/${it}/cmdline`, "utf8").includes("\0server\0");
    } catch {
      return false;
    }
  }).map(Number);
}

export class Workbench {
  /** Opens the project in a window of its own; `payload` is what VS Code takes for tests of extensions. */
  static async open(browser, payload) {
    const host = await address();
    const parameters = new URLSearchParams({ folder: project });
    if (payload) {
      parameters.set("payload", JSON.stringify(payload(`vscode-remote://${host}`)));
    }
    const page = await browser.newPage({ viewport: SIZE });
    page.setDefaultTimeout(PATIENCE);
    await page.goto(`http://${host}/?${parameters}`);
    await page.locator(".monaco-workbench .explorer-folders-view .monaco-list-row").first().waitFor();
    say("the workbench is there");
    return new Workbench(page);
  }

  constructor(page) {
    this.page = page;
  }

  press(...keys) {
    return keys.reduce((before, key) => before.then(() => this.page.keyboard.press(key)), Promise.resolve());
  }

  async picture(name) {
    await this.page.screenshot({ path: join(output, `${name}.png`), animations: "disabled", caret: "hide" });
  }

  /** Types into the list that `key` opens, and takes its first row once that has a text; then the same in the lists that follow. */
  async pick(key, ...choices) {
    const list = this.page.locator(".quick-input-widget");
    await this.press(key);
    for (const [text, row, enter = "Enter"] of choices) {
      await list.locator("input").first().fill(text);
      await list.locator(".monaco-list-row.focused", { hasText: row }).first().waitFor();
      await this.press(enter);
    }
    await list.waitFor({ state: "hidden" });
  }

  command(title) {
    return this.pick("F1", [`>${title}`, title]);
  }

  openBeside(path) {
    return this.open(path, "Control+Enter");
  }

  async open(path, enter) {
    // The row has the name, the folder, and perhaps the heading of its group; files of other folders have the same name.
    const [, folder, name] = /^(?:(.*)\/)?(.*)$/.exec(path);
    await this.pick("Control+p", [path, new RegExp(`^${RegExp.escape(name + (folder ?? ""))}(recently opened|file results)?$`), enter]);
    await this.editor(path).waitFor();
  }

  /** The editor that shows a file. */
  editor(path) {
    return this.page.locator(`.editor-instance .monaco-editor[data-uri$="/almanac/${path}"]`).first();
  }

  /** Gives an editor the keyboard. Not by a click, which would scroll. */
  async focus(path) {
    await this.editor(path).locator(".native-edit-context, textarea.inputarea").first().evaluate((it) => it.focus({ preventScroll: true }));
  }

  /** The lines of an editor, as far as they are on the screen, each with its number. */
  async lines(path) {
    const tops = (all) => all.map((it) => [it.style.top, it.textContent.replaceAll("\u00a0", " ")]);
    const texts = await this.editor(path).locator(".view-line").evaluateAll(tops);
    const numbers = new Map(await this.editor(path).locator(".margin-view-overlays > div").evaluateAll(tops));
    return texts.map(([top, text]) => ({ number: Number(numbers.get(top)), text })).sort((a, b) => a.number - b.number);
  }

  /** The text of an editor, all of whose lines are on the screen. */
  async text(path) {
    return (await this.lines(path)).map((it) => it.text).join("\n");
  }

  /** Puts the cursor on the beginning of a text in an editor. */
  async goTo(path, needle) {
    const lines = await this.lines(path);
    const line = lines.find((it) => it.text.includes(needle));
    if (!line) {
      throw new Error(`${path} does not show: ${needle}\n${lines.map((it) => it.text).join("\n")}`);
    }
    await this.focus(path);
    await this.pick("Control+g", [`:${line.number}:${line.text.indexOf(needle) + 1}`, /./]);
  }

  /** Types a text over another one, which stands in one line. */
  async replace(path, old, text) {
    await this.goTo(path, old);
    for (let at = 0; at < old.length; at++) {
      await this.press("Shift+ArrowRight");
    }
    await this.page.keyboard.insertText(text);
  }

  /** Waits until an editor shows a text. */
  async shows(path, text, what) {
    await until(what, async () => (await this.text(path)) === text, () => this.text(path));
  }

  /** Holds the mouse over the underlined text at the cursor, and waits for what is said of it. */
  async hover(path, ...texts) {
    const top = await this.editor(path).locator(".current-line").first().boundingBox();
    const boxes = await Promise.all((await this.editor(path).locator("[class*=squiggly-]").all()).map((it) => it.boundingBox()));
    const box = boxes.find((it) => it && Math.abs(it.y - top.y) < it.height);
    await this.page.mouse.move(box.x + 12, box.y + box.height / 2);
    for (const text of texts) {
      await this.page.locator(".monaco-hover:visible", { hasText: text }).first().waitFor();
    }
    // Shown for a moment, and then for whoever moves the mouse there.
    await this.page.locator(".monaco-hover:visible .visible.scrollbar").first().waitFor({ state: "hidden" });
    say(`${path}: a hover with ${texts.length} texts`);
  }

  /** Answers the question for unsaved changes, if there are any. */
  async discard() {
    const button = this.page.locator(".monaco-dialog-box").getByRole("button", { name: "Don't Save" });
    const closed = this.page.locator(".editor-instance .monaco-editor");
    await until("all editors are closed", async () => {
      if (await button.isVisible()) {
        await button.click();
      }
      return (await closed.count()) === 0;
    });
  }

  /** Has the panel of problems show one file only, or all again without a path. */
  async look(path) {
    await this.page.locator(".panel .viewpane-filter input").fill(path ? `**/almanac/${path}` : "");
  }

  /** What the panel of problems shows: rules, each with the places `line:column`. */
  async problems() {
    const rows = await this.page.locator(".markers-panel .monaco-list-row").evaluateAll((all) => all.map((it) => it.textContent));
    const found = rows.map((it) => /layerwise([a-z-]+)\[Ln (\d+), Col (\d+)\]$/.exec(it)).filter(Boolean);
    return Object.fromEntries(Map.groupBy(found, ([, rule]) => rule).entries().map(([rule, all]) => [rule, all.map(([, , line, column]) => `${line}:${column}`)]));
  }

  /** Waits until a file has findings of these rules, and none of those. */
  async has(path, present, absent = []) {
    await this.look(path);
    const what = [...present, ...absent.map((it) => `no ${it}`)].join(", ");
    const rows = this.page.locator(".markers-panel .monaco-list-row");
    const show = async () => [await this.problems(), await rows.allTextContents()];
    await until(`${path}: ${what}`, async () => {
      const found = await this.problems();
      return present.every((it) => it in found) && !absent.some((it) => it in found);
    }, show);
  }

  /** Opens the menu of the light bulb, and takes an action whose title begins as wanted. */
  async act(title, before = async () => {}) {
    const menu = this.page.locator(".action-widget:not(.action-list-submenu-panel)");
    await this.page.locator(".monaco-editor.focused .codicon[class*=codicon-gutter-lightbulb], .monaco-editor.focused .lightBulbWidget").first().waitFor();
    await this.press("Control+.");
    const row = menu.locator(".monaco-list-row.action", { hasText: title }).first();
    await row.waitFor();
    await before();
    await row.click();
    await menu.waitFor({ state: "hidden" });
  }

  /** What the status of the language says, of Layerwise and others. */
  async status() {
    return (await this.page.locator("#status\\.languageStatus").getAttribute("aria-label")) ?? "";
  }

  /** Writes the settings of the folder, as far as they are not those of settings.json. */
  settings(values) {
    mkdirSync(join(project, ".vscode"), { recursive: true });
    writeFileSync(join(project, ".vscode/settings.json"), JSON.stringify(values));
  }

  /** Waits for a heading in a page that is shown in a frame. */
  async heading(text) {
    await until(`a page with the heading ${text}`, async () => {
      const counts = this.page.frames().map((it) => it.locator("h1, h2", { hasText: text }).count().catch(() => 0));
      return (await Promise.all(counts)).some((it) => it > 0);
    }, () => this.page.frames().map((it) => it.url()));
  }

  /** A message at the lower right. */
  toast(text) {
    return this.page.locator(".notifications-toasts .notification-list-item", { hasText: text }).first();
  }

  /** Makes sure that there is no message, or only one. */
  async quiet(expected) {
    const texts = await this.page.locator(".notifications-toasts .notification-list-item").allTextContents();
    if (texts.length !== (expected ? 1 : 0)) {
      throw new Error(`there are messages: ${JSON.stringify(texts)}`);
    }
    say(expected ? "one message says so" : "no message is in the way");
  }
}
