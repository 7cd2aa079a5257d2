/** Trainings that are asked to stop by signals: with and without a terminal, under a launcher that stays or that is replaced. */
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { latestCheckpoint, listCheckpoints } from "../../src/runs/checkpoints.ts";
import { readMetrics } from "../../src/runs/metrics.ts";
import { endWithFile } from "./command.ts";
import { logOf, type RunFixture } from "./runs.ts";

const root = join(import.meta.dirname, "../..");
/** Long enough for any machine: no test waits so long unless it fails. */
const patienceMs = 120_000;

/** A way to start `preftune`. */
export interface Way {
  /** For people, e.g. "Node 20, on a terminal". */
  name: string;
  /** Program and arguments before those of `preftune`. */
  command: readonly string[];
  onTerminal: boolean;
}

/**
 * The launcher under a Node that cannot become another program, which stays as the trainer's parent: Node 20 from the path,
 * or this Node without the call.
 */
export function stayingLauncher(): { name: string; command: string[] } {
  const script = join(root, "bin/preftune.mjs");
  for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
    const node = join(folder, "node");
    if (!existsSync(node)) continue;
    const version = execFileSync(node, ["--version"], { encoding: "utf8", env: plainEnvironment() }).trim();
    if (version.startsWith("v20.")) return { name: "Node 20", command: [node, script] };
  }
  const without = "data:text/javascript,process.execve=undefined";
  return { name: "Node 24 as Node 20", command: [process.execPath, "--import", without, script] };
}

/** The launcher that becomes the trainer. */
export const becomingLauncher: { name: string; command: string[] } = {
  name: "Node 24",
  command: [process.execPath, join(root, "bin/preftune.mjs")],
};

/** Why no terminal can be had here; null: it can. */
export function noTerminal(): string | null {
  try {
    const version = execFileSync("script", ["--version"], { encoding: "utf8" });
    return version.includes("util-linux") ? null : "`script` is not util-linux's";
  } catch {
    return "there is no `script` (util-linux) to make a terminal with";
  }
}

function plainEnvironment(): NodeJS.ProcessEnv {
  const { NODE_OPTIONS: _, PREFTUNE_CALLED_AS: __, NODE_TEST_CONTEXT: ___, ...env } = process.env;
  return { ...env, NO_COLOR: "1" };
}

/** How the launcher ended, as its parent saw it. */
export interface HowEnded {
  status: number | null;
  signal: NodeJS.Signals | null;
}

/** A training under way. */
export class Training {
  readonly dir: string;
  readonly ended: Promise<HowEnded>;
  /** All that was written to standard output and error, or to the terminal. */
  output = "";
  readonly #child: ChildProcess;
  readonly #way: Way;
  readonly #file: string;

  /** Starts `preftune train` in a separate run directory. */
  constructor(fixture: RunFixture, way: Way, { yaml, name, more = [] }: RunNames) {
    this.#way = way;
    this.dir = fixture.path(name);
    this.#file = fixture.path(`${name}.ended`);
    const words = [...way.command, "train", yaml, "--output_dir", this.dir, ...more];
    const env = plainEnvironment();
    const child = way.onTerminal ? this.#onTerminal(words, env) : this.#onPipes(words, env);
    this.#child = endWithFile(child, !way.onTerminal);
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.setEncoding("utf8").on("data", (text: string) => {
        this.output += text;
      });
    const closed = new Promise<HowEnded>((resolve) => {
      this.#child.on("close", (status, signal) => resolve({ status, signal }));
    });
    this.ended = way.onTerminal ? this.#toldByShell(closed) : closed;
  }

