/** `preftune score`. */
import { type Command, Option } from "commander";
import { ConfigError } from "../base/errors.ts";
import { stringifyNumbers } from "../base/json-numbers.ts";
import { loadMethod, readOption } from "../config/load-config.ts";
import type { RunConfig } from "../config/run-config.ts";
import type { PreflightReport } from "../data/preflight.ts";
import { firstsFirst } from "../distributed/once-per-host.ts";
import type { RankGroup } from "../distributed/rank-group.ts";
import type { EnvironmentOptions } from "../forward/environment.ts";
import { withLocalModels } from "../hub/hub-model.ts";
import { methodsWhere, offlineMethods, wordList } from "../methods/index.ts";
import type { Objective } from "../methods/objective.ts";
import type { RewardAccuracy } from "../online/reward-accuracy.ts";
import type { RewardScoreOptions } from "../recipes/score-rewards.ts";
import type { Interval } from "../stats/bootstrap.ts";
import { Phases } from "../terminal/phases.ts";
import { finishFirst } from "./leave.ts";
import {
  environmentOf,
  type MachineOptions,
  type ScaleOptions,
  scaledAdapter,
  type TemplateOptions,
  templateOf,
  wholeNumber,
  withAdapterScale,
  withMachineOptions,
  withPlainStrings,
  withTemplateOptions,
} from "./options.ts";
import { type QuantiseOptions, quantisationOf, withQuantiseOptions } from "./quantise-options.ts";

interface CliOptions extends MachineOptions, TemplateOptions, QuantiseOptions, ScaleOptions {
  model: string;
  data: string;
  output: string;
  limit?: number;
  objective?: string;
  preset?: string;
  reference?: string;
  perToken?: true;
  batchSize: number;
  maxLength: number;
  overflow: "error" | "drop" | "truncate";
  invalidRows: "error" | "drop";
  maskToolOutput: boolean;
  columns?: string;
  plainStrings?: "text" | "chat";
  unpair?: true;
  ratingThreshold?: string;
}

/** Adds the command to `preftune`. */
export function addScoreCommand(preftune: Command): void {
  const command = preftune
    .command("score")
    .description("log-probs of every pair of a data file, one JSON line each; of a reward model the rewards")
    .requiredOption("--model <dir>", "Hugging Face model directory or hub id")
    .option(
      "--adapter <dir>",
      "PEFT adapter directory or hub id; with --adapter-scale also a model tuned from --model",
    )
    .requiredOption("--data <file>", "preference rows: JSONL, CSV, Parquet, a directory, a glob or a hub id")
    .requiredOption("--output <file>", "JSON lines of log-probs, or rewards")
    .option("--limit <count>", "only the first rows", wholeNumber(1))
    .option(
      "--objective <name>",
      `also the value of ${wordList(offlineMethods, "or")} over all rows, as the last line`,
    )
    .option("--preset <name>", "the objective's preset, e.g. script")
    .option(
      "--reference <dir>",
      "model of the reference log-probs; default: what the rows bring, else the model without its adapter",
    )
    .option("--per-token", "also every token's log-prob")
    .option("--batch-size <pairs>", "pairs at once", wholeNumber(1), 8)
    .option("--max-length <tokens>", "limit of prompt plus longer completion", wholeNumber(8), 1024)
    .addOption(
      new Option("--overflow <policy>", "treatment of longer rows")
        .choices(["error", "drop", "truncate"])
        .default("error"),
    )
    .addOption(
      new Option("--invalid-rows <what>", "what happens to rows with errors")
        .choices(["error", "drop"])
        .default("error"),
    )
    .option("--columns <mapping>", "the file's names of columns, e.g. prompt=question or {prompt: question}")
    .option("--unpair", "split pairs into two labelled answers, for an objective over these")
    .option("--rating-threshold <number>", "for such an objective: ratings from there on are good")
    .option("--no-mask-tool-output", "count tool output within a completion, as TRL's DPO does");
  withAdapterScale(
    withQuantiseOptions(withMachineOptions(withPlainStrings(withTemplateOptions(command)))),
  ).action(run);
}

async function run(cli: CliOptions): Promise<void> {
  const { openCommand } = await import("../recipes/ranks.ts");
  const { toldToAll } = await import("../distributed/together.ts");
  const cure = "Give all ranks the same options.";
  const facts = { "options of score": { value: JSON.stringify(cli), cure } };
  const { group, options } = await openCommand(environmentOf(cli), facts);
  using _ = group;
  try {
    await runOn(cli, options, group);
  } catch (error) {
    throw toldToAll(group, error);
  }
}

