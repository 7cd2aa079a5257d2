/** The side of a program of ours that keeps a server for itself: a process on loopback with a key that the two alone have. */
import { randomBytes } from "node:crypto";
import { type Child, forkChild, programBeside } from "../process/child.ts";
import { ChildFailure, type Failure } from "../process/failure.ts";
import type { ServeOptions } from "./serve-options.ts";

/** What is served, as in {@link ServeOptions}; the port is any that is free. */
export type ServeSettings = Pick<ServeOptions, "model" | "name" | "adapters" | "device" | "threads">;

/** The first message to the process. The key goes no other way: others can read environments and command lines. */
export interface ServeOrder {
  settings: ServeSettings;
  key: string;
}

/** The message after which it ends. */
export const endOrder = "end";

/** What the process says. */
export type ServeNews = { type: "listening"; url: string } | { type: "failed"; failure: Failure };

/** Time that it has to end by itself, with its engine, ms. */
const endMs = 5000;

/** A server in a process that ends with this one, however this one ends. */
export class ServeProcess {
  readonly key: string = randomBytes(24).toString("base64url");
  readonly #child: Child;
  readonly #ready: PromiseWithResolvers<string> = Promise.withResolvers();
  readonly #ended: PromiseWithResolvers<void> = Promise.withResolvers();
  #failure: Failure | null = null;

  constructor(settings: ServeSettings) {
    // whoever waits for it hears why it does not come
    this.#ready.promise.catch(() => {});
    this.#child = forkChild(
      programBeside(import.meta, "serve-child"),
      {
        onMessage: (message) => this.#hear(message as ServeNews),
        onStderr: (text) => void process.stderr.write(text),
        onEnd: (how) => this.#end(how),
      },
      { stdio: ["ignore", "ignore", "pipe", "ipc"] },
    );
    this.#child.send({ settings, key: this.key } satisfies ServeOrder);
  }

  /** Process id. */
  get pid(): number | undefined {
    return this.#child.process.pid;
  }

  /** Address, once it can be asked. @throws {ChildFailure} why it never can */
  get ready(): Promise<string> {
    return this.#ready.promise;
  }

  /** Resolves when it is gone. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  /** Ends it. */
  async end(): Promise<void> {
    const { process: child } = this.#child;
    this.#child.send(endOrder);
    const timer = setTimeout(() => child.kill("SIGKILL"), endMs);
    await this.ended;
    clearTimeout(timer);
  }

  #hear(news: ServeNews): void {
    if (news.type === "listening") this.#ready.resolve(news.url);
    else this.#failure = news.failure;
  }

  #end(how: string): void {
    const said = this.#child.written.trim().slice(-400);
    const { message, exitCode } = this.#failure ?? {
      message: `The server ended ${how}. ${said}`.trim(),
      exitCode: 1,
    };
    this.#ready.reject(new ChildFailure(message, exitCode));
    this.#ended.resolve();
  }
}
