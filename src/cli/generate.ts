/** `preftune generate`: one prompt, a file of prompts, or a chat in the terminal. */
import { type Command, InvalidArgumentError } from "commander";
import { ConfigError } from "../base/errors.ts";
import { isGreedyAt } from "../base/temperature.ts";
import type { Generation, GenerationOptions, SamplingSettings } from "../recipes/generation.ts";
import { PhaseProgress } from "../runs/progress.ts";
import { finishFirst } from "./leave.ts";
import {
  collect,
  environmentOf,
  type MachineOptions,
  refuseSameAnswers,
  wholeNumber,
  withMachineOptions,
} from "./options.ts";
import { Phases } from "./phases.ts";

interface Words extends MachineOptions {
  model: string;
  adapter: string[];
  prompt?: string;
  prompts?: string;
  chat?: true;
  system?: string;
  limit?: number;
  output?: string;
  samples: number;
  maxNewTokens: number;
  temperature: number;
  topP?: number;
  topK?: number;
  minP?: number;
  repetitionPenalty?: number;
  stop: string[];
  seed: number;
  batchSize: number;
  plain?: true;
  chatTemplate?: string;
}

/** Adds the command to `preftune`. */
export function addGenerateCommand(preftune: Command): void {
  const command = preftune
    .command("generate")
    .description("a model's answers: to one prompt, to a file of prompts, or in a chat")
    .requiredOption("--model <dir>", "Hugging Face model directory or hub id")
    .option(
      "--adapter <dir>",
      'PEFT adapter directory or hub id, or NAME=DIR; may be given several times, "base" for the model without one',
      collect,
      [],
    )
    .option("--prompt <text>", "one prompt; the answer goes to the terminal")
    .option(
      "--prompts <file>",
      "prompts of a file: rows with prompt, messages or turns, or the lines of a .txt; - for standard input",
    )
    .option("--output <file>", "where the answers to --prompts go, as JSON lines")
    .option("--limit <count>", "no more than so many prompts of the file", wholeNumber(1))
    .option("--chat", "a conversation in the terminal")
    .option("--system <text>", "system message before --prompt or --chat")
    .option("-n, --samples <count>", "answers to each prompt", wholeNumber(1), 1)
    .option("--max-new-tokens <count>", "longest answer", number, 256)
    .option("--temperature <number>", "0 takes the likeliest token each time", number, 1)
    .option(
      "--top-p <number>",
      "draw among the likeliest tokens that together reach this probability",
      number,
    )
    .option("--top-k <count>", "draw among so many likeliest tokens", number)
    .option("--min-p <number>", "draw among tokens at least this fraction as likely as the likeliest", number)
    .option("--repetition-penalty <number>", "above 1: tokens that were there before come less often", number)
    .option("--stop <text>", "ends an answer where it would come; may be given several times", collect, [])
    .option("--seed <number>", "decides the answers", wholeNumber(0), 42)
    .option("--batch-size <answers>", "answers computed at once", wholeNumber(1), 32)
    .option("--plain", "plain text is continued as it stands, without the chat template")
    .option(
      "--chat-template <template>",
      "name, file or text of a chat template; default: the tokenizer's own",
    );
  withMachineOptions(command).action(run);
}

function number(text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && !Number.isNaN(value)) return value;
  throw new InvalidArgumentError("Expected a number.");
}

async function run(words: Words): Promise<void> {
  checkMode(words);
  const sampling = await samplingOf(words);
  const phases = new Phases();
  const options: GenerationOptions = {
    ...environmentOf(words),
    model: words.model,
    adapters: words.adapter,
    isPlain: words.plain ?? false,
    chatTemplate: words.chatTemplate ?? null,
    limits: { maxRunning: Math.max(words.batchSize, sampling.n) },
    onPhase: phases.listen,
  };
  if (words.prompts !== undefined) return answerFile(words, options, sampling);
  const { openGeneration } = await import("../recipes/generation.ts");
  await using generation = await openGeneration(options);
  phases.done();
  if (words.chat) {
    const { chat } = await import("./chat.ts");
    await chat(generation, sampling, words.system ?? null);
  } else {
    await answerPrompt(generation, sampling, words);
  }
}

