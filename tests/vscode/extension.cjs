// The extension's own tests, which VS Code runs in the extension host beside the installed extension.

const assert = require("node:assert");
const { appendFileSync } = require("node:fs");
const { setTimeout: pause } = require("node:timers/promises");
const vscode = require("vscode");

/** Milliseconds; see workbench.mjs. */
const PATIENCE = 30_000;

const folder = vscode.workspace.workspaceFolders[0].uri;
const at = (path) => vscode.Uri.joinPath(folder, path);
const settings = () => vscode.workspace.getConfiguration("layerwise");

async function until(condition) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    try {
      return await condition();
    } catch (error) {
      if (Date.now() > end) {
        throw error;
      }
      await pause(20);
    }
  }
}

async function show(path, column = vscode.ViewColumn.One) {
  const document = await vscode.workspace.openTextDocument(path instanceof vscode.Uri ? path : at(path));
  return vscode.window.showTextDocument(document, column);
}

const diagnostics = (uri) => vscode.languages.getDiagnostics(uri).filter((it) => it.source === "layerwise");
const rules = (uri) => diagnostics(uri).filter((it) => it.severity !== vscode.DiagnosticSeverity.Hint).map((it) => it.code.value).sort();

/** Waits until these rules, each as often as it is named, are found in an editor, and nothing else but hints. */
const finds = (editor, expected) => until(() => assert.deepStrictEqual(rules(editor.document.uri), [...expected].sort()));

/** The texts that a rule underlines. */
const underlined = (editor, rule) => diagnostics(editor.document.uri).filter((it) => it.code.value === rule).map((it) => editor.document.getText(it.range));

function replace(editor, old, text) {
  const start = editor.document.getText().indexOf(old);
  assert.notStrictEqual(start, -1, `there is no ${old}`);
  const range = new vscode.Range(editor.document.positionAt(start), editor.document.positionAt(start + old.length));
  return editor.edit((it) => it.replace(range, text));
}

async function revert(editor) {
  await vscode.window.showTextDocument(editor.document, editor.viewColumn);
  await vscode.commands.executeCommand("workbench.action.files.revert");
}

const API = ["copy-before-install", "copy-before-system-packages", "floating-base-image"];
const SITE = ["copy-before-install", "volatile-arg-before-run"];
const WORKFLOW = ["min-cache-mode", "volatile-arg-before-run", "workflow-named-cache-scope"];

