/**
 * `train --max-restarts N`: the trainer runs as a child. When it is killed, crashes or hangs, another is started that resumes from
 * the newest good checkpoint, after waits that double, N times at most. Signals are passed on and end the watch.
 */
import { type ChildProcess, fork } from "node:child_process";
import { messageOf } from "../base/errors.ts";
import { listenToStopSignals, statusAfter } from "../base/stop-signals.ts";
import { type ChildEnd, endInWords, oomKills, verdictOn } from "../process/child-end.ts";
import { type RestartPolicy, Restarts } from "../process/restarts.ts";
import { latestCheckpoint } from "../runs/checkpoints.ts";
import { addRestart, type RestartRecord } from "../runs/restart-log.ts";
import { isRun, runPaths } from "../runs/run-directory.ts";
import { type Heartbeat, supervisedVariable } from "./heartbeat.ts";

/** What is watched over. */
export interface SupervisorOptions {
  /** The program and its arguments; `resume` where it is to resume. */
  program: string;
  argv: (resume: boolean) => string[];
  outputDir: string;
  maxRestarts: number;
  /** Exit status of a trainer that was stopped as it was asked to. */
  stoppedStatus: number;
  /** Longest time without a sign of life once steps have begun; loading a model gives none, and has ten minutes at least. */
  heartbeatTimeoutMs: number;
  policy?: Partial<RestartPolicy>;
  /** Tells the user. */
  say: (line: string) => void;
}

/** How the watch ended. */
export interface SupervisorResult {
  /** Exit status for the command. */
  status: number;
  restarts: number;
}

/** Watches over a training until it is done, stopped, or given up. */
export async function superviseTraining(options: SupervisorOptions): Promise<SupervisorResult> {
  using stop = new StopRelay();
  const watch = new Watch(options);
  for (let restarts = 0; ; restarts++) {
    const trainer = new Trainer(options, restarts > 0 && watch.isOurs);
    stop.child = trainer.child;
    const end = await trainer.ended;
    stop.child = null;
    const wait = watch.after(trainer, end, { restarts, isStopped: stop.status !== null });
    if (wait === null) {
      await watch.report();
      return { status: statusOf(end), restarts };
    }
    await stop.unless(wait * 1000);
    if (stop.status === null) continue;
    await watch.report();
    return { status: stop.status, restarts };
  }
}

/** What a shell says of a process that ended so. */
function statusOf({ status, signal, notStarted }: ChildEnd): number {
  return notStarted !== undefined ? 1 : (status ?? statusAfter(signal ?? "SIGKILL"));
}

