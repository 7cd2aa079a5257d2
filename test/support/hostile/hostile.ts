/**
 * The hostile corpus: files made to hang or to fill the memory of what reads them, as small functions that write them. Each case
 * is a command in a place where all is well but for what the case writes; it must be refused, with its sentence, at once.
 */
import { type ChildProcess, fork } from "node:child_process";
import { cpSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { memory } from "../memory.ts";
import { makeTinyModel, pairRows, writeRows } from "../tiny-model.ts";

/** One hostile input. */
export interface HostileCase {
  /** What it is: "tokenizer.json: a Split that backtracks". */
  name: string;
  /** Writes it into a place that has a good `model/`, `rows.jsonl` and `run.yaml`, which trains one step on them. */
  write: (dir: string) => void;
  /** Arguments of preftune. Default: `train DIR/run.yaml`. */
  command?: (dir: string) => string[];
  /** What the error says. Null: the input is large, not wrong, and the command ends well. */
  expects: RegExp | null;
  /** Large, not wrong: stopped by SIGINT after this many milliseconds, which it must do at once. */
  stopAfterMs?: number;
}

/** How a case ended. */
export interface Outcome {
  /** The error's message, "" when there was none, null when it had not ended after {@link hangMs}. */
  message: string | null;
  /** Class of the error; null without one. */
  error: string | null;
  /** Whether it is one of preftune's own, which say what to do, rather than a fault. */
  isOwn: boolean;
  /** Longest time without a word on stdout or stderr, and time in all, in milliseconds. */
  silentMs: number;
  totalMs: number;
  /** From SIGINT to the end of the process; null where none was sent. */
  stopMs: number | null;
  /** Peak of the process above what it had before, in bytes. */
  peakBytes: number;
  /** Bytes of the place's files: links and pipes count nothing. */
  fileBytes: number;
  /** Rows that it said to have read. */
  rows: number;
}

/** Bytes that a small row of data takes in memory with its tokens, at most: what was read of a good file is kept. */
const bytesOfRow = 1024;

/** After this long without a word a command is taken for one that never ends, and killed. */
const hangMs = 60_000;

/** The configuration of every case: one step on two rows. */
function runYaml(dir: string): string {
  return [
    `model_name_or_path: ${join(dir, "model")}`,
    `train_data: ${join(dir, "rows.jsonl")}`,
    `output_dir: ${join(dir, "out")}`,
    "per_device_train_batch_size: 2",
    "max_steps: 1",
    "max_length: 128",
    "device: cpu",
    "threads: 1",
    "",
  ].join("\n");
}

/** Runs cases one after the other in a child process, which is replaced after one that hung or died. */
export class HostileRunner implements Disposable {
  readonly #root = mkdtempSync(join(tmpdir(), "hostile-"));
  #child: ChildProcess | null = null;
  #count = 0;

  constructor() {
    this.#makePlace(join(this.#root, "good"), true);
  }

  #makePlace(dir: string, isFirst: boolean): void {
    mkdirSync(dir);
    if (isFirst) makeTinyModel(join(dir, "model"));
    else cpSync(join(this.#root, "good", "model"), join(dir, "model"), { recursive: true });
    writeRows(join(dir, "rows.jsonl"), pairRows(4));
    writeFileSync(join(dir, "run.yaml"), runYaml(dir));
  }

  /** Writes and runs one case. What it wrote is deleted. */
  async run({ write, command = trainCommand, stopAfterMs = hangMs }: HostileCase): Promise<Outcome> {
    const dir = join(this.#root, `${this.#count++}`);
    this.#makePlace(dir, false);
    try {
      write(dir);
      const fileBytes = bytesUnder(dir);
      const benign = join(this.#root, `benign-${this.#count}`);
      if (this.#child === null) {
        this.#makePlace(benign, false);
        await this.#order(trainCommand(benign));
      }
      return { ...(await this.#order(command(dir), stopAfterMs)), fileBytes };
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  }

  /** Has the child run a command; starts one that has seen the good place, so that all code is loaded. */
  async #order(args: readonly string[], stopAfterMs: number = hangMs): Promise<Omit<Outcome, "fileBytes">> {
    const child = this.#child ?? this.#start();
    const before = memory("VmRSS", child.pid);
    let [stopped, peakWhenStopped] = [0, 0];
    const began = performance.now();
    let last = began;
    let silentMs = 0;
    let rows = 0;
    const heard = (text: Buffer | string = ""): void => {
      silentMs = Math.max(silentMs, performance.now() - last);
      last = performance.now();
      rows = Math.max(rows, Number(/rows tokenised (\d+)/.exec(String(text))?.[1] ?? 0));
    };
    child.stdout?.on("data", heard);
    child.stderr?.on("data", heard);
    const answer = await new Promise<Partial<Outcome>>((resolve) => {
      const stop = (): void => {
        stopped = performance.now();
        peakWhenStopped = memory("VmHWM", child.pid) - before;
        child.kill(stopAfterMs < hangMs ? "SIGINT" : "SIGKILL");
      };
      let hung = setTimeout(stop, stopAfterMs);
      // What tells how far it is may take longer.
      const isTelling = (): void => {
        if (stopAfterMs < hangMs) return;
        clearTimeout(hung);
        hung = setTimeout(stop, hangMs);
      };
      child.stderr?.on("data", isTelling);
      const done = (value: Partial<Outcome>): void => {
        clearTimeout(hung);
        child.removeAllListeners("message").removeAllListeners("exit");
        resolve(value);
      };
      child.once("message", (value) => done(value as Partial<Outcome>));
      child.once("exit", (code, signal) => {
        this.#child = null;
        if (signal === "SIGKILL") done({ message: null });
        else if (stopped > 0 && signal === "SIGINT") done({ message: "", peakBytes: peakWhenStopped });
        else done({ message: `died: ${code ?? signal}`, error: "crash" });
      });
      child.send({ args });
    });
    const stopMs = stopped === 0 ? null : performance.now() - stopped;
    heard();
    child.stdout?.removeAllListeners("data").resume();
    child.stderr?.removeAllListeners("data").resume();
    const { message = null, error = null, isOwn = false, peakBytes = 0 } = answer;
    return { message, error, isOwn, peakBytes, silentMs, stopMs, rows, totalMs: performance.now() - began };
  }

  #start(): ChildProcess {
    const program = join(import.meta.dirname, "command-child.ts");
    // the first as in bin/become-node.mjs
    const flags = ["--max-semi-space-size=8", "--conditions=preftune-source", "--no-warnings"];
    const execArgv = [...flags, ...process.execArgv];
    this.#child = fork(program, { execArgv, silent: true });
    return this.#child;
  }

  [Symbol.dispose](): void {
    this.#child?.kill("SIGKILL");
    rmSync(this.#root, { recursive: true, force: true });
  }
}

function trainCommand(dir: string): string[] {
  return ["train", join(dir, "run.yaml")];
}

function bytesUnder(path: string): number {
  const stats = lstatSync(path);
  if (!stats.isDirectory()) return stats.isFile() ? stats.size : 0;
  return readdirSync(path).reduce((sum, name) => sum + bytesUnder(join(path, name)), 0);
}

/** What a case is held to: its sentence, an error of preftune's own, no silence above a second, and little memory. */
export function faultsOf({ expects }: HostileCase, outcome: Outcome): string[] {
  const { message, error, isOwn, silentMs, stopMs, peakBytes } = outcome;
  if (message === null) return [`did not end within ${hangMs / 1000} s`];
  const faults: string[] = [];
  if (expects === null ? error !== null : !expects.test(message))
    faults.push(`${error ?? "ended well"}: ${message.slice(0, 300)}`);
  if (error !== null && !isOwn) faults.push(`threw ${error}`);
  if (message.length > 3000) faults.push(`a message of ${message.length} characters`);
  if (stopMs !== null && stopMs > 1000) faults.push(`${(stopMs / 1000).toFixed(1)} s from SIGINT to its end`);
  if (silentMs > 1000) faults.push(`${(silentMs / 1000).toFixed(1)} s without a word`);
  if (bytesAbove(outcome) > 64 * 2 ** 20)
    faults.push(`${mebibytes(peakBytes)} MiB of memory for ${mebibytes(outcome.fileBytes)} MiB`);
  return faults;
}

/** Memory at the peak, less twice the files and what the rows take that were kept. */
export function bytesAbove({ peakBytes, fileBytes, rows }: Outcome): number {
  return peakBytes - 2 * fileBytes - rows * bytesOfRow;
}

/** A byte count in whole MiB. */
export function mebibytes(bytes: number): number {
  return Math.round(bytes / 2 ** 20);
}
