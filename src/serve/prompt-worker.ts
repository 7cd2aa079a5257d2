/**
 * Reads requests and makes token ids of prompts in a worker thread: a long one takes as long as hundreds of short
 * replies, and the HTTP process has streams to keep going meanwhile. A request whose client leaves is dropped there.
 */
import { Worker } from "node:worker_threads";
import { programBeside } from "../process/child.ts";
import { ChildFailure, type Failure } from "../process/failure.ts";
import { ApiError, type ApiErrorKind, clientLeft } from "./api-error.ts";
import type { EncodedPrompts, PromptOptions } from "./prompt-encoder.ts";
import type { PromptRoutes, ReadFields, ReadRequest, Requests } from "./request-reader.ts";
import type { RequestLimits } from "./request-tables.ts";

/** What the thread is started with. */
export interface PromptSetup {
  directory: string;
  options: PromptOptions;
  limits: RequestLimits;
}

/** What the thread is asked; null: to end. */
export type PromptTask =
  | { type: "read"; id: number; route: keyof PromptRoutes; body: Uint8Array<ArrayBuffer> }
  /** The prompt of what was read. */
  | { type: "encode"; id: number }
  /** Nobody waits for it any more. */
  | { type: "drop"; id: number };

/** What the thread says. */
export type PromptMessage =
  | { type: "ready" }
  /** Tokenizer or template cannot be used. */
  | { type: "failed"; failure: Failure }
  | { type: "read"; id: number; read: ReadFields<"chat" | "completion"> }
  | { type: "encoded"; id: number; encoded: EncodedPrompts }
  | { type: "refused"; id: number; kind: ApiErrorKind; message: string; param: string | null };

/** Who waits for the thread's next word on a request. */
type Waiting = Pick<PromiseWithResolvers<PromptMessage>, "resolve" | "reject">;

/**
 * Memory for young objects of the thread, in MiB: requests of a megabyte live for milliseconds, and V8 would otherwise keep
 * more for them, for good. It is three times a semi-space: a process with `--max-semi-space-size`, such as bin/become-node.mjs
 * starts, has that flag's in every thread, and this tells V8 nothing.
 */
const youngMiB = 24;

/** Reads the requests of one model in a thread that is started again if it fails. Close it when done. */
export class PromptWorker implements Requests, AsyncDisposable {
  readonly #setup: PromptSetup;
  readonly #waiting: Map<number, Waiting> = new Map();
  #worker: Promise<Worker> | null = null;
  /** The thread that is up; null: none is. */
  #thread: Worker | null = null;
  #nextId = 0;

  private constructor(setup: PromptSetup) {
    this.#setup = setup;
  }

  /**
   * Starts the thread.
   *
   * @throws {ChildFailure} if tokenizer or chat template cannot be used
   */
  static async open(directory: string, options: PromptOptions, limits: RequestLimits): Promise<PromptWorker> {
    const requests = new PromptWorker({ directory, options, limits });
    await requests.#running();
    return requests;
  }

  async read<R extends keyof PromptRoutes>(
    route: R,
    body: Uint8Array<ArrayBuffer>,
    signal: AbortSignal,
  ): Promise<ReadRequest<R>> {
    const worker = await this.#running();
    const id = this.#nextId++;
    const drop = () => worker.postMessage({ type: "drop", id } satisfies PromptTask);
    const answer = async (task: PromptTask, transfer: ArrayBuffer[] = []): Promise<PromptMessage> => {
      if (signal.aborted) throw clientLeft();
      if (this.#thread !== worker) throw new Error(ended);
      const waiting = Promise.withResolvers<PromptMessage>();
      const leave = () => {
        drop();
        waiting.reject(clientLeft());
      };
      signal.addEventListener("abort", leave);
      this.#waiting.set(id, waiting);
      worker.postMessage(task, transfer);
      try {
        return await waiting.promise;
      } finally {
        // see answering.ts: a listener that stays would keep the whole request
        signal.removeEventListener("abort", leave);
        this.#waiting.delete(id);
      }
    };
    const reply = await answer({ type: "read", id, route, body }, [body.buffer]);
    if (reply.type !== "read") throw new Error(`expected "read", got "${reply.type}"`);
    return {
      ...(reply.read as ReadFields<R>),
      encode: async () => {
        const made = await answer({ type: "encode", id });
        if (made.type !== "encoded") throw new Error(`expected "encoded", got "${made.type}"`);
        return made.encoded;
      },
      drop,
    };
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
    const worker = new Worker(programBeside(import.meta, "prompt-child"), {
      workerData: this.#setup,
      execArgv: [],
      resourceLimits: { maxYoungGenerationSizeMb: youngMiB },
    });
    const started = Promise.withResolvers<Worker>();
    worker.on("message", (message: PromptMessage) => {
      if (message.type === "ready") {
        this.#thread = worker;
        started.resolve(worker);
      } else if (message.type === "failed") {
        const { name, message: text, exitCode } = message.failure;
        started.reject(new ChildFailure(text, exitCode, name));
      } else this.#settle(message);
    });
    let isLost = false;
    const lose = (error: Error): void => {
      // an error is followed by the exit, when another thread may have been started
      if (isLost) return;
      isLost = true;
      this.#worker = null;
      this.#thread = null;
      started.reject(error);
      for (const waiting of this.#waiting.values()) waiting.reject(error);
      this.#waiting.clear();
    };
    worker.on("error", lose);
    worker.on("exit", () => lose(new Error(ended)));
    return started.promise;
  }

  #settle(message: Extract<PromptMessage, { id: number }>): void {
    const waiting = this.#waiting.get(message.id);
    if (message.type !== "refused") {
      waiting?.resolve(message);
      return;
    }
    const { kind, message: text, param } = message;
    waiting?.reject(new ApiError(kind, text, param === null ? {} : { param }));
  }
}

const ended = "the thread that reads requests has ended";
