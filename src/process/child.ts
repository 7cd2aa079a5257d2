/** Child processes of ours: started, heard until they end or are killed, and never left behind. */
import { type ChildProcess, type ForkOptions, fork } from "node:child_process";
import { Socket } from "node:net";
import { extname, join } from "node:path";

/** Characters of a child's standard error that are kept. */
const keptCharacters = 4000;

/** Listeners of a child's messages. */
export interface ChildListener {
  onMessage?: (message: unknown) => void;
  /** What it writes to standard error, where that is a pipe. */
  onStderr?: (text: string) => void;
  /**
   * It has ended, or could not be started. Not called after {@link Child.kill}.
   *
   * @param how - the end of a sentence: "with status 3", "by SIGKILL"
   */
  onEnd: (how: string) => void;
}

/** Children that run: they end with this process, at once, when it leaves them. */
const running = new Set<ChildProcess>();
const killAll = (): void => {
  for (const child of running) child.kill("SIGKILL");
};

/** A process that is heard until it ends or is killed. */
export class Child {
  readonly process: ChildProcess;
  /** The last 4000 characters that it wrote to standard error, where that is a pipe. */
  written = "";
  #isHeard = true;

  constructor(child: ChildProcess, { onMessage, onStderr, onEnd }: ChildListener) {
    this.process = child;
    if (running.size === 0) process.on("exit", killAll);
    running.add(child);
    const end = (how: string): void => {
      running.delete(child);
      if (running.size === 0) process.off("exit", killAll);
      const wasHeard = this.#isHeard;
      this.#isHeard = false;
      if (wasHeard) onEnd(how);
    };
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      if (!this.#isHeard) return;
      onStderr?.(text);
      this.written = (this.written + text).slice(-keptCharacters);
    });
    child.on("message", (message) => {
      if (this.#isHeard) onMessage?.(message);
    });
    child.on("error", (error) => end(`before it began: ${error.message}`));
    child.on("close", (status, signal) => end(signal === null ? `with status ${status}` : `by ${signal}`));
  }

  /** Sends a message. A process that is gone says so by its end. */
  send(message: object | string): void {
    void this.sendWhole(message);
  }

  /** The same; resolves when the message is on its way, or the process is gone: until then a computation here would hold it up. */
  sendWhole(message: object | string): Promise<void> {
    return new Promise((resolve) => {
      if (this.process.connected) this.process.send(message, () => resolve());
      else resolve();
    });
  }

  /** Whether this process stays alive for its sake; it does from the start. */
  holdEventLoop(isHeld: boolean): void {
    const { process: child } = this;
    for (const handle of [child, child.channel, child.stdin, child.stdout, child.stderr]) {
      if (handle === child || handle === child.channel || handle instanceof Socket) {
        if (isHeld) handle?.ref();
        else handle?.unref();
      }
    }
  }

  /** Kills the process, of which nothing more is heard. Resolves when it is gone. */
  async kill(): Promise<void> {
    this.#isHeard = false;
    const { exitCode, signalCode } = this.process;
    if (exitCode !== null || signalCode !== null) return;
    const ended = new Promise((resolve) => this.process.once("close", resolve));
    // its streams too: they may close after it has ended
    this.holdEventLoop(true);
    this.process.kill("SIGKILL");
    await ended;
  }
}

/** Starts a Node program of ours, with a channel for all that `structuredClone` takes. */
export function forkChild(program: string, listener: ChildListener, options: ForkOptions = {}): Child {
  // torch and addon are found by now, and named in the environment; packages are found as this process finds them
  const execArgv = process.execArgv.filter((flag) => /^--(conditions|max-semi-space-size)=/.test(flag));
  return new Child(fork(program, [], { execArgv, serialization: "advanced", ...options }), listener);
}

/** Path of the program `name` beside the module of `meta`: it has the module's extension, built or not. */
export function programBeside({ dirname, filename }: ImportMeta, name: string): string {
  return join(dirname, `${name}${extname(filename)}`);
}
