// Starts the server and hands it the settings. What is found and repaired is the server's work.

import * as vscode from "vscode";
import { registerCommands } from "./commands";
import { Server } from "./server";
import { showStatus } from "./status";

let server: Server | undefined;

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const output = vscode.window.createOutputChannel("Layerwise", { log: true });
  const started = new Server(context.extensionUri, output);
  server = started;
  context.subscriptions.push(
    output,
    started,
    showStatus(started),
    registerCommands(context, started, output),
    vscode.workspace.onDidChangeConfiguration((change) => {
      if (change.affectsConfiguration("layerwise.path")) {
        void started.restart();
      }
    }),
  );
  await started.restart();
}

export async function deactivate(): Promise<void> {
  await server?.stop();
}
