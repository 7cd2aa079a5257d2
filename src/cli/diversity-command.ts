/** `preftune evaluate diversity`. */
import { Command, InvalidArgumentError, Option } from "commander";
import { ConfigError } from "../base/errors.ts";
import { counted } from "../base/number-text.ts";
import type { Diversity, DiversityMetric, Unit } from "../evaluate/diversity/diversity.ts";
import type { DiversityReport, DiversitySource } from "../evaluate/diversity/evaluate-diversity.ts";
import { Phases } from "../terminal/phases.ts";
import { oneLine, textTable } from "../terminal/text-table.ts";
import { finishFirst } from "./leave.ts";
import {
  environmentOf,
  givenOption,
  type MachineOptions,
  refuseSameCompletions,
  type TemplateOptions,
  templateOf,
  wholeNumber,
  withMachineOptions,
  withTemplateOptions,
} from "./options.ts";

interface CliOptions extends MachineOptions, TemplateOptions {
  answers?: string;
  model?: string;
  adapter?: string;
  prompts?: string;
  limit?: number;
  samples: number;
  temperature: number;
  maxNewTokens: number;
  seed: number;
  plain?: true;
  unit: Unit;
  perPrompt?: true;
  output?: string;
}

/** The command `diversity`, to be added to `evaluate`. */
export function diversityCommand(): Command {
  const command = new Command("diversity")
    .description("repetition, termination and Markdown of a model's completions")
    .option("--answers <file>", "existing completions: JSONL, JSON, CSV or Parquet; see docs/collapse.md")
    .option("--model <dir>", "or a model to sample from: Hugging Face directory or hub id")
    .option("--adapter <dir>", "PEFT adapter directory or hub id")
    .option("--prompts <file>", "prompts: rows with prompt, messages or turns")
    .option("--limit <count>", "only the first prompts", wholeNumber(1))
    .option("--samples <count>", "completions per prompt", wholeNumber(1), 4)
    .option("--temperature <number>", "sampling temperature; 0 = greedy", temperature, 1)
    .option("--max-new-tokens <count>", "longest completion", wholeNumber(1), 256)
    .option("--seed <number>", "random seed", wholeNumber(0), 42)
    .option("--plain", "continue plain-text prompts verbatim, without the chat template")
    .addOption(
      new Option("--unit <unit>", "unit of lengths and n-grams; tokens need --model")
        .choices(["words", "tokens"])
        .default("words"),
    )
    .option("--per-prompt", "also a line for each prompt")
    .option("--output <file>", "metrics and completions: .json (everything) or .jsonl (one line per prompt)");
  return withMachineOptions(withTemplateOptions(command)).action(run);
}

function temperature(text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value >= 0 && text.trim() !== "") return value;
  throw new InvalidArgumentError("Expected a number of at least 0.");
}

async function run(cli: CliOptions, command: Command): Promise<void> {
  const { requireOtherOutput } = await import("../data/other-output.ts");
  const { evaluateDiversity, formatOf, writeDiversity } = await import(
    "../evaluate/diversity/evaluate-diversity.ts"
  );
  const phases = new Phases();
  const source = sourceOf(cli, command, phases);
  if (cli.output !== undefined) {
    formatOf(cli.output);
    await requireOtherOutput({ "--output": cli.output }, [
      "answers" in source ? source.answers : source.prompts,
    ]);
  }
  const report = await evaluateDiversity(source, cli.unit);
  phases.done();
  finishFirst();
  if (cli.output !== undefined) writeDiversity(cli.output, report);
  process.stdout.write(`${diversityText(report, cli.perPrompt ?? false)}\n`);
  if (cli.output !== undefined) process.stdout.write(`\n${cli.output}\n`);
}

/** The options that mean something for completions that are there. */
const ofAnswers: ReadonlySet<string> = new Set(["answers", "unit", "perPrompt", "output"]);

function sourceOf(cli: CliOptions, command: Command, phases: Phases): DiversitySource {
  const { answers, model, prompts } = cli;
  if (answers !== undefined) {
    const extra = givenOption(command, (name) => !ofAnswers.has(name));
    if (extra === null) return { answers };
    throw new ConfigError(`--answers names existing completions, ${extra} is for new ones: take it out.`);
  }
  if (model === undefined || prompts === undefined) {
    throw new ConfigError("expected --answers FILE, or --model DIR with --prompts FILE.");
  }
  refuseSameCompletions(cli);
  return {
    ...environmentOf(cli),
    model,
    adapter: cli.adapter ?? null,
    prompts,
    limit: cli.limit ?? null,
    samples: cli.samples,
    temperature: cli.temperature,
    maxNewTokens: cli.maxNewTokens,
    seed: cli.seed,
    isPlain: cli.plain ?? false,
    ...templateOf(cli),
    onPhase: phases.listen,
  };
}

type Form = "share" | "score" | "number";

/** The metrics in order: their labels, and how a value is written. */
const shown: Record<DiversityMetric, readonly [string, Form]> = {
  self_bleu: ["Self-BLEU, answers to one prompt", "score"],
  self_bleu_across: ["Self-BLEU, answers to different prompts", "score"],
  distinct_1: ["Distinct-1", "number"],
  distinct_2: ["Distinct-2", "number"],
  distinct_3: ["Distinct-3", "number"],
  repetition: ["Repeated runs of four", "share"],
  ended_properly: ["Ended properly", "share"],
  length: ["Length", "score"],
  entropy: ["Entropy, nats per token", "number"],
  vocabulary_entropy: ["Entropy of the vocabulary, nats", "number"],
  malformed: ["Malformed Markdown", "share"],
  formatted: ["Any Markdown", "share"],
};

/** Metrics that a prompt's line has. */
const briefly = ["self_bleu", "distinct_2", "repetition", "ended_properly", "length", "malformed"] as const;

/** The metrics as tables for the terminal. */
function diversityText({ unit, all, perPrompt }: DiversityReport, isLong: boolean): string {
  const rows = Object.entries(shown).map(([name, [label, form]]) => [
    name === "length" ? `Length, ${unit}` : label,
    valueText(all.metrics[name as DiversityMetric], form),
  ]);
  const faults = Object.entries(all.faults).filter(([, share]) => share > 0);
  const kinds = faults.map(([kind, share]) => [`  ${kind.replaceAll("_", " ")}`, valueText(share, "share")]);
  const at = rows.length - 1;
  const table = textTable(
    [`${all.answers} answers to ${counted(all.prompts, "prompt")}`, ""],
    [...rows.slice(0, at), ...kinds, ...rows.slice(at)],
  );
  return isLong ? `${table}\n\n${promptTable(perPrompt)}` : table;
}

function promptTable(perPrompt: readonly (Diversity & { prompt: string })[]): string {
  const columns = [
    "prompt",
    "answers",
    "Self-\nBLEU",
    "Distinct-\n2",
    "repeated",
    "ended",
    "length",
    "malformed",
  ];
  const rows = perPrompt.map(({ prompt, answers, metrics }) => [
    oneLine(prompt, 40),
    String(answers),
    ...briefly.map((name) => valueText(metrics[name], shown[name][1])),
  ]);
  return textTable(columns, rows);
}

function valueText(value: number, form: Form): string {
  if (Number.isNaN(value)) return "–";
  if (form === "share") return `${(100 * value).toFixed(1)} %`;
  return value.toFixed(form === "score" ? 1 : 3);
}
