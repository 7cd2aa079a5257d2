/** `preftune generate`: one prompt, a file of prompts, or a chat in the terminal. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { ConfigError } from "../base/errors.ts";
import { Stages, stagesText } from "../base/stages.ts";
import { isGreedyAt } from "../base/temperature.ts";
import { type Launch, startedBy } from "../distributed/launch.ts";
import type { EnvironmentOptions } from "../forward/environment.ts";
import { topKOf } from "../generate/request.ts";
import type { GeneratingRanks } from "../recipes/generation-ranks.ts";
import type { Generation, GenerationOptions, SamplingSettings } from "../recipes/open-generation.ts";
import { PhaseProgress, Phases } from "../terminal/phases.ts";
import { launchOrNone } from "./launched-ranks.ts";
import { finishFirst } from "./leave.ts";
import {
  collect,
  environmentOf,
  type MachineOptions,
  refuseSameCompletions,
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
  timings?: true;
  shard?: GeneratingRanks["shard"];
}

/** Adds the command to `preftune`. */
export function addGenerateCommand(preftune: Command): void {
  const command = preftune
    .command("generate")
    .description("sample from a model: one prompt, a file of prompts, or a chat")
    .requiredOption("--model <dir>", "Hugging Face model directory or hub id")
    .option(
      "--adapter <dir>",
      'PEFT adapter directory or hub id, or NAME=DIR; may be given several times, "base" for the model without one; DIR@scale=0.4 takes 0.4 of it',
      collect,
      [],
    )
    .option("--prompt <text>", "one prompt; the completion is printed")
    .option(
      "--prompts <file>",
      "prompts of a file: rows with prompt, messages or turns, or the lines of a .txt; - for standard input",
    )
    .option("--output <file>", "completions of --prompts, as JSON lines")
    .option("--limit <count>", "only the first prompts of the file", wholeNumber(1))
    .option("--chat", "a conversation in the terminal")
    .option("--system <text>", "system message before --prompt or --chat")
    .option("-n, --samples <count>", "completions per prompt", wholeNumber(1), 1)
    .option("--max-new-tokens <count>", "longest completion", number, 256)
    .option("--temperature <number>", "sampling temperature; 0 = greedy", number, 1)
    .option(
      "--top-p <number>",
      "sample from the most likely tokens that together reach this probability",
      number,
    )
    .option("--top-k <count>", "sample from the k most likely tokens; 0 = from all", number)
    .option(
      "--min-p <number>",
      "sample from tokens at least this fraction as likely as the most likely one",
      number,
    )
    .option("--repetition-penalty <number>", "penalty for repeated tokens; 1 = off", number)
    .option("--stop <text>", "stop string; may be given several times", collect, [])
    .option("--seed <number>", "random seed", wholeNumber(0), 42)
    .option("--batch-size <count>", "completions decoded at once", wholeNumber(1), 32)
    .option("--plain", "continue plain text verbatim, without the chat template")
    .option("--timings", "with --prompt: where the time to the first token went, on standard error");
  command.addOption(
    new Option(
      "--shard <who>",
      "on several ranks: each has the whole model, or all share it in lockstep; default: the whole where it fits (auto)",
    ).choices(["auto", "none", "all"]),
  );
  withWeightsOption(withQuantiseOptions(withMachineOptions(withTemplateOptions(command)))).action(run);
}

function number(text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && !Number.isNaN(value)) return value;
  throw new InvalidArgumentError("Expected a number.");
}

async function run(cli: CliOptions): Promise<void> {
  const stages = new Stages();
  stages.end("program");
  checkMode(cli);
  const launch = launchOrNone();
  if (launch === null && cli.shard !== undefined) {
    throw new ConfigError("--shard is for several ranks, and this is one process. Leave it out.");
  }
  if (launch !== null) return runOnRanks(cli, launch);
  const sampling = await samplingOf(cli);
  const phases = new Phases();
  const options = {
    ...generationOf(cli, sampling),
    ...environmentOf(cli),
    onPhase: phases.listen,
    stages,
  };
  if (cli.prompts !== undefined) return generateFromFile(cli, options, sampling);
  const { openGeneration } = await import("../recipes/open-generation.ts");
  stages.end("modules");
  await using generation = await openGeneration(options);
  phases.done();
  if (cli.chat) {
    const { chat } = await import("./chat.ts");
    await chat(generation, sampling, cli.system ?? null);
  } else {
    await generateFromPrompt(generation, sampling, cli, stages);
  }
}

function generationOf(
  cli: CliOptions,
  sampling: SamplingSettings,
): Omit<GenerationOptions, keyof EnvironmentOptions> {
  return {
    model: cli.model,
    adapters: cli.adapter,
    isPlain: cli.plain ?? false,
    ...templateOf(cli),
    sampling,
    limits: { maxRunning: Math.max(cli.batchSize, sampling.n) },
    quantise: heldWeights(cli),
  };
}

/** The completions of a file of prompts, which several ranks divide. */
async function runOnRanks(cli: CliOptions, launch: Launch): Promise<void> {
  if (cli.prompts === undefined || cli.prompts === "-") {
    const got = cli.chat ? "--chat" : cli.prompts === undefined ? "--prompt" : "--prompts -";
    throw new ConfigError(
      `preftune generate on ${launch.size} ranks (${startedBy(launch)}) takes --prompts FILE, got ${got}. Start it by itself for that.`,
    );
  }
  const sampling = await samplingOf(cli);
  const { openCommand } = await import("../recipes/ranks.ts");
  const { failingTogether } = await import("../distributed/together.ts");
  const cure = "Give all ranks the same options.";
  const facts = { "options of generate": { value: JSON.stringify(cli), cure } };
  const { group, options } = await openCommand(environmentOf(cli), facts);
  using _ = group;
  const ranks = group === null ? null : { group, shard: cli.shard ?? "auto" };
  await failingTogether(group, () =>
    generateFromFile(cli, { ...generationOf(cli, sampling), ...options }, sampling, ranks),
  );
}

