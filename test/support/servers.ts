/** `preftune serve` inside a test's own process: started on a free port with a tiny model, stopped when `await using` ends. */
import { join } from "node:path";
import OpenAI from "openai";
import type { RequestRecord } from "../../src/serve/request-record.ts";
import { serve } from "../../src/serve/serve.ts";
import type { ServeEvent, ServeOptions } from "../../src/serve/serve-options.ts";
import { makeTinyModel } from "./tiny-model.ts";
import { temporaryDirectory } from "./tiny-models.ts";

/** The engine process that only pretends; see `scripted-engine.ts`. */
export const scriptedEngine: NonNullable<ServeOptions["engine"]> = {
  program: join(import.meta.dirname, "scripted-engine.ts"),
  policy: { firstDelayMs: 20, maxDelayMs: 100 },
  onComplaint: () => {},
};

/** A running server. */
export interface TestServer extends AsyncDisposable {
  url: string;
  key: string;
  /** All that happened so far. */
  events: ServeEvent[];
  /** Resolves with the first event, past or future, that `matches`. */
  saw<T extends ServeEvent>(matches: (event: ServeEvent) => event is T): Promise<T>;
  /** Resolves when the log has a request that `matches`. */
  logged(matches: (record: RequestRecord) => boolean): Promise<RequestRecord>;
  /** OpenAI's client, with the server's key unless another is given. */
  client(options?: { apiKey?: string; maxRetries?: number }): OpenAI;
  /** A request with the key. */
  fetch(path: string, init?: RequestInit): Promise<Response>;
  /** Stops as a signal does; resolves, or fails with what the server ended with. */
  stop(): Promise<void>;
  /** Settles when the server has ended. */
  ended: Promise<void>;
}

/** Where they differ from the command line's. */
const defaults = {
  name: "tiny",
  port: 0,
  key: "test-key",
  device: "cpu",
  dtype: "float32",
  threads: 1,
  maxRunning: 8,
  maxQueue: 8,
  maxAnswers: 4,
  maxPrompts: 12,
  maxBodyBytes: 100_000,
  drainMs: 5000,
} as const;

/** Starts a server with its tiny model, and waits until its engine is ready unless set otherwise. */
export async function startServer(
  changes: Partial<ServeOptions> & { awaitReady?: boolean } = {},
): Promise<TestServer> {
  const { awaitReady = true, ...options } = changes;
  const dir = temporaryDirectory();
  const model = options.model ?? makeTinyModel(join(dir.path, "tiny"));
  const stop = new AbortController();
  const events: ServeEvent[] = [];
  const listeners = new Set<(event: ServeEvent) => void>();
  const onEvent = (event: ServeEvent) => {
    events.push(event);
    for (const listener of listeners) listener(event);
  };
  const ended = serve({ ...defaults, ...options, model, signal: stop.signal, onEvent }).finally(() => {
    dir[Symbol.dispose]();
  });
  const saw = <T extends ServeEvent>(matches: (event: ServeEvent) => event is T): Promise<T> => {
    const past = events.find(matches);
    if (past !== undefined) return Promise.resolve(past);
    const future = new Promise<T>((resolve) => {
      const listener = (event: ServeEvent) => {
        if (!matches(event)) return;
        listeners.delete(listener);
        resolve(event);
      };
      listeners.add(listener);
    });
    const early = ended.then((): never => {
      throw new Error("the server ended before");
    });
    return Promise.race([future, early]);
  };
  const isRequest = (event: ServeEvent) => event.type === "request";
  const logged = async (matches: (record: RequestRecord) => boolean): Promise<RequestRecord> => {
    const event = await saw(
      (each): each is Extract<ServeEvent, { type: "request" }> => isRequest(each) && matches(each.record),
    );
    return event.record;
  };
  const { url, key } = await saw(
    (event): event is Extract<ServeEvent, { type: "listening" }> => event.type === "listening",
  );
  if (awaitReady)
    await saw((event): event is ServeEvent => event.type === "engine" && event.news.type === "ready");
  const ownKey = key ?? options.key ?? defaults.key;
  return {
    url,
    key: ownKey,
    events,
    saw,
    logged,
    client: ({ apiKey = ownKey, maxRetries = 0 } = {}) =>
      new OpenAI({ apiKey, baseURL: `${url}/v1`, maxRetries }),
    fetch: (path, init = {}) => {
      const headers = new Headers(init.headers);
      if (!headers.has("authorization")) headers.set("authorization", `Bearer ${ownKey}`);
      if (init.body !== undefined && !headers.has("content-type"))
        headers.set("content-type", "application/json");
      return fetch(`${url}${path}`, { ...init, headers });
    },
    stop: () => {
      stop.abort();
      return ended;
    },
    ended,
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      // a test that means the server to fail has seen it fail
      await ended.catch(() => {});
    },
  };
}
