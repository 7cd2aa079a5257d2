/**
 * Replies on their way to clients: what was made and not taken yet is held, within limits. A client that does not read loses
 * its reply after a while, or when others need the room; it holds up no engine.
 */
import { at } from "../base/at.ts";
import { ApiError, clientLeft } from "./api-error.ts";

/** How much may wait for clients, and how long. */
export interface OutletLimits {
  /** Bytes of all replies together. */
  unreadBytes: number;
  /** Time in which a client has to take something, in ms. */
  stallMs: number;
}

/** The limits unless others are given. */
const defaultLimits: Readonly<OutletLimits> = { unreadBytes: 64 * 2 ** 20, stallMs: 30_000 };

/** Bytes that are handed on at once: a stream's events are small. */
const chunkBytes = 65_536;

/** The outlets of a server. */
export class Outlets {
  readonly #limits: OutletLimits;
  readonly #open: Set<Outlet> = new Set();
  #unread = 0;
  #idle: PromiseWithResolvers<void> | null = null;

  constructor(limits: OutletLimits = defaultLimits) {
    this.#limits = limits;
  }

  /** Bytes that clients have not taken. */
  get unreadBytes(): number {
    return this.#unread;
  }

  /** Resolves when no reply is on its way. */
  async idle(): Promise<void> {
    if (this.#open.size === 0) return;
    this.#idle ??= Promise.withResolvers();
    await this.#idle.promise;
  }

  /** A way out for one reply. @param onEnd - called once, when all was taken (null) or the reply was dropped (why) */
  open(onEnd: (error: ApiError | null) => void): Outlet {
    const outlet = new Outlet(this.#limits.stallMs, {
      changed: (bytes) => {
        this.#unread += bytes;
        if (bytes > 0) this.#makeRoom();
      },
      ended: (error) => {
        this.#open.delete(outlet);
        if (this.#open.size === 0) this.#idle?.resolve();
        onEnd(error);
      },
    });
    this.#open.add(outlet);
    return outlet;
  }

  /** Drops the reply of which most is unread until the rest is within the limit. */
  #makeRoom(): void {
    while (this.#unread > this.#limits.unreadBytes) {
      const most = [...this.#open].reduce((a, b) => (b.unreadBytes > a.unreadBytes ? b : a));
      most.drop(
        new ApiError("clientStalled", `The client left ${most.unreadBytes} bytes of its reply unread.`),
      );
    }
  }
}

/** Events of an outlet. */
interface OutletListener {
  /** Of so many bytes more, or fewer, it is not known whether the client has them. */
  changed: (bytes: number) => void;
  ended: (error: ApiError | null) => void;
}

/** The way out for one reply. */
export class Outlet {
  /** The reply's body. Fails when the reply is dropped though its client is there. */
  readonly stream: ReadableStream<Uint8Array>;
  readonly #stallMs: number;
  readonly #listener: OutletListener;
  #controller: ReadableStreamDefaultController<Uint8Array> | null = null;
  #queue: Buffer[] = [];
  /** Buffers of the queue that were taken. */
  #taken = 0;
  #unread = 0;
  #isComplete = false;
  #isOver = false;
  #timer: NodeJS.Timeout | null = null;
  /** Called when there is something to take. */
  #awaited: (() => void) | null = null;

  constructor(stallMs: number, listener: OutletListener) {
    this.#stallMs = stallMs;
    this.#listener = listener;
    this.stream = new ReadableStream(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        pull: () => this.#handOn(),
        cancel: () => this.drop(clientLeft()),
      },
      // nothing is taken before it is asked for
      { highWaterMark: 0 },
    );
  }

  /** Bytes that were not taken. */
  get unreadBytes(): number {
    return this.#unread;
  }

  /** Adds to the reply. */
  write(text: string): void {
    if (this.#isOver || this.#isComplete || text === "") return;
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; at += chunkBytes)
      this.#queue.push(bytes.subarray(at, at + chunkBytes));
    this.#count(bytes.length);
    if (this.#timer === null) this.#arm();
    this.#awaited?.();
  }

  /** The reply is complete. */
  end(): void {
    this.#isComplete = true;
    this.#awaited?.();
  }

  /** Gives the reply up: its client has left or does not read. */
  drop(error: ApiError): void {
    if (this.#isOver) return;
    this.#over(error);
    try {
      // where nobody reads any more there is no connection to break, and the server would print the failure
      if (error.kind === "clientLeft") this.#controller?.close();
      else this.#controller?.error(error);
    } catch {
      // it was cancelled
    }
  }

  async #handOn(): Promise<void> {
    if (this.#unread === 0 && !this.#isComplete && !this.#isOver) {
      await new Promise<void>((resolve) => {
        this.#awaited = resolve;
      });
      this.#awaited = null;
    }
    if (this.#isOver) return;
    const bytes = this.#take();
    this.#count(-bytes.length);
    this.#arm();
    if (bytes.length > 0) this.#controller?.enqueue(bytes);
    if (this.#unread > 0 || !this.#isComplete) return;
    this.#controller?.close();
    this.#over(null);
  }

  /** The next bytes. */
  #take(): Buffer {
    const first = this.#taken;
    let bytes = 0;
    for (; this.#taken < this.#queue.length; this.#taken++) {
      const { length } = at(this.#queue, this.#taken);
      if (bytes > 0 && bytes + length > chunkBytes) break;
      bytes += length;
    }
    const taken = this.#queue.slice(first, this.#taken);
    if (this.#taken * 2 > this.#queue.length) {
      this.#queue.splice(0, this.#taken);
      this.#taken = 0;
    }
    return taken.length === 1 ? at(taken, 0) : Buffer.concat(taken);
  }

  #count(bytes: number): void {
    this.#unread += bytes;
    this.#listener.changed(bytes);
  }

  #over(error: ApiError | null): void {
    this.#isOver = true;
    this.#queue = [];
    this.#count(-this.#unread);
    this.#disarm();
    this.#awaited?.();
    this.#listener.ended(error);
  }

  /** Waits for the client to take something, while there is something. */
  #arm(): void {
    this.#disarm();
    if (this.#unread === 0) return;
    this.#timer = setTimeout(() => {
      const seconds = this.#stallMs / 1000;
      this.drop(new ApiError("clientStalled", `The client read nothing of its reply for ${seconds} s.`));
    }, this.#stallMs);
  }

  #disarm(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
