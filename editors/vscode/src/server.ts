// Runs one server: starts it, starts it again when it ends by itself, and gives up when that does
// not help.

import * as vscode from "vscode";
import { CloseAction, ErrorAction, LanguageClient, RevealOutputChannelOn, type LanguageClientOptions } from "vscode-languageclient/node";
import { OURS } from "./documents";
import { find, NoProgram, type Program } from "./program";

/** What the server does, for whoever shows it. */
export type State =
  | { readonly kind: "starting" | "stopped" }
  | { readonly kind: "indexing" | "ready"; readonly program: Program }
  | { readonly kind: "broken"; readonly reason: string };

/** Milliseconds before each new start after a crash. After one more crash it stays down. */
const DELAYS = [250, 1_000, 2_000, 4_000];

/** Crashes longer ago than this, in milliseconds, are not held against the server. */
const MEMORY = 180_000;

/** Writes what goes wrong to the output, and shows nothing: {@link Server} says it once, with a remedy. */
class QuietClient extends LanguageClient {
  override error(message: string, data?: unknown): void {
    super.error(message, data, false);
  }
}

/** The settings that the server knows: all but those that are for the extension alone. */
function settings(all: object | null): object | null {
  const known = Object.entries(all ?? {}).filter(([name, it]) => !["path", "trace"].includes(name) && typeof it !== "function");
  return all && Object.fromEntries(known);
}

export class Server implements vscode.Disposable {
  readonly #extension: vscode.Uri;
  readonly #output: vscode.LogOutputChannel;
  readonly #changed = new vscode.EventEmitter<State>();
  #state: State = { kind: "stopped" };
  #client: LanguageClient | undefined;
  #crashes: number[] = [];
  #timer: NodeJS.Timeout | undefined;
  /** Starts and stops come one after the other, however they are asked for. */
  #queue: Promise<void> = Promise.resolve();

  /** Tells of every new state. */
  readonly onDidChange = this.#changed.event;

  constructor(extension: vscode.Uri, output: vscode.LogOutputChannel) {
    this.#extension = extension;
    this.#output = output;
  }

  get state(): State {
    return this.#state;
  }

  /** The connection, while there is one. */
  get client(): LanguageClient | undefined {
    return this.#client;
  }

  /** Starts the server anew, whatever happened before. Ends when it answers, or was found not to. */
  restart(): Promise<void> {
    this.#crashes = [];
    return this.#enqueue(async () => {
      await this.#stop();
      await this.#start();
    });
  }

  stop(): Promise<void> {
    return this.#enqueue(() => this.#stop());
  }

  dispose(): void {
    this.#changed.dispose();
    clearTimeout(this.#timer);
  }

  #enqueue(task: () => Promise<void>): Promise<void> {
    this.#queue = this.#queue.then(task, task);
    return this.#queue;
  }

  #become(state: State): void {
    this.#state = state;
    this.#changed.fire(state);
  }

  async #stop(): Promise<void> {
    clearTimeout(this.#timer);
    const client = this.#client;
    this.#client = undefined;
    this.#become({ kind: "stopped" });
    // One that never came up, or is down, cannot be stopped.
    await client?.dispose().catch(() => undefined);
  }

  async #start(): Promise<void> {
    this.#become({ kind: "starting" });
    let program;
    try {
      program = await find(this.#extension);
    } catch (error) {
      if (!(error instanceof NoProgram)) {
        throw error;
      }
      this.#broken(error.message, "Open Settings");
      return;
    }
    this.#output.info(`starting ${program.path}, version ${program.version}`);
    const client = this.#connect(program);
    this.#client = client;
    try {
      await client.start();
    } catch (error) {
      this.#output.error(String(error));
      this.#ended(client);
      return;
    }
    if (this.#client === client) {
      this.#become({ kind: "ready", program });
    }
  }

  #connect(program: Program): LanguageClient {
    const options: LanguageClientOptions = {
      documentSelector: OURS,
      initializationOptions: settings(vscode.workspace.getConfiguration("layerwise")),
      outputChannel: this.#output,
      revealOutputChannelOn: RevealOutputChannelOn.Never,
      // What went wrong is said once, by this class.
      initializationFailedHandler: () => false,
      errorHandler: {
        error: () => ({ action: ErrorAction.Continue, handled: true }),
        closed: () => {
          this.#ended(client);
          return { action: CloseAction.DoNotRestart, handled: true };
        },
      },
      middleware: {
        workspace: {
          configuration: async (params, token, next) => {
            const values = await next(params, token);
            return Array.isArray(values) ? values.map(settings) : values;
          },
        },
        handleWorkDoneProgress: (token, progress, next) => {
          if (this.#client === client && progress.kind !== "report") {
            this.#become({ kind: progress.kind === "begin" ? "indexing" : "ready", program });
          }
          next(token, progress);
        },
      },
    };
    // Not in the folder of the workspace, for the reason that is given in `find`.
    const server = { command: program.path, args: ["server"], options: { cwd: this.#extension.fsPath } };
    const client = new QuietClient("layerwise", "Layerwise", server, options);
    return client;
  }

  /** After an end that nobody asked for. The connection and a failed start both tell of the same one. */
  #ended(client: LanguageClient): void {
    if (this.#client !== client) {
      return;
    }
    this.#client = undefined;
    const now = Date.now();
    this.#crashes = [...this.#crashes.filter((it) => now - it < MEMORY), now];
    const delay = DELAYS[this.#crashes.length - 1];
    if (delay === undefined) {
      this.#broken(`The server ended ${this.#crashes.length} times by itself, and is not started again.`, "Restart Server");
      return;
    }
    this.#output.warn(`the server ended by itself; it is started again in ${delay} ms`);
    this.#become({ kind: "starting" });
    this.#timer = setTimeout(() => void this.#enqueue(() => this.#startIfDown()), delay);
  }

  async #startIfDown(): Promise<void> {
    if (this.#client === undefined && this.#state.kind === "starting") {
      await this.#start();
    }
  }

  #broken(reason: string, remedy: "Open Settings" | "Restart Server"): void {
    this.#output.error(reason);
    this.#become({ kind: "broken", reason });
    // Not awaited: the message may stay for as long as the window.
    void vscode.window.showErrorMessage(`Layerwise: ${reason}`, remedy, "Show Output").then((answer) => {
      if (answer === "Open Settings") {
        // Where the program runs on another machine than the window, the setting is that machine's.
        const command = vscode.env.remoteName ? "workbench.action.openRemoteSettings" : "workbench.action.openSettings";
        void vscode.commands.executeCommand(command, { query: "layerwise.path" });
      } else if (answer === "Restart Server") {
        void this.restart();
      } else if (answer === "Show Output") {
        this.#output.show();
      }
    });
  }
}