/** Scores on this rank, or the only process; rank 0 writes and prints. */
async function runOn(
  cli: CliOptions,
  environment: EnvironmentOptions,
  group: RankGroup | null,
): Promise<void> {
  const { score, writeScores } = await import("../recipes/score.ts");
  const { isRewardModel } = await import("../recipes/score-rewards.ts");
  const phases = new Phases();
  const isFirst = group === null || group.rank === 0;
  const { requireOtherOutput } = await import("../data/other-output.ts");
  await requireOtherOutput({ "--output": cli.output }, [cli.data]);
  const objective = await objectiveNamed(cli);
  refuseLabelOptions(cli, objective);
  const template = templateOf(cli);
  const named = {
    ...environment,
    model: cli.model,
    adapter: scaledAdapter(cli),
    data: cli.data,
    batchSize: cli.batchSize,
    quantise: quantisationOf(cli),
    selection: {
      max_train_rows: cli.limit ?? null,
      max_length: cli.maxLength,
      overflow: cli.overflow,
      invalid_rows: cli.invalidRows,
      mask_tool_output: cli.maskToolOutput,
      columns: columnsOf(cli),
      plain_strings: cli.plainStrings ?? null,
      chat_template: template.chatTemplate,
      enable_thinking: template.enableThinking,
      unpair: cli.unpair ?? false,
      rating_threshold: thresholdOf(cli),
    },
    onPhase: isFirst ? phases.listen : () => {},
  };
  const scored = await firstsFirst(group, () => withLocalModels(named));
  const wantsRewards = objective?.over === "scores";
  if (wantsRewards || (objective === null && isRewardModel(scored.model, scored.adapter))) {
    return runRewards(cli, { ...scored, group }, phases);
  }
  const { reference = null, perToken = false } = cli;
  const result = await score({ ...scored, objective, reference, perToken, group });
  if (!isFirst) return group?.barrier();
  phases.done();
  finishFirst();
  writeScores(cli.output, result);
  group?.barrier();
  const { objective: valued } = result;
  process.stdout.write(`${result.rows.length} rows scored: ${cli.output}\n${leftOutText(result.preflight)}`);
  if (valued === null) return;
  const value = { objective: valued.name, loss: valued.loss, ...valued.metrics };
  process.stdout.write(`${stringifyNumbers(value)}\n`);
}

async function runRewards(
  { output, perToken }: CliOptions,
  options: RewardScoreOptions,
  phases: Phases,
): Promise<void> {
  if (perToken === true) {
    throw new ConfigError(
      "--per-token has no effect here: a reward model gives one number a completion. Take it out.",
    );
  }
  const { rewardSummary, scoreRewards, writeRewards } = await import("../recipes/score-rewards.ts");
  const { group = null } = options;
  const result = await scoreRewards(options);
  if (group !== null && group.rank > 0) return group.barrier();
  phases.done();
  finishFirst();
  writeRewards(output, result);
  group?.barrier();
  process.stdout.write(`${result.rows.length} rows scored: ${output}\n${leftOutText(result.preflight)}`);
  process.stdout.write(rewardText(result.accuracy));
  process.stdout.write(`${stringifyNumbers(rewardSummary(result))}\n`);
}

/** The accuracy for people, beside that of "the longer completion". */
export function rewardText(figures: RewardAccuracy): string {
  const { accuracy, accuracyInterval, lengthAccuracy, lengthInterval, gainInterval, pairs } = figures;
  const { accuracyOfLonger, accuracyOfShorter } = figures;
  const percent = (share: number) => (100 * share).toFixed(1);
  const range = ({ low, high }: Interval) => `${percent(low)} to ${percent(high)}`;
  return (
    `the chosen answer has the greater reward in ${percent(accuracy)} % of ${pairs} pairs (95 %: ${range(accuracyInterval)}); ` +
    `it is the longer one in ${percent(lengthAccuracy)} % (${range(lengthInterval)}); difference ${range(gainInterval)} points\n` +
    `where it is the longer one the reward is right in ${percent(accuracyOfLonger)} %, where it is the shorter one in ${percent(accuracyOfShorter)} %\n`
  );
}

/** @throws {ConfigError} for options of labelled answers without an objective over these */
function refuseLabelOptions({ unpair, ratingThreshold }: CliOptions, objective: Objective | null): void {
  if ((unpair === undefined && ratingThreshold === undefined) || objective?.over === "labelled") return;
  const given = unpair === true ? "--unpair" : "--rating-threshold";
  const names = wordList(
    methodsWhere(({ over }) => over === "labelled"),
    "or",
  );
  throw new ConfigError(
    `${given} has no effect here: it is for rows of one labelled answer. Give --objective ${names}, or take it out.`,
  );
}

/** The threshold, read and checked as a run's configuration has it. */
function thresholdOf({ ratingThreshold }: CliOptions): RunConfig["rating_threshold"] {
  return ratingThreshold === undefined ? null : readOption("rating_threshold", ratingThreshold);
}

/** The mapping, read and checked as a run's configuration has it. */
function columnsOf({ columns }: CliOptions): RunConfig["columns"] {
  return columns === undefined ? null : readOption("columns", columns);
}

/** What became of the rows that were not scored, and of those that were cut; nothing where there are none. */
export function leftOutText({ counts }: Pick<PreflightReport, "counts">): string {
  const { read, dropped, truncatedRows, truncatedTokens } = counts;
  const reasons = Object.entries(dropped).filter(([, count]) => count > 0);
  const all = reasons.reduce((sum, [, count]) => sum + count, 0);
  const named = reasons.map(([reason, count]) => `${count} ${reason}`).join(", ");
  const left = all > 0 ? `${all} of ${read} rows were left out: ${named}\n` : "";
  return truncatedRows > 0 ? `${left}${truncatedRows} rows were cut by ${truncatedTokens} tokens\n` : left;
}

/** The objective with its preset's values, checked by the rules of a run's configuration. */
async function objectiveNamed({ objective, preset, reference }: CliOptions): Promise<Objective | null> {
  if (objective === undefined && preset !== undefined) throw new ConfigError("--preset needs --objective");
  const method = objective === undefined ? null : loadMethod({ objective, preset });
  if (method !== null && !offlineMethods.includes(method.objective)) {
    throw new ConfigError(
      `--objective: ${method.objective} is computed on scored completions of the model's own, not on rows of a file. Take ${wordList(offlineMethods, "or")}.`,
    );
  }
  const withReference = methodsWhere(({ needsReference }) => needsReference);
  if (reference !== undefined && (method === null || !withReference.includes(method.objective))) {
    throw new ConfigError(
      `--reference has no effect here: only --objective ${wordList(withReference, "or")} has a reference. Take it out.`,
    );
  }
  if (method === null) return null;
  const { objectiveOf } = await import("../methods/losses.ts");
  return objectiveOf(method);
}
