/** Keeps the sampling process of a run going: hands tasks to it, starts another when it dies, and ends it with the run. */
import { type Child, forkChild } from "../process/child.ts";
import { ChildFailure } from "../process/failure.ts";
import { type RestartPolicy, Restarts } from "../process/restarts.ts";
import type { NextOptions } from "../train/step-source.ts";
import type { SamplerCommand, SamplerMessage, SamplerSettings, SamplerTask } from "./sampler-messages.ts";

/** What is run. */
export interface SamplerProcessOptions {
  /** Program that calls `hostSampler`. */
  program: string;
  settings: SamplerSettings;
  /** A process that ends before it has done a task counts as one that did not start. */
  policy?: Partial<RestartPolicy>;
}

type WorkListener = NonNullable<NextOptions["onWork"]>;

/** A task under way. */
export interface SamplerJob<R> {
  /** Resolves when all of the task is on its way: what computes before that holds the process up. */
  sent: Promise<void>;
  /** Rejected with a {@link ChildFailure} if the task fails, or no process can be kept going. */
  result: Promise<R>;
  /** How far the task is; null: not begun. */
  work: Parameters<WorkListener> | null;
  /** Called with the same as it changes. */
  onWork: WorkListener;
}

type AnyJob = SamplerJob<unknown> & { task: SamplerTask } & Omit<PromiseWithResolvers<unknown>, "promise">;

/** One process at a time. Tasks are done in the order in which they come; those of a process that died are given to the next. */
export class SamplerProcess implements AsyncDisposable {
  readonly #options: SamplerProcessOptions;
  readonly #restarts: Restarts;
  readonly #jobs: Map<number, AnyJob> = new Map();
  readonly #notes: string[] = [];
  #child: Child | null = null;
  #timer: NodeJS.Timeout | null = null;
  #startedAt = 0;
  #hasDone = false;
  #nextId = 0;
  #failure: ChildFailure | null = null;
  /** Resolved when the process has ended that was asked to. */
  #ended: PromiseWithResolvers<void> | null = null;

  /** Starts a process. */
  constructor(options: SamplerProcessOptions) {
    this.#options = options;
    this.#restarts = new Restarts(options.policy);
    this.#start();
  }

  /** Id of the process; null between two. */
  get pid(): number | null {
    return this.#child?.process.pid ?? null;
  }

  /** What is to be reported since the last call. */
  takeNotes(): string[] {
    return this.#notes.splice(0);
  }

  /** Gives the process a task. */
  ask<R>(task: SamplerTask): SamplerJob<R> {
    const id = this.#nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    // whoever waits for it hears of a failure; before that nobody does
    promise.catch(() => {});
    const job: AnyJob = {
      ...{ task, result: promise, resolve, reject, work: null, onWork: () => {} },
      sent: Promise.resolve(),
    };
    if (this.#failure !== null) reject(this.#failure);
    else {
      this.#jobs.set(id, job);
      const command: SamplerCommand = { type: "task", id, task };
      if (this.#child !== null) job.sent = this.#child.sendWhole(command);
    }
    return job as SamplerJob<R>;
  }

  /** Ends the process. Judgments under way are waited for: they are paid. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    const child = this.#child;
    if (child === null) return;
    this.#ended = Promise.withResolvers();
    child.send({ type: "stop" } satisfies SamplerCommand);
    await this.#ended.promise;
  }

  #start(): void {
    const { program, settings } = this.#options;
    this.#startedAt = performance.now();
    this.#hasDone = false;
    const child = forkChild(
      program,
      {
        onMessage: (message) => this.#hear(message as SamplerMessage),
        onStderr: (text) => void process.stderr.write(text),
        onEnd: (how) => this.#lose(how),
      },
      { stdio: ["ignore", "ignore", "pipe", "ipc"] },
    );
    this.#child = child;
    const send = (command: SamplerCommand): void => child.send(command);
    send({ type: "start", settings });
    for (const [id, { task }] of this.#jobs) send({ type: "task", id, task });
  }

  #hear(message: SamplerMessage): void {
    if (message.type === "failed") {
      const { name, message: text, exitCode } = message.failure;
      const failure = new ChildFailure(text, exitCode, name);
      if (message.id === null) this.#giveUp(failure);
      else this.#take(message.id)?.reject(failure);
    } else if (message.type === "work") {
      const job = this.#jobs.get(message.id);
      if (job === undefined) return;
      job.work = [message.at, message.done, message.total];
      job.onWork(...job.work);
    } else this.#take(message.id)?.resolve(message.result);
  }

  #take(id: number): AnyJob | undefined {
    const job = this.#jobs.get(id);
    this.#jobs.delete(id);
    this.#hasDone = true;
    return job;
  }

  /** The process is gone. */
  #lose(how: string): void {
    this.#child = null;
    if (this.#ended !== null) {
      this.#ended.resolve();
      return;
    }
    if (this.#failure !== null) return;
    const waitMs = this.#restarts.next(this.#hasDone ? performance.now() - this.#startedAt : null);
    if (waitMs === null) {
      this.#giveUp(
        new ChildFailure(
          `the sampling process ended ${how}, ${this.#restarts.failedStarts} times in a row without finishing a rollout. It needs ` +
            "memory beside the run's: docs/online.md says how much. Set max_staleness: 0 to sample in the run's own process.",
          1,
        ),
      );
      return;
    }
    this.#notes.push(`the sampling process ended ${how}: another was started, which samples the same again`);
    this.#timer = setTimeout(() => this.#start(), waitMs);
  }

  #giveUp(failure: ChildFailure): void {
    this.#failure = failure;
    for (const { reject } of this.#jobs.values()) reject(failure);
    this.#jobs.clear();
  }
}
