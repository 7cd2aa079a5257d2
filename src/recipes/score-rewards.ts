/** Scoring a data file of pairs with a reward model: the reward of either completion, and how often the chosen one has more. */
import { at } from "../base/at.ts";
import { FormatError } from "../base/errors.ts";
import { writeFileAtomic } from "../base/files.ts";
import { stringifyNumbers } from "../base/json-numbers.ts";
import type { PhaseListener } from "../base/phase-listener.ts";
import { describeOrigin, type Example } from "../data/example.ts";
import type { PreflightReport } from "../data/preflight.ts";
import { firstsFirst } from "../distributed/once-per-host.ts";
import type { RankGroup } from "../distributed/rank-group.ts";
import { isTunedModel, readAdapter } from "../formats/adapter.ts";
import { readModelConfig } from "../formats/hf-config.ts";
import type { Quantisation } from "../formats/quantisation.ts";
import { type EnvironmentOptions, settleEnvironment } from "../forward/environment.ts";
import type { Numerics } from "../forward/numerics.ts";
import { withLocalModels } from "../hub/hub-model.ts";
import { reward } from "../methods/reward/loss.ts";
import { loadRewardModel } from "../models/load-reward-model.ts";
import { accuracyOf, type RewardAccuracy, type RewardedRow } from "../online/reward-accuracy.ts";
import { checkAdaptedBase } from "../runs/adapted-base.ts";
import { tellOtherThinking } from "../runs/trained-thinking.ts";
import { tellOtherTemplate } from "../text/trained-template.ts";
import { scope } from "../torch/index.ts";
import { evaluate } from "../train/evaluate.ts";
import { type DataSelection, rowsOf } from "../train/prepare-data.ts";
import { prepareOnRanks, requireRows } from "../train/shared-rows.ts";
import { evaluationBatches } from "../train/step-source.ts";
import { agreeOnFiles, agreeOnModel } from "./ranks.ts";

/** What to score, with what. Names as in a run's configuration where it has them. */
export interface RewardScoreOptions extends EnvironmentOptions {
  /** A reward model, or the language model that `adapter` makes one of. */
  model: string;
  adapter?: string | null;
  /** How the linears of the model's blocks are held; default: as they are stored. */
  quantise?: Quantisation | null;
  data: string;
  batchSize?: number;
  selection?: Partial<DataSelection>;
  onPhase?: PhaseListener;
  /** The ranks that share the rows; each gets all results. Left out: this process is the only one. */
  group?: RankGroup | null;
}

/** Result of `scoreRewards`. */
export interface RewardScoreResult {
  rows: RewardedRow[];
  accuracy: RewardAccuracy;
  /** The objective's over all rows: loss (margins of rows included), margin, mean_reward … */
  metrics: Record<string, number>;
  preflight: PreflightReport;
}

/** Whether `model`, with `adapter` if there is one, is a reward model, by its files. */
export function isRewardModel(model: string, adapter: string | null): boolean {
  if (adapter !== null && !isTunedModel(adapter)) return readAdapter(adapter).config.taskType === "SEQ_CLS";
  return readModelConfig(model).isRewardModel;
}

/**
 * The rewards of every row of `data`.
 *
 * @throws {DataError} if rows are faulty
 * @throws {FormatError} if the model is no reward model, or a reward is not finite
 */
export async function scoreRewards(given: RewardScoreOptions): Promise<RewardScoreResult> {
  const { group = null } = given;
  const options = await firstsFirst(group, () => withLocalModels(given));
  agreeOnModel(group, options);
  checkAdaptedBase(options);
  tellOtherTemplate({ ...options, chatTemplate: options.selection?.chat_template });
  tellOtherThinking({ ...options, enableThinking: options.selection?.enable_thinking });
  const { device, dtype } = settleEnvironment(options);
  const { model: dir, data, batchSize = 8, selection, onPhase = () => {}, quantise = null } = options;
  const { dataset } = await prepareOnRanks(
    group,
    rowsOf(data, { model_name_or_path: dir, task: "reward", ...selection }),
    onPhase,
  );
  requireRows(group, dataset.report);
  if (group !== null) agreeOnFiles(group, { rows: dataset.fingerprint });
  const { examples } = dataset;
  using _ = scope();
  onPhase("models loaded", 0, 1);
  const model = loadRewardModel(dir, { device, dtype, quantise, adapter: options.adapter ?? null });
  onPhase("models loaded", 1, 1);
  const numerics: Numerics = { dtype, gradient_checkpointing: false, logits_chunk_size: null };
  const keys = { per_device_eval_batch_size: batchSize, share_prompt: true, scores: true };
  const batches = evaluationBatches(examples, keys);
  const objective = reward({ center_rewards_coefficient: 0 });
  const { metrics, means } = evaluate(
    { model, objective, numerics, reference: null, group },
    batches,
    examples,
    (done, of) => onPhase("rows scored", Math.ceil((done * examples.length) / of), examples.length),
  );
  const rows = examples.map((example, i) => rowOf(example, means.of(i)));
  const { accuracy: _accuracy, ...others } = metrics;
  return { rows, accuracy: accuracyOf(rows), metrics: others, preflight: dataset.report };
}

function rowOf({ origin, completions }: Example, rewards: Float64Array): RewardedRow {
  const [chosen, rejected] = [at(rewards, 0), at(rewards, 1)];
  if (!Number.isFinite(chosen) || !Number.isFinite(rejected)) {
    throw new FormatError(
      `${describeOrigin(origin)}: the rewards are ${chosen} and ${rejected}, though every weight is finite: the model's numbers grow ` +
        "too large on the way. Compute in float32 (--dtype float32).",
    );
  }
  return {
    ...{ file: origin.file, line: origin.line },
    "reward/chosen": chosen,
    "reward/rejected": rejected,
    "num_tokens/chosen": at(completions, 0).ids.length,
    "num_tokens/rejected": at(completions, 1).ids.length,
  };
}

/** Writes rewarded rows as JSON lines, the figures over all of them as the last line. */
export function writeRewards(path: string, result: RewardScoreResult): void {
  const lines = result.rows.map(stringifyNumbers);
  lines.push(stringifyNumbers(rewardSummary(result)));
  writeFileAtomic(path, `${lines.join("\n")}\n`);
}

/** The figures over all rows. */
export function rewardSummary({ accuracy: figures, metrics }: RewardScoreResult): Record<string, unknown> {
  const range = ({ low, high }: RewardAccuracy["gainInterval"]) => [low, high];
  return {
    objective: "reward",
    pairs: figures.pairs,
    accuracy: figures.accuracy,
    "accuracy/interval": range(figures.accuracyInterval),
    length_accuracy: figures.lengthAccuracy,
    "length_accuracy/interval": range(figures.lengthInterval),
    "accuracy_over_length/interval": range(figures.gainInterval),
    "accuracy/chosen_longer": figures.accuracyOfLonger,
    "accuracy/chosen_shorter": figures.accuracyOfShorter,
    ...metrics,
  };
}
