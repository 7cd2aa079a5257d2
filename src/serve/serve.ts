/**
 * `preftune serve`: an HTTP server in the form of OpenAI's API in front of a model, whose engine runs in a process of its
 * own. From options to a server that listens, to its end.
 */
import { randomBytes } from "node:crypto";
import { basename, extname, join, resolve } from "node:path";
import { ConfigError } from "../base/errors.ts";
import { readModelConfig } from "../formats/hf-config.ts";
import { resolveModelDirectory } from "../formats/hub-model.ts";
import { Admission } from "./admission.ts";
import { createApp } from "./app.ts";
import { type EngineNews, EngineProcess, type EngineProcessOptions } from "./engine-process.ts";
import { isLoopback } from "./guard.ts";
import { PromptWorker } from "./prompt-worker.ts";
import type { RequestRecord } from "./request-record.ts";
import type { ServedModel } from "./serve-context.ts";
import { listen, type RequestTimeouts } from "./server.ts";
import { serverMetrics } from "./server-metrics.ts";

/** What to serve, where, and to whom. */
export interface ServeOptions {
  /** Directory or hub id. */
  model: string;
  /** Name of the base model in requests; null: the last part of its path. */
  name: string | null;
  /** Directories or hub ids of adapters by the names they get in requests. */
  adapters: Readonly<Record<string, string>>;
  /** Name, file or text of a chat template; null: the tokenizer's own. */
  chatTemplate: string | null;
  host: string;
  port: number;
  /** What requests are let in with; null: a random one, on loopback only. */
  key: string | null;
  /** Origins of web pages that may ask. */
  origins: readonly string[];
  device: string;
  dtype: "auto" | "float32" | "bfloat16";
  threads: number | null;
  /** Answers computed at once. */
  maxRunning: number;
  /** Further answers that may wait. */
  maxQueue: number;
  /** Tokens the cache holds; null: the engine's own choice. */
  maxCacheTokens: number | null;
  /** Answers to one request. */
  maxAnswers: number;
  /** Longest answer, in tokens. */
  maxNewTokens: number;
  maxBodyBytes: number;
  /** Time that requests under way have to end when the server stops. */
  drainMs: number;
  /** Stops the server: requests under way end first. */
  signal: AbortSignal;
  onEvent: (event: ServeEvent) => void;
  onPhase?: (label: string, done: number, total: number | null) => void;
  timeouts?: RequestTimeouts;
  /** Another program and other patience for the engine process, for tests. */
  engine?: Partial<Pick<EngineProcessOptions, "program" | "policy" | "stallMs" | "onComplaint">>;
}

/** What happens while the server runs, for its log. */
export type ServeEvent =
  /** `key`: the random key that was made; null where the user gave one. */
  | { type: "listening"; url: string; key: string | null; models: string[] }
  | { type: "engine"; news: EngineNews }
  | { type: "request"; record: RequestRecord }
  | { type: "fault"; error: unknown }
  | { type: "stopping"; open: number }
  | { type: "stopped"; cut: number };

/**
 * Serves until `signal` stops it.
 *
 * @throws {ConfigError} if an option is wrong or the address cannot be had
 * @throws {EngineFailure} if the engine cannot be started, or not again
 */
export async function serve(options: ServeOptions): Promise<void> {
  const key = keyOf(options);
  const { model, directory, adapters, prompts } = await openModel(options);
  await using _ = prompts;
  const engine = new EngineProcess({
    program: join(import.meta.dirname, `engine-child${extname(import.meta.filename)}`),
    settings: {
      model: directory,
      adapters,
      device: options.device,
      dtype: options.dtype,
      threads: options.threads,
      maxRunning: options.maxRunning,
      maxCacheTokens: options.maxCacheTokens,
    },
    ...options.engine,
    onNews: (news) => options.onEvent({ type: "engine", news }),
  });
  try {
    await serveEngine(engine, { options, model, key });
  } finally {
    await engine.stop();
  }
}

async function serveEngine(
  engine: EngineProcess,
  { options, model, key }: { options: ServeOptions; model: ServedModel; key: string },
): Promise<void> {
  const { onEvent, maxRunning, maxQueue } = options;
  const admission = new Admission(maxRunning + maxQueue);
  const app = createApp({
    ...options,
    model,
    engine,
    admission,
    key,
    metrics: serverMetrics(engine),
    limits: options,
    loopbackOnly: isLoopback(options.host),
    onRequest: (record) => onEvent({ type: "request", record }),
    onFault: (error) => onEvent({ type: "fault", error }),
  });
  const server = await listen((request) => app.fetch(request), options);
  onEvent({
    type: "listening",
    url: server.url,
    key: options.key === null ? key : null,
    models: [model.name, ...model.adapters],
  });
  engine.start();
  try {
    const failure = await Promise.race([stopped(options.signal), engine.gaveUp]);
    if (failure !== null) throw failure;
    onEvent({ type: "stopping", open: admission.open });
    await Promise.race([admission.close(), wait(options.drainMs)]);
  } finally {
    const cut = admission.open;
    // requests that are left are told that the server stops
    await engine.stop();
    await server.close(1000);
    onEvent({ type: "stopped", cut });
  }
}

function stopped(signal: AbortSignal): Promise<null> {
  return new Promise((done) => {
    if (signal.aborted) done(null);
    else signal.addEventListener("abort", () => done(null), { once: true });
  });
}

function wait(ms: number): Promise<void> {
  return new Promise((done) => {
    setTimeout(done, ms).unref();
  });
}

/** The key that requests have to bring. */
function keyOf({ key, host }: ServeOptions): string {
  if (key !== null) {
    if (/^[\x21-\x7e]+$/.test(key)) return key;
    throw new ConfigError(
      "--api-key: expected visible ASCII characters without spaces, which a header can carry.",
    );
  }
  if (isLoopback(host)) return randomBytes(24).toString("base64url");
  throw new ConfigError(
    `--host ${host}: other machines could reach the server there, so it needs a key of yours. ` +
      "Set PREFTUNE_API_KEY (or --api-key), or keep to --host 127.0.0.1.",
  );
}

interface OpenedModel {
  prompts: PromptWorker;
  model: ServedModel;
  directory: string;
  adapters: Record<string, string>;
}

async function openModel(options: ServeOptions): Promise<OpenedModel> {
  const search = options.onPhase === undefined ? {} : { onPhase: options.onPhase };
  const directory = await resolveModelDirectory(options.model, search);
  const adapters: Record<string, string> = {};
  const name = options.name ?? basename(resolve(options.model));
  for (const [adapter, path] of Object.entries(options.adapters)) {
    if (adapter === name)
      throw new ConfigError(`--adapter ${adapter}: this is the base model's name already. Choose another.`);
    adapters[adapter] = await resolveModelDirectory(path, search);
  }
  const config = readModelConfig(directory);
  const prompts = await PromptWorker.open(directory, {
    chatTemplate: options.chatTemplate,
    eosTokenIds: config.eosTokenIds,
    vocabSize: config.vocabSize,
  });
  const model = { name, adapters: Object.keys(adapters), prompts, contextTokens: config.maxPositions };
  return { model, directory, adapters, prompts };
}
