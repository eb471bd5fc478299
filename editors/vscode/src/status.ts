// What the server does, in the language status of the files that are its own.

import * as vscode from "vscode";
import { OURS } from "./documents";
import type { Server, State } from "./server";

/** Shows the state of a server until it is disposed of. */
export function showStatus(server: Server): vscode.Disposable {
  const item = vscode.languages.createLanguageStatusItem("layerwise", OURS);
  item.name = "Layerwise";
  const show = (state: State) => {
    item.busy = state.kind === "starting" || state.kind === "indexing";
    item.severity = state.kind === "broken" ? vscode.LanguageStatusSeverity.Error : vscode.LanguageStatusSeverity.Information;
    item.text = "program" in state ? `Layerwise ${state.program.version}` : "Layerwise";
    item.detail = state.kind === "broken" ? state.reason : state.kind;
    item.command =
      state.kind === "broken" ? { command: "layerwise.restart", title: "Restart Server" } : { command: "layerwise.showOutput", title: "Show Output" };
  };
  show(server.state);
  return vscode.Disposable.from(item, server.onDidChange(show));
}