function checkMode(words: Words): void {
  const modes = (["prompt", "prompts", "chat"] as const).filter((name) => words[name] !== undefined);
  if (modes.length !== 1) {
    const got = modes.length === 0 ? "none of them" : modes.map((name) => `--${name}`).join(" and ");
    throw new ConfigError(`expected --prompt TEXT, --prompts FILE or --chat, got ${got}.`);
  }
  const [mode] = modes;
  if (mode === "prompts" && words.output === undefined) {
    throw new ConfigError("--prompts needs --output FILE.jsonl, where the answers go.");
  }
  if (mode !== "prompts" && (words.output ?? words.limit) !== undefined) {
    throw new ConfigError("--output and --limit go with --prompts FILE.");
  }
  if (mode === "prompts" && words.system !== undefined) {
    throw new ConfigError(
      "--system goes with --prompt and --chat; in a file, a message with role system says it.",
    );
  }
  refuseSameAnswers(words);
  refuseUnusedDraws(words);
  if (mode === "chat" && (words.samples > 1 || words.adapter.length > 1)) {
    throw new ConfigError("--chat has one answer at a time: take out --samples, and name one adapter.");
  }
}

/** At temperature 0 nothing is drawn, so what narrows the draw has no effect. */
function refuseUnusedDraws({ temperature, topP, topK, minP }: Words): void {
  const given = Object.entries({ "--top-p": topP, "--top-k": topK, "--min-p": minP });
  const [unused] = given.find(([, value]) => value !== undefined) ?? [];
  if (!isGreedyAt(temperature) || unused === undefined) return;
  throw new ConfigError(
    `${unused} has no effect here: at temperature ${temperature} the likeliest token is taken each time. Take one of the two out.`,
  );
}

async function samplingOf(words: Words): Promise<SamplingSettings> {
  const { checkSampling } = await import("../generate/check-request.ts");
  const settings: SamplingSettings = {
    n: words.samples,
    maxNewTokens: words.maxNewTokens,
    temperature: words.temperature,
    topK: words.topK ?? null,
    topP: words.topP ?? null,
    minP: words.minP ?? null,
    repetitionPenalty: words.repetitionPenalty ?? null,
    stop: words.stop,
    seed: words.seed,
    logprobs: null,
  };
  checkSampling(settings, {
    maxNewTokens: "--max-new-tokens",
    temperature: "--temperature",
    topK: "--top-k",
    topP: "--top-p",
    minP: "--min-p",
    repetitionPenalty: "--repetition-penalty",
  });
  if (settings.stop.includes("")) throw new ConfigError(`--stop: expected a text, got "".`);
  return settings;
}

async function answerFile(
  { prompts, output, limit }: Words,
  options: GenerationOptions,
  sampling: SamplingSettings,
): Promise<void> {
  const { generateFile } = await import("../recipes/generate.ts");
  let progress: PhaseProgress | null = null;
  const { tokens, seconds, total } = await generateFile({
    ...options,
    prompts: prompts ?? "",
    output: output ?? "",
    limit: limit ?? null,
    sampling,
    onProgress: (now) => {
      progress ??= new PhaseProgress("prompts answered", now.total);
      // the file is written next
      if (now.done === now.total) finishFirst();
      progress.update(now.done, `${rate(now.tokens, now.seconds)} tokens/s`);
    },
  });
  (progress as PhaseProgress | null)?.done();
  const speed = tokens > 0 ? ` (${tokens} tokens, ${rate(tokens, seconds)} a second)` : "";
  process.stdout.write(`${total} prompts answered: ${output}${speed}\n`);
}

function rate(tokens: number, seconds: number): string {
  return (tokens / Math.max(seconds, 1e-3)).toFixed(0);
}

async function answerPrompt(generation: Generation, sampling: SamplingSettings, words: Words): Promise<void> {
  const { answer } = await import("./chat.ts");
  const text = words.prompt ?? "";
  if (!generation.isChat && words.system !== undefined) {
    throw new ConfigError("--system needs a chat template: leave out --plain, or give --chat-template.");
  }
  const system = words.system === undefined ? [] : [{ role: "system" as const, content: words.system }];
  const prompt = await generation.encode(
    generation.isChat ? [...system, { role: "user", content: text }] : text,
  );
  for (const voice of generation.voices) {
    if (generation.voices.length > 1) process.stdout.write(`--- ${voice.name}\n`);
    await answer({ generation, sampling, prompt, voice });
  }
}