/** What is known of the trainers that have ended, and what follows from the next end. */
class Watch {
  readonly #options: SupervisorOptions;
  readonly #waits: Restarts;
  /** A run that was there before is resumed, and written to, only where the trainer itself got its lock. */
  readonly #wasThere: boolean;
  #hasBegun = false;
  /** A trainer that ends by itself has written the report; one that is killed, and why, is known here alone. */
  #hasReport = true;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    // how often it is tried is `maxRestarts` alone
    this.#waits = new Restarts({ ...options.policy, maxFailedStarts: Number.POSITIVE_INFINITY });
    this.#wasThere = isRun(options.outputDir);
  }

  get isOurs(): boolean {
    return isRun(this.#options.outputDir) && (this.#hasBegun || !this.#wasThere);
  }

  /** Writes the report of a run whose last trainer could not. */
  async report(): Promise<void> {
    if (this.#hasReport || !this.isOurs) return;
    try {
      const { writeReport } = await import("../report/run-report.ts");
      writeReport(this.#options.outputDir);
    } catch (error) {
      this.#options.say(`no report: ${messageOf(error)}`);
    }
  }

  /** Reports and records an end; returns the seconds until the next start, or null: there is none. */
  after(
    { beganAt, step }: Trainer,
    end: ChildEnd,
    { restarts, isStopped }: { restarts: number; isStopped: boolean },
  ): number | null {
    const { outputDir, maxRestarts, stoppedStatus, say } = this.#options;
    this.#hasBegun ||= beganAt !== null;
    const verdict = end.status === stoppedStatus ? "left" : verdictOn(end, this.#hasBegun);
    this.#hasReport = verdict === "left";
    if (verdict === "left" || isStopped) return null;
    const isLast = verdict === "lasting" || restarts === maxRestarts;
    const readyMs = beganAt === null ? null : performance.now() - beganAt;
    const wait = isLast ? null : (this.#waits.next(readyMs) ?? 0) / 1000;
    const ended: Ended = {
      cause: endInWords(end),
      status: end.status,
      signal: end.signal,
      step,
      checkpoint: latestCheckpoint(runPaths(outputDir).checkpoints).checkpoint?.step ?? null,
      restart: wait === null ? null : restarts + 1,
      max_restarts: maxRestarts,
      wait,
    };
    if (this.isOurs) keep(outputDir, ended, say);
    const isLasting = verdict === "lasting";
    say(isLasting ? `the trainer ${ended.cause}; a restart would not fix that` : endText(ended));
    return wait;
  }
}

/** The record of an end, for `restarts.jsonl` and as text. */
type Ended = Omit<RestartRecord, "time">;

/** Writes what happened into the run directory. A full disk must not end the watch that waits for space. */
function keep(dir: string, ended: Ended, say: (line: string) => void): void {
  try {
    addRestart(dir, { time: new Date().toISOString(), ...ended });
  } catch (error) {
    say(messageOf(error));
  }
}

function endText({ cause, step, checkpoint, restart, max_restarts: most, wait }: Ended): string {
  const at = step === null ? "before its first step" : `at step ${step}`;
  const from = checkpoint === null ? "from the beginning" : `from the checkpoint of step ${checkpoint}`;
  const times = most === 1 ? "once" : `${most} times`;
  const next =
    restart === null
      ? `started again ${times}, as --max-restarts allows: given up`
      : `restart ${restart} of ${most} in ${wait} s, ${from}`;
  return `the trainer ${cause}, ${at}; ${next}`;
}

/** bin/launched.mjs looks after a parent; the trainer's is this process, and it hears of its end by its channel. */
function namesLauncher(word: string | undefined): boolean {
  return /\/launched\.mjs\b/.test(word ?? "");
}

/** @throws {Error} of the system's, where it does so at once */
function forked(program: string, words: string[]): ChildProcess {
  return fork(program, words, {
    execArgv: process.execArgv.filter((_, i, all) => !namesLauncher(all[i]) && !namesLauncher(all[i + 1])),
    stdio: ["inherit", "inherit", "inherit", "ipc"],
    env: { ...process.env, [supervisedVariable]: "1" },
  });
}

/** What a start may take without a sign of life, at least. */
const startMs = 600_000;

/** One process that trains. */
class Trainer {
  /** Null: the system refused to start it. */
  readonly child: ChildProcess | null = null;
  readonly ended: Promise<ChildEnd>;
  /** When it last reported a step, by `performance.now`; null: not yet. */
  beganAt: number | null = null;
  step: number | null = null;
  #silentMs = 0;
  #hung: number | null = null;

  constructor({ program, argv, heartbeatTimeoutMs }: SupervisorOptions, resume: boolean) {
    const kills = oomKills();
    const words = argv(resume);
    try {
      this.child = forked(program, words);
      this.ended = this.#endOf(this.child, heartbeatTimeoutMs, kills);
    } catch (error) {
      // no memory for another process, arguments too long: of these there is no event
      const notStarted = messageOf(error);
      const how = { status: null, signal: null, silentSeconds: null, outOfMemory: false, notStarted };
      this.ended = Promise.resolve(how);
    }
  }

  #endOf(child: ChildProcess, heartbeatTimeoutMs: number, kills: number): Promise<ChildEnd> {
    child.on("message", (message) => this.#hear(message as Heartbeat));
    const timer = this.#watch(child, heartbeatTimeoutMs);
    return new Promise((resolve) => {
      const end = (how: Omit<ChildEnd, "silentSeconds" | "outOfMemory">): void => {
        clearInterval(timer);
        resolve({ silentSeconds: this.#hung, outOfMemory: oomKills() > kills, ...how });
      };
      // a child that was never there has no "exit"; of one that runs, it is a signal or message that failed
      child.on("error", ({ message }) => {
        if (child.pid === undefined) end({ status: null, signal: null, notStarted: message });
      });
      child.on("exit", (status, signal) => end({ status, signal }));
    });
  }

  #hear({ step }: Heartbeat): void {
    this.#silentMs = 0;
    if (step === null) return;
    this.step = step;
    this.beganAt ??= performance.now();
  }

  /** Counts short times, not the clock: while this process is itself stopped (Ctrl-Z, a laptop asleep) nobody is silent. */
  #watch(child: ChildProcess, timeoutMs: number): NodeJS.Timeout {
    const tick = Math.min(1000, timeoutMs / 10);
    return setInterval(() => {
      this.#silentMs += tick;
      const most = this.beganAt === null ? Math.max(timeoutMs, startMs) : timeoutMs;
      if (this.#silentMs < most || this.#hung !== null) return;
      this.#hung = most / 1000;
      child.kill("SIGKILL");
    }, tick);
  }
}

/** Passes signals on to the trainer, which ends by them; between two trainers they end the watch. */
class StopRelay implements Disposable {
  child: ChildProcess | null = null;
  /** Exit status of a program that the first signal ends; null: none came. */
  status: number | null = null;
  readonly #heard: PromiseWithResolvers<void> = Promise.withResolvers();
  readonly #listener = (signal: NodeJS.Signals): void => {
    // each: the trainer itself takes what a terminal sends to both for one
    this.child?.kill(signal);
    this.status ??= statusAfter(signal);
    this.#heard.resolve();
  };

  readonly #listening: Disposable = listenToStopSignals(this.#listener);

  /** Waits `ms`, or until a signal comes. */
  async unless(ms: number): Promise<void> {
    const timer = Promise.withResolvers<void>();
    const handle = setTimeout(timer.resolve, ms);
    await Promise.race([timer.promise, this.#heard.promise]);
    clearTimeout(handle);
  }

  [Symbol.dispose](): void {
    this.#listening[Symbol.dispose]();
  }
}
