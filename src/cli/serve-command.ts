/** `preftune serve`. */

import { basename } from "node:path";
import { type Command, InvalidArgumentError } from "commander";
import { ConfigError, messageOf } from "../base/errors.ts";
import { readKeyFile } from "../base/key-file.ts";
import { onStopSignals } from "../base/stop-signals.ts";
import { warn } from "../base/warn.ts";
import { recordLine, recordText } from "../serve/request-record.ts";
import { SERVE_DEFAULTS, type ServeEvent, type ServeOptions } from "../serve/serve-options.ts";
import { Phases } from "../terminal/phases.ts";
import {
  environmentOf,
  type MachineOptions,
  type TemplateOptions,
  templateOf,
  wholeNumber,
  withMachineOptions,
  withTemplateOptions,
} from "./options.ts";
import {
  heldWeights,
  type QuantiseOptions,
  type WeightsOptions,
  withQuantiseOptions,
  withWeightsOption,
} from "./quantise-options.ts";

interface CliOptions extends MachineOptions, TemplateOptions, QuantiseOptions, WeightsOptions {
  model: string;
  name?: string;
  adapter: Record<string, string>;
  host: string;
  port: number;
  apiKey?: string;
  apiKeyFile?: string;
  allowOrigin: string[];
  maxRunning: number;
  maxQueue: number;
  maxCacheTokens?: number;
  prefixCaching: boolean;
  maxAnswers: number;
  maxPrompts: number;
  maxNewTokensLimit?: number;
  maxBodyBytes: number;
  drainTimeout: number;
  stallTimeout: number;
}

/** What a timer of Node's can wait, in seconds. */
const longestTimeout = 2_147_483;

/** Adds the command to `preftune`. */
export function addServeCommand(preftune: Command): void {
  const command = preftune
    .command("serve")
    .description("serve a model over HTTP with OpenAI's API; see docs/serving.md")
    .requiredOption("--model <dir>", "Hugging Face model directory or hub id")
    .option("--name <name>", "the model's name in requests; default: the last part of its path")
    .option(
      "--adapter <name=dir>",
      "PEFT adapter directory or hub id, and its model name in requests; NAME=DIR@scale=0.4 takes 0.4 of it; may be repeated",
      adapterOption,
      {},
    )
    .option(
      "--host <address>",
      "listening address; loopback is reachable from this machine only",
      SERVE_DEFAULTS.host,
    )
    .option("--port <number>", "port; 0 picks a free one", wholeNumber(0), SERVE_DEFAULTS.port)
    .option("--api-key-file <file>", "file with the API key; or PREFTUNE_API_KEY; default: a random key")
    .option("--api-key <key>", "the same on the command line, which other users of the machine can read")
    .option("--allow-origin <origin>", "allowed origin of web pages (CORS); may be repeated", listOption, [])
    .option("--max-running <count>", "sequences decoded at once", wholeNumber(1), SERVE_DEFAULTS.maxRunning)
    .option("--max-queue <count>", "completions that may wait", wholeNumber(0), SERVE_DEFAULTS.maxQueue)
    .option("--max-cache-tokens <count>", "tokens of prompts and completions in the KV cache", wholeNumber(1))
    .option("--no-prefix-caching", "compute every prompt in full, whatever earlier ones began with")
    .option("--max-answers <count>", "completions per prompt", wholeNumber(1), SERVE_DEFAULTS.maxAnswers)
    .option("--max-prompts <count>", "prompts per request", wholeNumber(1), SERVE_DEFAULTS.maxPrompts)
    .option(
      "--max-new-tokens-limit <count>",
      "longest completion, in tokens; default: limited by the model's context",
      wholeNumber(1),
    )
    .option("--max-body-bytes <count>", "largest request body", wholeNumber(1), SERVE_DEFAULTS.maxBodyBytes)
    .option(
      "--drain-timeout <seconds>",
      "time for running requests when the server stops",
      wholeNumber(0, longestTimeout),
      SERVE_DEFAULTS.drainMs / 1000,
    )
    .option(
      "--stall-timeout <seconds>",
      "silence of an engine with requests after which it is started again; 0: never",
      wholeNumber(0, longestTimeout),
      SERVE_DEFAULTS.stallMs / 1000,
    );
  withWeightsOption(withQuantiseOptions(withMachineOptions(withTemplateOptions(command)))).action(run);
}

