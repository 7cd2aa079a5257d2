/**
 * `preftune serve`: an HTTP server in the form of OpenAI's API in front of a model, whose engine runs in a process of its
 * own. From options to a server that listens, to its end.
 */
import { basename, resolve } from "node:path";
import { ConfigError } from "../base/errors.ts";
import { tellGenerationDefaults } from "../formats/generation-defaults.ts";
import { readModelConfig } from "../formats/hf-config.ts";
import { contextLength } from "../formats/model-config.ts";
import { type Quantisation, quantisationOfForm } from "../formats/quantisation.ts";
import { resolveModelDirectory } from "../hub/hub-model.ts";
import { programBeside } from "../process/child.ts";
import { checkAdaptedBase } from "../runs/adapted-base.ts";
import { tellOtherThinking } from "../runs/trained-thinking.ts";
import { tellOtherTemplate } from "../text/trained-template.ts";
import { Admission } from "./admission.ts";
import { createApp } from "./app.ts";
import { Callers } from "./callers.ts";
import { EngineProcess } from "./engine-process.ts";
import { isLoopback } from "./guard.ts";
import { Outlets } from "./outlet.ts";
import { PromptWorker } from "./prompt-worker.ts";
import type { ServedModel } from "./serve-context.ts";
import { checkOrigins, keyOf, SERVE_DEFAULTS, type ServeOptions } from "./serve-options.ts";
import { listen, REQUEST_TIMEOUTS } from "./server.ts";
import { serverMetrics } from "./server-metrics.ts";

/**
 * Serves until `signal` stops it. What is not given is as `SERVE_DEFAULTS` has it.
 *
 * @throws {ConfigError} if an option is wrong or the address cannot be had
 * @throws {ChildFailure} if the engine cannot be started, or not again
 */
export async function serve(given: Pick<ServeOptions, "model"> & Partial<ServeOptions>): Promise<void> {
  const options: ServeOptions = { ...SERVE_DEFAULTS, ...given };
  const key = keyOf(options);
  checkOrigins(options.origins);
  const { model, directory, adapters, requests } = await openModel(options);
  await using _ = requests;
  const engine = new EngineProcess({
    program: programBeside(import.meta, "engine-child"),
    settings: {
      model: directory,
      adapters,
      device: options.device,
      dtype: options.dtype,
      quantise: heldForm(options),
      threads: options.threads,
      maxRunning: options.maxRunning,
      maxCacheTokens: options.maxCacheTokens,
      keepsPrefixes: options.keepsPrefixes,
    },
    stallMs: options.stallMs,
    ...options.engine,
    onNews: (news) => options.onEvent?.({ type: "engine", news }),
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
  const { onEvent = () => {}, signal = new AbortController().signal, maxRunning, maxQueue } = options;
  const admission = new Admission(maxRunning + maxQueue);
  const outlets = new Outlets(options.outlets);
  const callers = new Callers(options.callers);
  const app = createApp({
    ...options,
    model,
    engine,
    admission,
    key,
    metrics: serverMetrics(engine, outlets),
    limits: options,
    outlets,
    callers,
    loopbackOnly: isLoopback(options.host),
    onRequest: (record) => onEvent({ type: "request", record }),
    onFault: (error) => onEvent({ type: "fault", error }),
  });
  const { timeouts = REQUEST_TIMEOUTS } = options;
  const address = { host: options.host, port: options.port, timeouts, callers };
  const server = await listen((request, source) => app.fetch(request, source), address);
  options.onPhase?.("loading the model", 0, null);
  // what cannot be loaded is not announced
  engine.onFirstReady = () => {
    const made = options.key === null ? key : null;
    onEvent({ type: "listening", url: server.url, key: made, models: [model.name, ...model.adapters] });
  };
  engine.start();
  try {
    const failure = await Promise.race([stopped(signal), engine.gaveUp]);
    if (failure !== null) throw failure;
    onEvent({ type: "stopping", open: admission.open });
    const drained = admission.close().then(() => outlets.idle());
    await Promise.race([drained, wait(options.drainMs)]);
  } finally {
    const cut = admission.open;
    // remaining requests get the error that the server stops
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

function heldForm({ weights, quantise }: ServeOptions): Quantisation | null {
  return quantisationOfForm(weights) ?? quantise;
}

interface OpenedModel {
  requests: PromptWorker;
  model: ServedModel;
  directory: string;
  adapters: Record<string, string>;
}

async function openModel(options: ServeOptions): Promise<OpenedModel> {
  const search = options.onPhase === undefined ? {} : { onPhase: options.onPhase };
  const { chatTemplate, enableThinking } = options;
  const directory = await resolveModelDirectory(options.model, search);
  const adapters: Record<string, string> = {};
  const name = options.name ?? basename(resolve(options.model));
  tellOtherThinking({ model: directory, enableThinking });
  for (const [adapter, path] of Object.entries(options.adapters)) {
    if (adapter === name)
      throw new ConfigError(`--adapter ${adapter}: this is the base model's name already. Choose another.`);
    const found = await resolveModelDirectory(path, { ...search, kind: "adapter" });
    checkAdaptedBase({ model: directory, adapter: found, quantise: heldForm(options) });
    tellOtherTemplate({ model: directory, adapter: found, chatTemplate });
    tellOtherThinking({ model: directory, adapter: found, enableThinking });
    adapters[adapter] = found;
  }
  const config = readModelConfig(directory);
  tellGenerationDefaults(directory);
  const { eosTokenIds, vocabSize } = config;
  const contextTokens = contextLength(config);
  const { maxPrompts, maxNewTokens, maxCacheTokens } = options;
  // the engine begins all answers of a request together
  const maxAnswers = Math.min(options.maxAnswers, options.maxRunning);
  const requests = await PromptWorker.open(
    directory,
    { chatTemplate, enableThinking, eosTokenIds, vocabSize, contextTokens },
    { maxAnswers, maxPrompts, maxNewTokens, maxCacheTokens },
  );
  const model = {
    name,
    adapters: Object.keys(adapters),
    requests,
    contextTokens,
    vocabSize,
  };
  return { model, directory, adapters, requests };
}
