/**
 * Keeps an engine process running: starts it, passes requests and events through, and starts another when it ends
 * unexpectedly or falls silent. Running requests of a process that ends get an error and are never repeated.
 */

import type { Stage } from "../base/stages.ts";
import type { GenerateRequest } from "../generate/request.ts";
import { type Child, forkChild } from "../process/child.ts";
import { ChildFailure, type Failure } from "../process/failure.ts";
import { type RestartPolicy, Restarts } from "../process/restarts.ts";
import type {
  EngineCommand,
  EngineMessage,
  EngineReport,
  EngineSettings,
  SubmissionEvent,
} from "./engine-messages.ts";

/** What the process is doing. `waiting`: to be started again; `failed`: given up. */
export type EngineState = "starting" | "ready" | "waiting" | "failed" | "stopped";

/** What happened to the process, for the log. */
export type EngineNews =
  | {
      type: "ready";
      pid: number;
      device: string;
      dtype: string;
      startMs: number;
      /** What was done until now, the engine's process included; of the first start from the server's on. */
      stages: readonly Stage[];
    }
  | { type: "crashed"; reason: string; lostRequests: number; restartInMs: number };

/** What is to be run. */
export interface EngineProcessOptions {
  /** Path of the program that hosts the engine. */
  program: string;
  settings: EngineSettings;
  policy?: Partial<RestartPolicy>;
  /** Silence of a process with requests under way, after which it is ended; 0: it may be silent for ever. A pass says nothing. */
  stallMs: number;
  onNews?: (news: EngineNews) => void;
  /** What the process writes to standard error; default: to that of this process. */
  onComplaint?: (text: string) => void;
}

/** Exit status of a server whose engine cannot be started, or not again, without saying why itself. */
const engineLostStatus = 7;

/** What routes and metrics see of an engine process. */
export type EngineView = Pick<
  EngineProcess,
  "submit" | "state" | "whyNot" | "restarts" | "lastFailureAt" | "report"
>;

type Listener = (event: SubmissionEvent) => void;

/** One engine process at a time, and what is under way in it. */
export class EngineProcess {
  /** Called when a process is ready for the first time, before the news of it. */
  onFirstReady: () => void = () => {};
  readonly #options: EngineProcessOptions;
  readonly #restartsBy: Restarts;
  readonly #requests: Map<string, Listener> = new Map();
  readonly #gaveUp: PromiseWithResolvers<ChildFailure> = Promise.withResolvers();
  #child: Child | null = null;
  #state: EngineState = "starting";
  #timer: NodeJS.Timeout | null = null;
  #startedAt = 0;
  /** null: the process at hand is not ready yet. */
  #readyAt: number | null = null;
  #wasEverReady = false;
  #restarts = 0;
  #lastFailure: { at: Date; reason: string } | null = null;
  #lastError: Failure | null = null;
  #report: EngineReport | null = null;
  #nextId = 0;

  constructor(options: EngineProcessOptions) {
    this.#options = options;
    this.#restartsBy = new Restarts(options.policy);
  }

  /** Resolves when starting it has been given up. */
  get gaveUp(): Promise<ChildFailure> {
    return this.#gaveUp.promise;
  }

  get state(): EngineState {
    return this.#state;
  }

  /** Times another process had to be started. */
  get restarts(): number {
    return this.#restarts;
  }

  /** When the process ended unexpectedly the last time; null: it never did. */
  get lastFailureAt(): Date | null {
    return this.#lastFailure?.at ?? null;
  }

  /** Why no request can be taken now; null: one can. */
  get whyNot(): string | null {
    switch (this.#state) {
      case "ready":
        return null;
      case "stopped":
        return "The server stops.";
      default:
        return this.#lastFailure?.reason ?? "The engine is being started.";
    }
  }

  /** The process's last report; null between two processes. */
  get report(): EngineReport | null {
    return this.#report;
  }