function adapterOption(text: string, before: Record<string, string>): Record<string, string> {
  const [, name = basename(text), path = text] = /^([\w.-]+)=(.+)$/s.exec(text) ?? [];
  if (Object.hasOwn(before, name)) throw new InvalidArgumentError(`"${name}" is there twice.`);
  return { ...before, [name]: path };
}

function listOption(text: string, before: string[]): string[] {
  return [...before, text];
}

async function run(cli: CliOptions): Promise<void> {
  const { serve } = await import("../serve/serve.ts");
  const stop = new AbortController();
  using _ = onStopSignals((count, status) => {
    if (count > 1) process.exit(status);
    stop.abort();
  });
  const phases = new Phases();
  await serve({
    ...optionsOf(cli),
    signal: stop.signal,
    onEvent: (event) => {
      phases.done();
      write(event);
    },
    onPhase: phases.listen,
  });
}

function optionsOf(cli: CliOptions): ServeOptions {
  return {
    ...environmentOf(cli),
    weights: cli.weights,
    quantise: heldWeights(cli),
    model: cli.model,
    name: cli.name ?? null,
    adapters: cli.adapter,
    ...templateOf(cli),
    host: cli.host,
    port: cli.port,
    key: keyOf(cli),
    origins: cli.allowOrigin,
    maxRunning: cli.maxRunning,
    maxQueue: cli.maxQueue,
    maxCacheTokens: cli.maxCacheTokens ?? null,
    keepsPrefixes: cli.prefixCaching,
    maxAnswers: cli.maxAnswers,
    maxPrompts: cli.maxPrompts,
    maxNewTokens: cli.maxNewTokensLimit ?? null,
    maxBodyBytes: cli.maxBodyBytes,
    drainMs: cli.drainTimeout * 1000,
    stallMs: cli.stallTimeout * 1000,
  };
}

/** The key that the user gave; null: none. */
function keyOf({ apiKey, apiKeyFile }: CliOptions): string | null {
  if (apiKey !== undefined && apiKeyFile !== undefined) {
    throw new ConfigError("--api-key and --api-key-file both give a key. Take --api-key out.");
  }
  if (apiKeyFile !== undefined) return readKeyFile(apiKeyFile, "--api-key-file");
  if (apiKey === undefined) return process.env["PREFTUNE_API_KEY"] ?? null;
  warn(
    "--api-key: other users of this machine can read command lines. Give the key by --api-key-file FILE or PREFTUNE_API_KEY.",
  );
  return apiKey;
}

/** A short line on a terminal, a line of JSON elsewhere. A key that was made for this run is for people: no log has it. */
function write(event: ServeEvent): void {
  const isTerminal = process.stdout.isTTY === true;
  const line = isTerminal ? textOf(event) : lineOf(event);
  process.stdout.write(`${line}\n`);
  if (isTerminal || event.type !== "listening" || event.key === null) return;
  process.stderr.write(`preftune: API key (made for this run)  ${event.key}\n`);
}

function lineOf(event: ServeEvent): string {
  const time = new Date();
  const common = { time: time.toISOString(), event: event.type };
  switch (event.type) {
    case "request":
      return recordLine(event.record, time);
    case "engine": {
      const { type, ...news } = event.news;
      return JSON.stringify({ ...common, event: `engine ${type}`, ...news });
    }
    case "fault":
      return JSON.stringify({ ...common, error: stackOf(event.error) });
    case "listening":
      return JSON.stringify({ ...common, url: event.url, models: event.models });
    default: {
      const { type: _, ...rest } = event;
      return JSON.stringify({ ...common, ...rest });
    }
  }
}

function textOf(event: ServeEvent): string {
  switch (event.type) {
    case "listening": {
      const key =
        event.key === null ? "the key is the one given" : `API key (made for this run)  ${event.key}`;
      return `${event.url}/v1\n  models   ${event.models.join(", ")}\n  ${key}`;
    }
    case "engine": {
      const { news } = event;
      if (news.type === "ready") return `ready: ${news.device}, ${news.dtype}`;
      return `${news.reason} ${news.lostRequests} requests are lost; started again in ${news.restartInMs} ms`;
    }
    case "request":
      return recordText(event.record);
    case "fault":
      return `a fault of the server: ${stackOf(event.error)}`;
    case "stopping":
      return `stopping after ${event.open} answers under way; again to leave at once`;
    case "stopped":
      return event.cut === 0 ? "stopped" : `stopped; ${event.cut} answers were interrupted`;
    default:
      return event satisfies never;
  }
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : messageOf(error);
}
