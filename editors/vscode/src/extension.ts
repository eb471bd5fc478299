// Starts the server and hands it the settings. Everything else is the server's work.

import * as vscode from "vscode";
import { LanguageClient, type DocumentSelector, type LanguageClientOptions, type ServerOptions } from "vscode-languageclient/node";

/** What the server is told of. It goes by the path itself; the rest is read for what it builds. */
const DOCUMENTS: DocumentSelector = [
  { language: "dockerfile" },
  { language: "github-actions-workflow" },
  { pattern: "**/.{github,gitea,forgejo}/workflows/*.{yml,yaml}" },
  { pattern: "**/{Containerfile,Containerfile.*,*.containerfile}" },
  { pattern: "**/{docker-compose,compose}*.{yml,yaml}" },
  { pattern: "**/docker-bake*.{hcl,json}" },
  { pattern: "**/action.{yml,yaml}" },
  { pattern: "**/.layerwise.yaml" },
];

let client: LanguageClient | undefined;

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  context.subscriptions.push(
    vscode.commands.registerCommand("layerwise.restart", restart),
    vscode.workspace.onDidChangeConfiguration(async (change) => {
      if (change.affectsConfiguration("layerwise.path")) {
        await restart();
      }
    }),
  );
  await start();
}

export async function deactivate(): Promise<void> {
  const stopped = client;
  client = undefined;
  // A server that never came up cannot be stopped.
  await stopped?.stop().catch(() => undefined);
}

async function restart(): Promise<void> {
  await deactivate();
  await start();
}

async function start(): Promise<void> {
  const settings = vscode.workspace.getConfiguration("layerwise");
  const program = settings.get("path", "layerwise");
  const server: ServerOptions = { command: program, args: ["server"] };
  const options: LanguageClientOptions = {
    documentSelector: DOCUMENTS,
    initializationOptions: settings,
    synchronize: { configurationSection: "layerwise" },
  };
  client = new LanguageClient("layerwise", "Layerwise", server, options);
  try {
    await client.start();
  } catch (error) {
    client = undefined;
    const answer = await vscode.window.showErrorMessage(`Layerwise: \`${program}\` cannot be started: ${String(error)}`, "Open Settings");
    if (answer) {
      await vscode.commands.executeCommand("workbench.action.openSettings", "layerwise.path");
    }
  }
}