  /**
   * Hands a request to the engine. `listener` gets every event, the last of which is `done`, `error`, `refused` or
   * `lost`; without a process that is ready, `lost` at once with the reason why there is none: the process may have ended
   * while the request was made ready for it.
   *
   * @returns a function that drops the request, after which no event arrives
   */
  submit(request: GenerateRequest, listener: Listener): () => void {
    const id = String(this.#nextId++);
    const message = this.whyNot;
    if (message !== null) {
      queueMicrotask(() => listener({ type: "lost", message }));
      return () => {};
    }
    this.#requests.set(id, listener);
    this.#send({ type: "submit", id, request });
    // requests that come and go are no sign of life
    if (this.#timer === null) this.#watch();
    return () => {
      if (!this.#requests.delete(id)) return;
      this.#send({ type: "cancel", id });
      if (this.#requests.size === 0) this.#disarm();
    };
  }

  /** Ends the process. Running requests get `lost`. */
  async stop(): Promise<void> {
    this.#state = "stopped";
    const child = this.#detach();
    this.#loseAll("The server stops.");
    await child?.kill();
  }

  /** Starts the process. Requests can be submitted once it is ready. */
  start(): void {
    this.#state = "starting";
    this.#startedAt = performance.now();
    this.#readyAt = null;
    this.#lastError = null;
    const { PREFTUNE_API_KEY: _, ...env } = process.env;
    const { program, onComplaint = (text) => void process.stderr.write(text) } = this.#options;
    const child = forkChild(
      program,
      {
        onMessage: (message) => this.#receive(child, message as EngineMessage),
        onStderr: onComplaint,
        onEnd: (how) => {
          const { message, exitCode } = this.#lastError ?? {};
          this.#fail(message ?? `The engine process ended ${how}.${lastWords(child.written)}`, exitCode);
        },
      },
      { stdio: ["ignore", "ignore", "pipe", "ipc"], env },
    );
    this.#child = child;
    this.#send({ type: "start", settings: this.#options.settings });
  }

  #receive(child: Child, message: EngineMessage): void {
    if (message.type === "failed") {
      this.#lastError = message.failure;
      return;
    }
    this.#report = message.report;
    if (message.type === "ready") this.#becomeReady(child, message);
    else for (const [id, event] of message.events) this.#pass(id, event);
    this.#watch();
  }

  #becomeReady(child: Child, message: Extract<EngineMessage, { type: "ready" }>): void {
    const { device, dtype } = message;
    this.#state = "ready";
    this.#readyAt = performance.now();
    const server = { name: "server", ms: Math.round(this.#startedAt) };
    const stages = [...(this.#wasEverReady ? [] : [server]), ...message.stages];
    if (!this.#wasEverReady) this.onFirstReady();
    this.#wasEverReady = true;
    const startMs = Math.round(this.#readyAt - this.#startedAt);
    this.#options.onNews?.({ type: "ready", pid: child.process.pid ?? 0, device, dtype, startMs, stages });
  }

  #pass(id: string, event: SubmissionEvent): void {
    const listener = this.#requests.get(id);
    if (listener === undefined) return;
    if (["done", "error", "refused"].includes(event.type)) this.#requests.delete(id);
    listener(event);
  }

  /** The process is gone, or as good as gone: its requests are lost, and another is started unless that makes no sense. */
  #fail(reason: string, exitCode?: number): void {
    void this.#detach()?.kill();
    this.#lastFailure = { at: new Date(), reason };
    const lostRequests = this.#requests.size;
    const restartInMs = this.#restartsBy.next(
      this.#readyAt === null ? null : performance.now() - this.#readyAt,
    );
    // what the first process says of model or options stays true however often it is asked
    if (restartInMs === null || (!this.#wasEverReady && exitCode !== undefined)) {
      this.#giveUp(reason, exitCode);
      return;
    }
    this.#state = "waiting";
    this.#timer = setTimeout(() => {
      this.#restarts++;
      this.start();
    }, restartInMs);
    this.#options.onNews?.({ type: "crashed", reason, lostRequests, restartInMs });
    this.#loseAll(reason);
  }

  #giveUp(reason: string, exitCode = engineLostStatus): void {
    this.#state = "failed";
    const { failedStarts } = this.#restartsBy;
    const times = failedStarts > 1 ? `The engine process failed ${failedStarts} times in a row: ` : "";
    this.#loseAll(reason);
    this.#gaveUp.resolve(new ChildFailure(`${times}${reason}`, exitCode));
  }

  #loseAll(message: string): void {
    const lost = [...this.#requests.values()];
    this.#requests.clear();
    for (const listener of lost) listener({ type: "lost", message });
  }

  /** Forgets the process, so that nothing it still says is heard. */
  #detach(): Child | null {
    const child = this.#child;
    this.#disarm();
    this.#child = null;
    this.#report = null;
    return child;
  }

  /** Waits for the next sign of life while requests are under way. */
  #watch(): void {
    this.#disarm();
    const { stallMs } = this.#options;
    if (this.#state !== "ready" || this.#requests.size === 0 || stallMs === 0) return;
    this.#timer = setTimeout(() => {
      this.#fail(
        `The engine process said nothing for ${stallMs / 1000} s with requests under way and was ended. Where a pass takes longer ` +
          "(a long prompt of a large model on a CPU), start the server with a larger --stall-timeout.",
      );
    }, stallMs);
  }

  #disarm(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #send(command: EngineCommand): void {
    this.#child?.send(command);
  }
}

/** The most likely reason in what the process wrote before it ended: its last line that names an error, else the last. */
function lastWords(complaint: string): string {
  const lines = complaint.trim().split("\n");
  const line = lines.findLast((each) => /^\S*(Error|FATAL)\b/.test(each)) ?? lines.at(-1)?.trim() ?? "";
  return line === "" ? "" : ` It wrote: ${line.slice(0, 500)}`;
}
