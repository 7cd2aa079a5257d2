/**
 * Makes token ids of prompts in a thread of its own: a long prompt takes as long as hundreds of short replies, and the
 * HTTP process has streams to keep going meanwhile.
 */
import { extname, join } from "node:path";
import { Worker } from "node:worker_threads";
import { PreftuneError } from "../base/errors.ts";
import { ApiError, type ApiErrorKind } from "./api-error.ts";
import type { EncodedPrompts, PromptAsk, PromptOptions, Prompts } from "./prompts.ts";

/** What the thread is started with. */
export interface PromptSetup {
  directory: string;
  options: PromptOptions;
}

/** What the thread is asked; null: to end. */
export interface PromptTask {
  id: number;
  /** A `PromptAsk` as JSON: numbers cross as they are spelled. */
  ask: string;
}

/** What the thread says. */
export type PromptMessage =
  | { type: "ready" }
  /** Tokenizer or template cannot be used. */
  | { type: "failed"; message: string; exitCode: number }
  | { type: "encoded"; id: number; encoded: EncodedPrompts }
  | { type: "refused"; id: number; kind: ApiErrorKind; message: string; param: string | null };

/** The tokenizer or its chat template cannot be used. Ends with the exit status of the error in the thread. */
class PromptFailure extends PreftuneError {
  override readonly exitCode: number;

  constructor(message: string, exitCode: number) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** Prompts of one model, made in a thread that is started again if it fails. Close it when done. */
export class PromptWorker implements Prompts, AsyncDisposable {
  readonly #setup: PromptSetup;
  readonly #tasks: Map<number, PromiseWithResolvers<EncodedPrompts>> = new Map();
  #worker: Promise<Worker> | null = null;
  #nextId = 0;

  private constructor(setup: PromptSetup) {
    this.#setup = setup;
  }

  /**
   * Starts the thread.
   *
   * @throws {PreftuneError} if tokenizer or chat template cannot be used
   */
  static async open(directory: string, options: PromptOptions): Promise<PromptWorker> {
    const prompts = new PromptWorker({ directory, options });
    await prompts.#running();
    return prompts;
  }

  async encode(ask: PromptAsk): Promise<EncodedPrompts> {
    const worker = await this.#running();
    const id = this.#nextId++;
    const task = Promise.withResolvers<EncodedPrompts>();
    this.#tasks.set(id, task);
    worker.postMessage({ id, ask: JSON.stringify(ask) } satisfies PromptTask);
    return task.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // one that could not be started has nothing to close
    const worker = await this.#worker?.catch(() => null);
    if (!worker) return;
    const ended = new Promise((resolve) => worker.once("exit", resolve));
    worker.postMessage(null);
    await ended;
  }

  #running(): Promise<Worker> {
    this.#worker ??= this.#start();
    return this.#worker;
  }

  #start(): Promise<Worker> {
    const program = join(import.meta.dirname, `prompt-child${extname(import.meta.filename)}`);
    const worker = new Worker(program, { workerData: this.#setup, execArgv: [] });
    const started = Promise.withResolvers<Worker>();
    worker.on("message", (message: PromptMessage) => {
      if (message.type === "ready") started.resolve(worker);
      else if (message.type === "failed")
        started.reject(new PromptFailure(message.message, message.exitCode));
      else this.#settle(message);
    });
    let isLost = false;
    const lose = (error: Error): void => {
      // an error is followed by the exit, when another thread may have been started
      if (isLost) return;
      isLost = true;
      this.#worker = null;
      started.reject(error);
      for (const task of this.#tasks.values()) task.reject(error);
      this.#tasks.clear();
    };
    worker.on("error", lose);
    worker.on("exit", () => lose(new Error("the thread that makes token ids of prompts has ended")));
    return started.promise;
  }

  #settle(message: Extract<PromptMessage, { id: number }>): void {
    const task = this.#tasks.get(message.id);
    this.#tasks.delete(message.id);
    if (message.type === "encoded") task?.resolve(message.encoded);
    else {
      const { kind, message: text, param } = message;
      task?.reject(new ApiError(kind, text, param === null ? {} : { param }));
    }
  }
}
