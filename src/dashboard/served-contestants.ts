/** Contestants of the arena made ready: endpoints as they are, and a server for each base model here, from its first question to some minutes after its last. */
import { ServeProcess, type ServeSettings } from "../serve/serve-process.ts";
import type { Speaker } from "./contestant-answer.ts";
import type { Contestant } from "./contestants.ts";

/** Minutes without a question after which a server ends. */
export const idleMinutes = 5;

/** Contestants that are wanted, until this is disposed. */
export interface WantedContestants extends Disposable {
  /** All of them, once they can be asked. @throws {ChildFailure} why a model cannot be loaded */
  ready: Promise<Speaker[]>;
}

/** A server that runs, and how many use it. */
interface Held {
  server: ServeProcess;
  settings: ServeSettings;
  users: number;
  timer: NodeJS.Timeout | undefined;
}

/** The servers of one dashboard. */
export class ServedContestants {
  readonly #idleMs: number;
  readonly #held: Set<Held> = new Set();

  constructor(idleMs: number = idleMinutes * 60_000) {
    this.#idleMs = idleMs;
  }

  /** Processes of the servers that run. */
  get pids(): (number | undefined)[] {
    return [...this.#held].map(({ server }) => server.pid);
  }

  /** Starts the servers that `contestants` need and that do not run yet. */
  want(contestants: readonly Contestant[]): WantedContestants {
    const users = new DisposableStack();
    const speakers = contestants.map(async ({ name, source, max_tokens, temperature }): Promise<Speaker> => {
      const asked = { name, max_tokens, temperature, model: source.model };
      if ("url" in source) {
        const key = source.key_env === null ? undefined : process.env[source.key_env];
        return { ...asked, url: source.url, key: key ?? null, extra: source.extra };
      }
      const held = this.#use(source.served);
      users.defer(() => this.#leave(held));
      return { ...asked, url: `${await held.server.ready}/v1`, key: held.server.key, extra: {} };
    });
    const ready = Promise.all(speakers);
    // whoever left does not hear of it
    ready.catch(() => {});
    return { ready, [Symbol.dispose]: () => users.dispose() };
  }

  /** Ends them all. */
  async close(): Promise<void> {
    await Promise.all([...this.#held].map((held) => this.#end(held)));
  }

  #use(settings: ServeSettings): Held {
    const id = JSON.stringify(settings);
    const isSame = (held: Held): boolean => JSON.stringify(held.settings) === id;
    // the owner's file says something else of this base now
    for (const held of this.#held)
      if (held.users === 0 && held.settings.model === settings.model && !isSame(held)) void this.#end(held);
    const held = [...this.#held].find(isSame) ?? this.#start(settings);
    clearTimeout(held.timer);
    held.users += 1;
    return held;
  }

  #start(settings: ServeSettings): Held {
    const held: Held = { server: new ServeProcess(settings), settings, users: 0, timer: undefined };
    this.#held.add(held);
    // one that failed is started again by the next question
    void held.server.ended.then(() => this.#held.delete(held));
    return held;
  }

  #leave(held: Held): void {
    held.users -= 1;
    if (held.users === 0) held.timer = setTimeout(() => void this.#end(held), this.#idleMs).unref();
  }

  async #end(held: Held): Promise<void> {
    clearTimeout(held.timer);
    this.#held.delete(held);
    await held.server.end();
  }
}
