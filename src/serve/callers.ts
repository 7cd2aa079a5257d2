/**
 * Who is connected. A connection counts among strangers until a request on it has brought the key: there are fewer places
 * for them, for less time, and the oldest makes room for the next, so that they never keep a holder of the key out.
 */
import type { Socket } from "node:net";

/** Places for connections, and patience with those of strangers. */
export interface CallerLimits {
  /** Connections that have brought the key. */
  known: number;
  strangers: number;
  /** Time in which a stranger has to bring the key, or to end a request that needs none, in ms. */
  strangerMs: number;
}

/** The limits unless others are given. */
const defaultLimits: Readonly<CallerLimits> = { known: 1024, strangers: 256, strangerMs: 5000 };

/** The connections of a server. */
export class Callers {
  readonly #limits: CallerLimits;
  /** With their time-outs, in the order in which they came or were last served. */
  readonly #strangers: Map<Socket, NodeJS.Timeout> = new Map();
  readonly #known: Set<Socket> = new Set();

  constructor(limits: CallerLimits = defaultLimits) {
    this.#limits = limits;
  }

  get strangers(): number {
    return this.#strangers.size;
  }

  get known(): number {
    return this.#known.size;
  }

  /** A connection was made. */
  add(socket: Socket): void {
    const [oldest] = this.#strangers.keys();
    if (oldest !== undefined && this.#strangers.size >= this.#limits.strangers) this.#turnAway(oldest);
    this.#wait(socket);
    socket.once("close", () => {
      this.#forget(socket);
      this.#known.delete(socket);
    });
  }

  /** A stranger was answered, and may ask again. */
  served(socket: Socket): void {
    if (!this.#strangers.has(socket)) return;
    this.#forget(socket);
    this.#wait(socket);
  }

  /** The key was brought. @returns false: there is no place for one more */
  know(socket: Socket): boolean {
    if (this.#known.has(socket)) return true;
    if (this.#known.size >= this.#limits.known) return false;
    this.#forget(socket);
    if (!socket.destroyed) this.#known.add(socket);
    return true;
  }

  #wait(socket: Socket): void {
    this.#strangers.set(
      socket,
      setTimeout(() => this.#turnAway(socket), this.#limits.strangerMs),
    );
  }

  #turnAway(socket: Socket): void {
    this.#forget(socket);
    socket.destroy();
  }

  #forget(socket: Socket): void {
    clearTimeout(this.#strangers.get(socket));
    this.#strangers.delete(socket);
  }
}
