// The commands of the palette.

import * as vscode from "vscode";
import { CodeActionRequest, type CodeAction, type Command } from "vscode-languageclient/node";
import type { Server } from "./server";

/** Registers all commands until they are disposed of. */
export function registerCommands(context: vscode.ExtensionContext, server: Server, output: vscode.LogOutputChannel): vscode.Disposable {
  const register = vscode.commands.registerCommand;
  return vscode.Disposable.from(
    register("layerwise.restart", () => server.restart()),
    register("layerwise.showOutput", () => output.show()),
    register("layerwise.fixAll", () => apply(server, "source.fixAll.layerwise", "There is nothing here that can be fixed safely.")),
    register("layerwise.reorderStage", () => apply(server, "refactor.rewrite", "This stage has nothing that can be moved safely.")),
    register("layerwise.showRule", (rule?: string) => showRule(context.extensionUri, rule)),
    register("layerwise.showVersion", () => showVersion(context, server)),
  );
}

/**
 * Applies the first code action of a kind at the selection. The server is asked, not the editor,
 * which would ask all extensions: a kind alone does not say whose an action is.
 */
async function apply(server: Server, kind: string, otherwise: string): Promise<void> {
  const editor = vscode.window.activeTextEditor;
  const client = server.client;
  if (!editor || !client?.isRunning()) {
    void vscode.window.showInformationMessage(editor ? "The server of Layerwise is not running." : "No file is open.");
    return;
  }
  const version = editor.document.version;
  const actions = await client.sendRequest(CodeActionRequest.type, {
    textDocument: client.code2ProtocolConverter.asTextDocumentIdentifier(editor.document),
    range: client.code2ProtocolConverter.asRange(editor.selection),
    context: { diagnostics: [], only: [kind] },
  });
  const edit = actions?.find(hasEdit)?.edit;
  if (!edit) {
    void vscode.window.showInformationMessage(otherwise);
  } else if (editor.document.version === version) {
    await vscode.workspace.applyEdit(await client.protocol2CodeConverter.asWorkspaceEdit(edit));
  }
}

function hasEdit(action: Command | CodeAction): action is CodeAction {
  return "edit" in action && action.edit !== undefined;
}

/** Opens the page of a rule: of the one that is named, else of one that is chosen from a list. */
async function showRule(extension: vscode.Uri, rule: string | undefined): Promise<void> {
  const pages = vscode.Uri.joinPath(extension, "rules.md");
  const name = rule ?? (await chooseRule(pages));
  if (name) {
    await vscode.commands.executeCommand("markdown.showPreview", pages.with({ fragment: name }));
  }
}

async function chooseRule(pages: vscode.Uri): Promise<string | undefined> {
  const text = new TextDecoder().decode(await vscode.workspace.fs.readFile(pages));
  const here = rulesAtCursor();
  // The rows of the table at the top: name, level, whether there are fixes, what is found.
  const rows = [...text.matchAll(/^\| \[(\S+)\]\(\S+\) \| (\w+) \| \w* \| (.+) \|$/gm)];
  const items = rows.map(([, label = "", description = "", detail = ""]) => ({ label, description, detail }));
  const first = items.filter((it) => here.has(it.label));
  const rest = items.filter((it) => !here.has(it.label));
  const chosen = await vscode.window.showQuickPick([...first, ...rest], { placeHolder: "Rule whose page is shown", matchOnDetail: true });
  return chosen?.label;
}

function rulesAtCursor(): Set<string> {
  const editor = vscode.window.activeTextEditor;
  if (!editor) {
    return new Set();
  }
  const line = editor.selection.active.line;
  const found = vscode.languages.getDiagnostics(editor.document.uri).filter((it) => it.source === "layerwise");
  const here = found.filter((it) => it.range.start.line <= line && line <= it.range.end.line);
  return new Set(here.map((it) => String(typeof it.code === "object" ? it.code.value : it.code)));
}

async function showVersion(context: vscode.ExtensionContext, server: Server): Promise<void> {
  const state = server.state;
  const running = "program" in state ? `server ${state.program.version} (${state.program.path})` : `server ${state.kind}`;
  const text = `Layerwise: ${running}, extension ${(context.extension.packageJSON as { version: string }).version}`;
  if (await vscode.window.showInformationMessage(text, "Copy")) {
    await vscode.env.clipboard.writeText(text);
  }
}