function checkMode(cli: CliOptions): void {
  const modes = (["prompt", "prompts", "chat"] as const).filter((name) => cli[name] !== undefined);
  if (modes.length !== 1) {
    const got = modes.length === 0 ? "none of them" : modes.map((name) => `--${name}`).join(" and ");
    throw new ConfigError(`expected --prompt TEXT, --prompts FILE or --chat, got ${got}.`);
  }
  const [mode] = modes;
  if (mode === "prompts" && cli.output === undefined) {
    throw new ConfigError("--prompts needs --output FILE.jsonl, where the completions go.");
  }
  if (mode !== "prompts" && (cli.output ?? cli.limit) !== undefined) {
    throw new ConfigError("--output and --limit go with --prompts FILE.");
  }
  if (mode !== "prompt" && cli.timings) {
    throw new ConfigError("--timings goes with --prompt: it ends with the first token.");
  }
  if (mode === "prompts" && cli.system !== undefined) {
    throw new ConfigError(
      "--system goes with --prompt and --chat; in a file, use a message with role system.",
    );
  }
  refuseSameCompletions(cli);
  refuseUnusedSampling(cli);
  if (mode === "chat") checkChat(cli);
}

function checkChat({ plain, samples, adapter }: CliOptions): void {
  if (plain === true) {
    throw new ConfigError(
      "--plain gives prompts to the model without a template, and --chat needs one. Take one of the two out.",
    );
  }
  if (samples === 1 && adapter.length <= 1) return;
  throw new ConfigError("--chat samples one completion at a time: take out --samples, and name one adapter.");
}

/** At temperature 0 decoding is greedy: options of sampling have no effect. */
function refuseUnusedSampling({ temperature, topP, topK, minP }: CliOptions): void {
  const given = Object.entries({ "--top-p": topP, "--top-k": topK, "--min-p": minP });
  const [unused] = given.find(([, value]) => value !== undefined) ?? [];
  if (!isGreedyAt(temperature) || unused === undefined) return;
  throw new ConfigError(
    `${unused} has no effect here: at temperature ${temperature} decoding is greedy. Take one of the two out.`,
  );
}

async function samplingOf(cli: CliOptions): Promise<SamplingSettings> {
  const { checkSampling } = await import("../generate/check-request.ts");
  const settings: SamplingSettings = {
    n: cli.samples,
    maxNewTokens: cli.maxNewTokens,
    temperature: cli.temperature,
    topK: topKOf(cli.topK),
    topP: cli.topP ?? null,
    minP: cli.minP ?? null,
    repetitionPenalty: cli.repetitionPenalty ?? null,
    stop: cli.stop,
    seed: cli.seed,
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

async function generateFromFile(
  { prompts, output, limit }: CliOptions,
  options: GenerationOptions,
  sampling: SamplingSettings,
  ranks: GeneratingRanks | null = null,
): Promise<void> {
  const { generateFile } = await import("../recipes/generate.ts");
  const isFirst = ranks === null || ranks.group.rank === 0;
  let progress: PhaseProgress | null = null;
  const { tokens, seconds, total } = await generateFile({
    ...options,
    prompts: prompts ?? "",
    output: output ?? "",
    limit: limit ?? null,
    sampling,
    ranks,
    onLayout: (reason) => {
      if (isFirst) process.stdout.write(`${reason}\n`);
    },
    onWriting: finishFirst,
    onProgress: (now) => {
      if (!isFirst) return;
      progress ??= new PhaseProgress("prompts answered", now.total);
      progress.update(now.done, `${rate(now.tokens, now.seconds)} tokens/s`);
    },
  });
  if (!isFirst) return;
  (progress as PhaseProgress | null)?.done();
  const speed = tokens > 0 ? ` (${tokens} tokens, ${rate(tokens, seconds)} a second)` : "";
  process.stdout.write(`${total} prompts answered: ${output}${speed}\n`);
}

function rate(tokens: number, seconds: number): string {
  return (tokens / Math.max(seconds, 1e-3)).toFixed(0);
}

async function generateFromPrompt(
  generation: Generation,
  sampling: SamplingSettings,
  cli: CliOptions,
  stages: Stages,
): Promise<void> {
  const { printCompletions } = await import("./chat.ts");
  const text = cli.prompt ?? "";
  if (!generation.isChat && cli.system !== undefined) {
    throw new ConfigError("--system needs a chat template: leave out --plain, or give --chat-template.");
  }
  const system = cli.system === undefined ? [] : [{ role: "system" as const, content: cli.system }];
  const prompt = await generation.encode(
    generation.isChat ? [...system, { role: "user", content: text }] : text,
  );
  stages.end("encoding the prompt");
  const onFirstToken = (): void => {
    stages.end("first token");
    if (cli.timings) process.stderr.write(`first token: ${stagesText(stages.all)}\n`);
  };
  for (const [i, variant] of generation.variants.entries()) {
    if (generation.variants.length > 1) process.stdout.write(`--- ${variant.name}\n`);
    const first = i === 0 ? { onFirstToken } : {};
    await printCompletions({ generation, sampling, prompt, variant, ...first });
  }
}
