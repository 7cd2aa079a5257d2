/**
 * What is to be trained: drafts that are being looked over, a queue, and what has been started. All of it is on disk, a folder each in
 * the dashboard's own; one run a device at a time, whoever started it. Runs are processes of their group and end with nothing of this.
 */
import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, realpathSync } from "node:fs";
import { basename, join } from "node:path";
import { z } from "zod";
import { FormatError, messageOf } from "../base/errors.ts";
import { appendBytes, ignoreErrors } from "../base/file-io.ts";
import { makeDirectory, readJsonFile, readTextFile, remove, writeFileAtomic } from "../base/files.ts";
import { readRange, statsOf } from "../base/open-file.ts";
import { runPaths } from "../runs/run-directory.ts";
import { lockHolder } from "../runs/run-lock.ts";
import { isAlive, type JobProcess, type ProcessId, startDetached } from "./job-process.ts";
import { PageError } from "./page-error.ts";
import { idOf } from "./run-store.ts";

/** One training that was asked for. */
export interface Job {
  id: string;
  name: string;
  /** A draft waits for a person, a queued one for its device. */
  state: "draft" | "queued" | "started" | "ended";
  isResume: boolean;
  device: string;
  outputDir: string;
  /** Arguments of the command. */
  argv: readonly string[];
  /** Where in the queue: the time at which it came in. */
  queuedAt: number;
  /** Null before the start, and in the moment of it. */
  process: ProcessId | null;
  /** Exit status; null while it runs, and of one that ended while no dashboard ran. */
  status: number | null;
}

const jobForm: z.ZodType<Job> = z.object({
  id: z.string(),
  name: z.string(),
  state: z.enum(["draft", "queued", "started", "ended"]),
  isResume: z.boolean(),
  device: z.string(),
  outputDir: z.string(),
  argv: z.array(z.string()),
  queuedAt: z.number(),
  process: z.object({ pid: z.int().positive(), started: z.string().nullable() }).nullable(),
  status: z.number().nullable(),
});

/** What a new job is made of. */
export type NewJob = Pick<Job, "name" | "isResume" | "device" | "outputDir"> & {
  /** Text of its configuration file. */
  yaml: string;
  /** Arguments of the command. @param config - path of that file */
  argv: (config: string) => readonly string[];
};

/** What jobs need to run. */
export interface JobsOptions {
  /** Folder that they are kept in. */
  dir: string;
  /** The program that trains, and its first arguments. */
  program: readonly string[];
  cwd: string;
  /** Devices of the runs that run now, by directory. */
  busy: () => Promise<ReadonlyMap<string, string>>;
  /** Called with jobs whose files are damaged; they are left out. */
  onFault: (error: unknown) => void;
  /** Another dashboard looks after them: nothing is written, and what it writes is read at each look. */
  isReadOnly?: boolean;
}

/** A job's folder holds its configuration, its output and what is known of it. */
const files = { job: "job.json", config: "config.yaml", output: "output.txt" } as const;

/** Characters of a job's output that are shown. */
const shownOutput = 8000;

/** Ms after which a draft that nobody started is thrown away. */
const draftMs = 86_400_000;

const cutShort =
  "The dashboard ended while it started this. If the list of runs has the run, it continues by itself; if not, start it again.\n";

/** The jobs of a dashboard. */
export class Jobs {
  readonly #options: JobsOptions;
  readonly #jobs: Map<string, Job> = new Map();
  /** Jobs whose process is a child of this one, which hears of its end with its status. */
  readonly #children: Set<string> = new Set();
  /** Jobs of which more has happened than is on disk. */
  readonly #unwritten: Set<string> = new Set();
  /** Jobs whose process is not on disk and whose run was seen to run. */
  readonly #found: Set<string> = new Set();
  #isStarting = false;

  constructor(options: JobsOptions) {
    this.#options = options;
    this.#read(options.onFault);
    if (options.isReadOnly !== true) this.#forgetDrafts();
  }

  get program(): readonly string[] {
    return this.#options.program;
  }

  get cwd(): string {
    return this.#options.cwd;
  }