const tests = {
  "every command of the manifest is registered": async () => {
    const { packageJSON } = vscode.extensions.getExtension("layerwise.layerwise");
    const registered = await until(async () => {
      const all = await vscode.commands.getCommands();
      assert(all.includes("layerwise.restart"));
      return all;
    });
    for (const { command } of packageJSON.contributes.commands) {
      assert(registered.includes(command), command);
    }
  },

  "findings are there once, with their page and the other place": async () => {
    const editor = await show("Dockerfile");
    await finds(editor, API);
    const finding = () => diagnostics(editor.document.uri).find((it) => it.code.value === "copy-before-install");
    assert.match(String(finding().code.target), /#copy-before-install$/);
    // Until the files of the build context are known, another place says what stands in the way.
    await until(() => assert.deepStrictEqual(finding().relatedInformation.map((it) => it.location.range.start.line), [7]));
  },

  "actions have their kinds, and the best is preferred": async () => {
    const editor = await show("Dockerfile");
    await finds(editor, API);
    const range = diagnostics(editor.document.uri).find((it) => it.code.value === "copy-before-install").range;
    const actions = await vscode.commands.executeCommand("vscode.executeCodeActionProvider", editor.document.uri, range);
    const ours = actions.map((it) => [it.kind?.value, it.title, it.isPreferred ?? false]);
    for (const expected of [
      ["quickfix", "Install from the manifests first", true],
      ["quickfix", "Ignore `copy-before-install` here", false],
    ]) {
      assert(ours.some((it) => it.join() === expected.join()), JSON.stringify(ours));
    }
    assert.strictEqual(ours.filter(([kind]) => kind === "refactor.rewrite").length, 1, JSON.stringify(ours));
  },

  "all fixes and the reordering are commands": async () => {
    const editor = await show("Dockerfile");
    await finds(editor, API);
    await vscode.commands.executeCommand("layerwise.reorderStage");
    await finds(editor, ["floating-base-image"]);
    const reordered = editor.document.getText();
    await revert(editor);
    await finds(editor, API);
    await vscode.commands.executeCommand("layerwise.fixAll");
    await finds(editor, ["floating-base-image"]);
    assert.strictEqual(editor.document.getText(), reordered);
    await revert(editor);
  },

  "an edit of an unsaved workflow shows in the Dockerfile that it builds": async () => {
    const site = await show("web/Dockerfile");
    const workflow = await show(".github/workflows/site.yml", vscode.ViewColumn.Two);
    await finds(site, SITE);
    await finds(workflow, WORKFLOW);
    await replace(workflow, "${{ github.sha }}", "1.4.0");
    await finds(site, ["copy-before-install"]);
    await finds(workflow, ["min-cache-mode", "workflow-named-cache-scope"]);
    await revert(workflow);
    await finds(site, SITE);
  },

  "ranges are right behind an emoji, and where lines end in CRLF": async () => {
    const site = await show("web/Dockerfile");
    await finds(site, SITE);
    assert.deepStrictEqual(underlined(site, "volatile-arg-before-run"), ["APP_VERSION=dev"]);
    await replace(site, "ARG APP_VERSION", "# 📦🧭 built from\nARG ICON=🚀 APP_VERSION");
    const place = () => diagnostics(site.document.uri).find((it) => it.code.value === "volatile-arg-before-run").range.start;
    await until(() => assert.deepStrictEqual([place().line, place().character], [2, 12]));
    assert.deepStrictEqual(underlined(site, "volatile-arg-before-run"), ["APP_VERSION=dev"]);
    await site.edit((it) => it.setEndOfLine(vscode.EndOfLine.CRLF));
    await replace(site, "# 📦🧭 built from", "# 📦🧭 built from\r\n# 🛠 and more");
    await until(() => assert.deepStrictEqual([place().line, place().character], [3, 12]));
    assert.deepStrictEqual(underlined(site, "volatile-arg-before-run"), ["APP_VERSION=dev"]);
    await revert(site);
    await finds(site, SITE);
  },

  "a file that changes on disk is read again": async () => {
    const editor = await show("Dockerfile");
    await finds(editor, API);
    const manifest = at("app/requirements.txt");
    const text = await vscode.workspace.fs.readFile(manifest);
    // With a requirement in the sources, nothing can be installed before them.
    await vscode.workspace.fs.writeFile(manifest, new TextEncoder().encode("-e .\n"));
    await finds(editor, ["copy-before-system-packages", "floating-base-image"]);
    await vscode.workspace.fs.writeFile(manifest, text);
    await finds(editor, API);
  },

  "rules are switched off and raised by settings": async () => {
    const editor = await show("Dockerfile");
    await finds(editor, API);
    await settings().update("rules", { "floating-base-image": "off", "copy-before-install": "error" });
    await finds(editor, ["copy-before-install", "copy-before-system-packages"]);
    const finding = diagnostics(editor.document.uri).find((it) => it.code.value === "copy-before-install");
    assert.strictEqual(finding.severity, vscode.DiagnosticSeverity.Error);
    await settings().update("rules", undefined);
    await finds(editor, API);
  },

  "a restart clears nothing that is still wrong": async () => {
    const editor = await show("Dockerfile");
    await finds(editor, API);
    await vscode.commands.executeCommand("layerwise.restart");
    await finds(editor, API);
  },

  "a Dockerfile without a file is checked": async () => {
    const document = await vscode.workspace.openTextDocument({ language: "dockerfile", content: "FROM debian:latest\n" });
    await finds(await vscode.window.showTextDocument(document), ["floating-base-image"]);
    await vscode.commands.executeCommand("workbench.action.revertAndCloseActiveEditor");
  },

  "the old side of a comparison, and other YAML, are left alone": async () => {
    const left = { provideTextDocumentContent: () => "FROM debian:latest\n" };
    const registration = vscode.workspace.registerTextDocumentContentProvider("old", left);
    const old = vscode.Uri.parse("old:/Dockerfile");
    await vscode.commands.executeCommand("vscode.diff", old, at("Dockerfile"), "comparison");
    await until(() => assert.deepStrictEqual(rules(at("Dockerfile")), [...API].sort()));
    assert.deepStrictEqual(rules(old), []);
    registration.dispose();
    const values = await vscode.workspace.openTextDocument({ language: "yaml", content: "FROM debian:latest\n" });
    await vscode.window.showTextDocument(values);
    const editor = await show("Dockerfile");
    await finds(editor, API);
    assert.deepStrictEqual(rules(values.uri), []);
  },

  "bake files, compose files and composite actions have findings of their own": async () => {
    const files = {
      "bake/docker-bake.hcl": 'target "default" {\n  cache-to = ["type=gha,mode=max,scope=a"]\n}\n',
      "bake/json/docker-bake.json": '{"target": {"default": {"cache-to": ["type=gha,mode=max,scope=b"]}}}\n',
      "bake/compose/compose.yaml": "services:\n  app:\n    build:\n      context: .\n      cache_to: [\"type=gha,mode=max,scope=c\"]\n",
      ".github/actions/image/action.yml":
        "runs:\n  using: composite\n  steps:\n    - uses: docker/build-push-action@v6\n      with: {cache-to: \"type=gha,mode=max,scope=d\"}\n",
    };
    for (const [path, text] of Object.entries(files)) {
      await vscode.workspace.fs.writeFile(at(path), new TextEncoder().encode(text));
      const editor = await show(path);
      await until(() => assert(rules(editor.document.uri).includes("cache-export-without-import"), `${path}: ${rules(editor.document.uri)}`));
    }
    await vscode.commands.executeCommand("workbench.action.closeAllEditors");
    await vscode.workspace.fs.delete(at("bake"), { recursive: true });
    await vscode.workspace.fs.delete(at(".github/actions"), { recursive: true });
  },

  "names of rules are completed in comments that suppress, and nothing is anywhere else": async () => {
    const editor = await show("web/Dockerfile");
    await finds(editor, SITE);
    await replace(editor, "ARG APP_VERSION", "# layerwise: ignore[\nARG APP_VERSION");
    const labels = async (line, character) => {
      const list = await vscode.commands.executeCommand("vscode.executeCompletionItemProvider", editor.document.uri, new vscode.Position(line, character), "[");
      return list.items.map((it) => it.label);
    };
    const there = await labels(1, 20);
    assert.strictEqual(there.filter((it) => it === "volatile-arg-before-run").length, 1, there.join());
    assert(!there.includes("min-cache-mode"), there.join());
    assert(!(await labels(2, 4)).includes("volatile-arg-before-run"));
    await revert(editor);
  },

  "the page of a rule is in the extension": async () => {
    await vscode.commands.executeCommand("layerwise.showRule", "min-cache-mode");
    await until(() => assert.match(vscode.window.tabGroups.activeTabGroup.activeTab.label, /rules\.md/));
  },
};

const tell = (result) => appendFileSync(process.env.LAYERWISE_RESULTS, `${JSON.stringify(result)}\n`);

exports.run = async function run() {
  for (const [name, test] of Object.entries(tests)) {
    const start = Date.now();
    const failure = await test().then(() => undefined, (error) => String(error.stack));
    tell({ name, milliseconds: Date.now() - start, failure });
  }
  tell({ total: Object.keys(tests).length });
};