  #onPipes([program = "", ...args]: string[], env: NodeJS.ProcessEnv): ChildProcess {
    return spawn(program, args, { cwd: root, env, detached: true, stdio: ["ignore", "pipe", "pipe"] });
  }

  #onTerminal(words: string[], env: NodeJS.ProcessEnv): ChildProcess {
    const shell = [process.execPath, join(import.meta.dirname, "terminal-shell.ts"), this.#file, ...words];
    const line = `exec ${shell.map((word) => `'${word}'`).join(" ")}`;
    // `script` takes its own input for the keyboard: what is written there has been typed
    return spawn("script", ["-qfec", line, "/dev/null"], { cwd: root, env, stdio: ["pipe", "pipe", "pipe"] });
  }

  async #toldByShell(closed: Promise<unknown>): Promise<HowEnded> {
    await until(() => existsSync(this.#file), "the terminal's shell to tell how its job ended");
    // what the terminal has shown comes through `script`, which may lag behind the shell's file
    await closed;
    return JSON.parse(readFileSync(this.#file, "utf8")) as HowEnded;
  }

  /** Waits until `count` steps are done. */
  async reaches(count: number): Promise<void> {
    const metrics = join(this.dir, "metrics.jsonl");
    // the first lines are of a few hundred bytes: nothing is parsed before there can be enough of them
    const isThere = () => existsSync(metrics) && statSync(metrics).size > 0 && lines(metrics) >= count;
    await Promise.race([until(isThere, `step ${count}`), this.ended.then(() => {})]);
    assert.ok(isThere(), `ended before step ${count}: ${this.output}`);
  }

  get launcherPid(): number {
    if (!this.#way.onTerminal) return this.#child.pid as number;
    return JSON.parse(readFileSync(`${this.#file}.pid`, "utf8")) as number;
  }

  /** The process that trains, and holds the lock. */
  get trainerPid(): number {
    return (JSON.parse(readFileSync(join(this.dir, "run.lock"), "utf8")) as { pid: number }).pid;
  }

  /** Sends `signal` to process `pid`, or to the whole group where it is null: on a terminal as the terminal does. */
  send(signal: NodeJS.Signals, pid: number | null): void {
    if (pid !== null) kill(pid, signal);
    else if (!this.#way.onTerminal) kill(-(this.#child.pid as number), signal);
    else if (signal === "SIGINT") this.#child.stdin?.write("\u0003");
    else if (signal === "SIGHUP") this.#child.kill("SIGKILL");
    else {
      // a training that the first signal has ended gets no second
      const group = groupOf(this.launcherPid);
      if (group !== null) kill(-group, signal);
    }
  }

  /** Waits until `text` has been written. */
  async says(text: string): Promise<void> {
    await until(() => this.output.includes(text), `"${text}"`);
  }

  /** Closes the reading ends of what it writes to. */
  loseOutput(): void {
    this.#child.stdout?.destroy();
    this.#child.stderr?.destroy();
  }

  /** The last step in the run's metrics. */
  lastStep(): number {
    return Number(readMetrics(join(this.dir, "metrics.jsonl")).at(-1)?.["global_step"]);
  }
}

interface RunNames {
  yaml: string;
  /** The run's directory in the fixture. */
  name: string;
  /** Further words of the command. */
  more?: readonly string[];
}

/**
 * Waits until a training has ended and asserts that it stopped as it should: status 0, the lock free, a checkpoint of the
 * step it had reached and no other, announced at once. Gives the hint that resumes, null where nothing could be read.
 */
export async function stoppedWell(
  training: Training,
  what: string,
  status: number = 0,
): Promise<string | null> {
  const how = await training.ended;
  const said = `${what}: ${JSON.stringify(how)}\n${training.output.slice(-2000)}`;
  assert.deepEqual(how, { status, signal: null }, said);
  return leftWell(training, said);
}

/** The same for a training whose end its parent does not see. */
export function leftWell(training: Training, said: string): string | null {
  const checkpoints = join(training.dir, "checkpoints");
  assert.equal(existsSync(join(training.dir, "run.lock")), false, `the lock is left: ${said}`);
  const [checkpoint, ...others] = listCheckpoints(checkpoints);
  assert.equal(checkpoint?.step, training.lastStep(), `the step it had reached: ${said}`);
  assert.equal(others.length, 0, said);
  assert.equal(latestCheckpoint(checkpoints).rejected.length, 0, said);
  assert.equal(logOf(training.dir).at(-1)?.["event"], "stopped", said);
  const [, hint] = /resume with:\r?\n {2}(.*?)\r?\n/.exec(training.output) ?? [];
  if (hint === undefined) return null;
  const [, reported] = /stopping after step (\d+); again to leave at once/.exec(training.output) ?? [];
  if (reported !== undefined || !isFlushed(training.output))
    assert.equal(Number(reported), checkpoint?.step, `announced at once: ${said}`);
  assert.match(hint, / --resume\b/);
  return hint;
}

/** Whether Ctrl-C was typed again: a terminal then throws away what was written and has not been read (termios: NOFLSH). */
export function isFlushed(output: string): boolean {
  return /\^C[\s\S]*\^C/.test(output);
}

function lines(path: string): number {
  return readFileSync(path, "utf8").split("\n").length - 1;
}

/** Whether the process was there. */
function kill(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}

/** Whether process group `id` has no process any more. */
export function isGroupGone(id: number): boolean {
  return !kill(-id, 0);
}

/** The process group of `pid`: field 5 of `/proc/PID/stat`; null where the process has ended. */
function groupOf(pid: number): number | null {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return null;
  }
  return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[2]);
}

/** Waits until `isSo`. */
export async function until(isSo: () => boolean, what: string): Promise<void> {
  const end = performance.now() + patienceMs;
  while (!isSo()) {
    assert.ok(performance.now() < end, `waited in vain for ${what}`);
    await wait(5);
  }
}

/** Writes the configuration of a run that would never end, in steps of a few milliseconds. */
export function endlessRun(fixture: RunFixture, keys: Record<string, unknown> = {}): string {
  const values = {
    ...fixture.values,
    max_steps: 1_000_000,
    num_train_epochs: 1_000_000,
    lr_scheduler_type: "constant",
    logging_steps: 1,
    save_strategy: "no",
    use_peft: true,
    lora_r: 2,
    export_merged: false,
    per_device_train_batch_size: 1,
    gradient_accumulation_steps: 1,
    ...keys,
  };
  const path = fixture.path("endless.yaml");
  writeFileSync(path, JSON.stringify(values));
  return path;
}
