// Finds the program to start, and asks it for its version before anything depends on it.

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import * as vscode from "vscode";

/** A program that answered. */
export interface Program {
  readonly path: string;
  readonly version: string;
}

/** Why there is no program to start, in words for the user. */
export class NoProgram extends Error {}

/** How long a program may take to tell its version, in milliseconds; a cold disk is slow. */
const PATIENCE = 20_000;

/**
 * The program of the setting, else the one that came with the extension, else one on the `PATH`.
 *
 * @throws NoProgram if it cannot be run, or is something else.
 */
export async function find(extension: vscode.Uri): Promise<Program> {
  const setting = vscode.workspace.getConfiguration("layerwise").get("path", "").trim();
  const path = setting || packaged(extension) || "layerwise";
  return { path, version: await versionOf(path, extension.fsPath, setting !== "") };
}

function packaged(extension: vscode.Uri): string | undefined {
  const path = join(extension.fsPath, "bin", process.platform === "win32" ? "layerwise.exe" : "layerwise");
  return existsSync(path) ? path : undefined;
}

function versionOf(path: string, folder: string, chosen: boolean): Promise<string> {
  const origin = chosen ? "the setting `layerwise.path`" : "this extension";
  return new Promise((resolve, reject) => {
    // Not in the folder of the workspace: Windows looks for programs there before the `PATH`.
    execFile(path, ["--version"], { cwd: folder, timeout: PATIENCE, windowsHide: true }, (error, output) => {
      const version = /^layerwise (\S+)/.exec(output)?.[1];
      if (!error && version) {
        resolve(version);
      } else if (error?.code === "ENOENT") {
        const place = /[\\/]/.test(path) ? "does not exist" : "is not on the PATH";
        reject(new NoProgram(`\`${path}\` ${place}${chosen ? "; the setting `layerwise.path` names it" : ""}.`));
      } else if (error?.code === "EACCES") {
        reject(new NoProgram(`\`${path}\`, named by ${origin}, may not be executed.`));
      } else {
        reject(new NoProgram(`\`${path}\`, named by ${origin}, does not answer as Layerwise does${error ? `: ${error.message.trim()}` : "."}`));
      }
    });
  });
}