  /** All but drafts, the first in the queue first. */
  list(): Job[] {
    this.#look();
    return [...this.#jobs.values()]
      .filter(({ state }) => state !== "draft")
      .sort((a, b) => a.queuedAt - b.queuedAt);
  }

  /** @throws {PageError} when there is none of this id */
  get(id: string): Job {
    this.#look();
    const job = this.#jobs.get(id);
    if (job === undefined) throw new PageError(404, "There is no such job: it was removed.");
    return job;
  }

  /** A new job that waits for a person. */
  draft({ yaml, argv, ...what }: NewJob): Job {
    const id = randomBytes(9).toString("base64url");
    makeDirectory(join(this.#options.dir, id));
    const config = join(this.#options.dir, id, files.config);
    writeFileAtomic(config, yaml);
    const job: Job = {
      ...{ id, ...what, state: "draft", queuedAt: Date.now(), process: null, status: null },
      argv: argv(config),
    };
    this.#keep(job);
    return job;
  }

  /** Puts a draft at the end of the queue. @throws {PageError} when it, or another one for its folder, is in it already */
  async queue(id: string): Promise<Job> {
    const job = this.get(id);
    if (job.state !== "draft") throw new PageError(409, "It is in the queue already.");
    // a run that has stopped may be resumed while its process is still ending: the job waits for that
    const others = job.isResume ? ["queued"] : ["queued", "started"];
    const other = this.list().find((one) => one.outputDir === job.outputDir && others.includes(one.state));
    if (other !== undefined) throw new PageError(409, `${basename(job.outputDir)} is in the queue already.`);
    this.#keep({ ...job, state: "queued", queuedAt: Date.now() });
    await this.startNext();
    return this.get(id);
  }

  /** Takes a job out of the list. @throws {PageError} while it runs */
  remove(id: string): void {
    if (this.get(id).state === "started") throw new PageError(409, "It runs: stop the run first.");
    remove(join(this.#options.dir, id));
    this.#jobs.delete(id);
    this.#unwritten.delete(id);
  }

  /** The end of what a job has written, and its configuration. */
  texts(id: string): { output: string; yaml: string } {
    const folder = join(this.#options.dir, this.get(id).id);
    const output = join(folder, files.output);
    return {
      output: endOf(output),
      yaml: readTextFile(join(folder, files.config)),
    };
  }

  /** Path of a job's configuration file. */
  configOf(id: string): string {
    return join(this.#options.dir, this.get(id).id, files.config);
  }

  /** Starts what is first in the queue on each device that is free. */
  async startNext(): Promise<void> {
    this.#look();
    const isWaiting = [...this.#jobs.values()].some(({ state }) => state === "queued");
    if (this.#isStarting || !isWaiting) return;
    this.#isStarting = true;
    try {
      const busy = new Map(await this.#options.busy());
      for (const job of this.list()) if (job.state === "started") busy.set(real(job.outputDir), job.device);
      for (const job of this.list().filter(({ state }) => state === "queued")) {
        const isTaken = [...busy.values()].some((device) => mayBeSame(device, job.device));
        // what comes later does not overtake one that waits for the same device
        if (!isTaken) this.#start(job);
        busy.set(real(job.outputDir), job.device);
      }
    } finally {
      this.#isStarting = false;
    }
  }

  #start(job: Job): void {
    const { program, cwd, dir } = this.#options;
    const output = join(dir, job.id, files.output);
    const end = (status: number | null): void => {
      this.#children.delete(job.id);
      const now = this.#jobs.get(job.id);
      if (now !== undefined) this.#note({ ...now, state: "ended", status });
    };
    // said before it is done: a dashboard that is killed in between starts nothing twice
    this.#keep({ ...job, state: "started" });
    const started = startedOr({ program, argv: job.argv, cwd, output }, end);
    if (typeof started === "string") {
      ignoreErrors(() => writeFileAtomic(output, `${started}\n`));
      this.#note({ ...job, state: "ended" });
      return;
    }
    this.#children.add(job.id);
    this.#note({ ...job, state: "started", process: started });
  }

  /** What is on disk, where another dashboard writes it; what is not there yet; then the ends of jobs whose processes are gone. */
  #look(): void {
    if (this.#options.isReadOnly === true) this.#read(() => {});
    for (const id of [...this.#unwritten]) {
      const job = this.#jobs.get(id);
      if (job !== undefined) this.#note(job);
    }
    for (const job of this.#jobs.values()) {
      if (job.state !== "started" || this.#children.has(job.id)) continue;
      if (this.#runs(job)) continue;
      if (job.process === null && !this.#found.has(job.id)) this.#explain(job);
      this.#note({ ...job, state: "ended" });
    }
  }

  /** Whether a job's process runs; where nobody could write down which it is, the lock of its run says so. */
  #runs({ id, process, outputDir }: Job): boolean {
    if (process !== null) return isAlive(process);
    const isHeld = lockHolder(runPaths(outputDir).lock)?.state === "running";
    if (isHeld) this.#found.add(id);
    return isHeld;
  }

  #explain({ id }: Job): void {
    const output = join(this.#options.dir, id, files.output);
    if (this.#options.isReadOnly === true) return;
    ignoreErrors(() => appendBytes(output, Buffer.from(cutShort)));
  }

  #read(onFault: (error: unknown) => void): void {
    const { dir } = this.#options;
    this.#jobs.clear();
    for (const id of existsSync(dir) ? readdirSync(dir) : []) {
      const path = join(dir, id, files.job);
      try {
        if (existsSync(path)) this.#jobs.set(id, { ...readJob(path), id });
      } catch (error) {
        onFault(error);
      }
    }
  }

  /** What was looked over and not started is of no use after a day. */
  #forgetDrafts(): void {
    for (const { id, state, queuedAt } of this.#jobs.values()) {
      if (state === "draft" && Date.now() - queuedAt > draftMs) this.remove(id);
    }
  }

  /** What somebody has said of a job: where it cannot be written, it was not said. */
  #keep(job: Job): void {
    if (this.#options.isReadOnly !== true) this.#write(job);
    this.#jobs.set(job.id, job);
  }

  /** What has happened to a job, whether it can be written or not: then it is written as soon as there is room. */
  #note(job: Job): void {
    this.#jobs.set(job.id, job);
    if (this.#options.isReadOnly === true || ignoreErrors(() => this.#write(job))) return;
    this.#unwritten.add(job.id);
  }

  #write(job: Job): void {
    writeFileAtomic(join(this.#options.dir, job.id, files.job), `${JSON.stringify(job, null, 2)}\n`);
    this.#unwritten.delete(job.id);
  }
}

/** The process that was started, or why it was not. */
function startedOr(job: JobProcess, end: (status: number | null) => void): ProcessId | string {
  try {
    const started = startDetached(job, end);
    return started ?? `${job.program[0] ?? ""}: there is no such program, or it may not be run`;
  } catch (error) {
    return messageOf(error);
  }
}

function readJob(path: string): Job {
  const read = jobForm.safeParse(readJsonFile(path));
  if (read.success) return read.data;
  throw new FormatError(
    `${path}: expected what a dashboard wrote of a job, got something else (${z.prettifyError(read.error)}). Its run is not touched; remove the folder to be rid of the job.`,
  );
}

/** The last characters of a file that are shown, of which each has four bytes at most. */
function endOf(path: string): string {
  const size = statsOf(path)?.size ?? 0;
  return size === 0
    ? ""
    : readRange(path, Math.max(0, size - 4 * shownOutput), size)
        .toString("utf8")
        .slice(-shownOutput);
}

/** Whether two runs could be on one device: "auto" may be any, and "cuda" any of its devices. */
function mayBeSame(a: string, b: string): boolean {
  return a === b || [a, b].includes("auto") || (isCuda(a) && isCuda(b) && [a, b].includes("cuda"));
}

function isCuda(device: string): boolean {
  return device.startsWith("cuda");
}

/** The id that the run of a job has in the list, once its folder is there; null before. */
export function runOf({ outputDir }: Job): string | null {
  return existsSync(outputDir) ? idOf(real(outputDir)) : null;
}

function real(dir: string): string {
  return existsSync(dir) ? realpathSync(dir) : dir;
}
