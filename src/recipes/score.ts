/** Scoring a data file with a model: one line a pair, and an objective's value over all of them. */
import { at } from "../base/at.ts";
import { ConfigError } from "../base/errors.ts";
import { writeFileAtomic } from "../base/files.ts";
import { stringifyNumbers } from "../base/json-numbers.ts";
import type { PhaseListener } from "../base/phase-listener.ts";
import { warn } from "../base/warn.ts";
import type { Dataset } from "../data/dataset.ts";
import { describeOrigin, type Example } from "../data/example.ts";
import type { PreflightReport } from "../data/preflight.ts";
import { firstsFirst } from "../distributed/once-per-host.ts";
import type { RankGroup } from "../distributed/rank-group.ts";
import { isTunedModel, readAdapter } from "../formats/adapter.ts";
import type { Quantisation } from "../formats/quantisation.ts";
import { storedConfig } from "../formats/tied-head.ts";
import type { MicroBatch } from "../forward/batch.ts";
import { type EnvironmentOptions, settleEnvironment } from "../forward/environment.ts";
import type { Numerics } from "../forward/numerics.ts";
import { requireFiniteScore, scoreBatch } from "../forward/score-batch.ts";
import { withLocalModels } from "../hub/hub-model.ts";
import { klOverOf, needsReference, type Objective, takesReferenceTokens } from "../methods/objective.ts";
import type { Adapter } from "../models/adapt.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { loadModel } from "../models/load.ts";
import { installAdapter } from "../models/load-adapter.ts";
import { checkAdaptedBase } from "../runs/adapted-base.ts";
import { tellOtherThinking } from "../runs/trained-thinking.ts";
import { tellOtherTemplate } from "../text/trained-template.ts";
import { scope } from "../torch/index.ts";
import type { ReferenceSource } from "../train/completion-logps.ts";
import { evaluate } from "../train/evaluate.ts";
import { refuseGivenSums, unusedSumNotes } from "../train/given-sums.ts";
import { groupsOfEvaluation } from "../train/mismatched.ts";
import { type DataSelection, rowsOf, taskOf } from "../train/prepare-data.ts";
import {
  givenReference,
  liveReference,
  modelReference,
  referenceFrom,
  referencePass,
} from "../train/reference.ts";
import { shareOf } from "../train/row-shares.ts";
import { prepareOnRanks, requireRows } from "../train/shared-rows.ts";
import { evaluationBatches, packingOf } from "../train/step-source.ts";
import { batchesWithKl } from "./kl-estimates.ts";
import { agreeOnFiles, agreeOnModel } from "./ranks.ts";

/** What to score, with what. Names as in a run's configuration where it has them. */
export interface ScoreOptions extends EnvironmentOptions {
  model: string;
  /** A PEFT adapter, or at a scale a model tuned from `model`. */
  adapter?: string | null;
  data: string;
  /** Adds the objective's loss and metrics over all rows. */
  objective?: Objective | null;
  /** Model whose log-probs are the reference of an objective that needs one; default: what the rows bring, else the model without its adapter. */
  reference?: string | null;
  /** Also give each token's log-prob. */
  perToken?: boolean;
  batchSize?: number;
  selection?: Partial<DataSelection>;
  onPhase?: PhaseListener;
  /** How the model's linears are held; default: as they are stored. */
  quantise?: Quantisation | null;
  /** The ranks that share the rows, each with the whole model, and all of which get the result; left out: this process is the only one. */
  group?: RankGroup | null;
}

/** One scored row. */
export interface ScoredRow {
  file: string;
  line: number;
  /** Of rows of one labelled answer. */
  label?: boolean;
  /** Sums over completion tokens, nats. A row without a rejected answer has only the first of each. */
  "logps/chosen": number;
  "logps/rejected"?: number;
  "num_tokens/chosen": number;
  "num_tokens/rejected"?: number;
  "token_logps/chosen"?: number[];
  "token_logps/rejected"?: number[];
}

/** Result of `score`. */
export interface ScoreResult {
  rows: ScoredRow[];
  /** Loss and metrics of the objective over all rows, or null when none was asked for. */
  objective: { name: string; loss: number; metrics: Record<string, number> } | null;
  preflight: PreflightReport;
}

/**
 * Log-probabilities of every row of `data`.
 *
 * @throws {DataError} if rows are faulty
 * @throws {ConfigError} if the objective needs a reference and there is none
 * @throws {FormatError} if a weight or a log-prob is not finite
 */
export async function score(given: ScoreOptions): Promise<ScoreResult> {
  const { group = null } = given;
  const options = await firstsFirst(group, () => withLocalModels(given));
  agreeOnModel(group, options);
  checkAdaptedBase(options);
  tellOtherTemplate({ ...options, chatTemplate: options.selection?.chat_template });
  tellOtherThinking({ ...options, enableThinking: options.selection?.enable_thinking });
  const environment = settleEnvironment(options);
  const onPhase = options.onPhase ?? (() => {});
  const { model: modelNameOrPath, data, batchSize = 8, selection } = options;
  const task = taskOf(options.objective?.over ?? "pairs", false);
  const { dataset } = await prepareOnRanks(
    group,
    rowsOf(data, { model_name_or_path: modelNameOrPath, task, isMeasured: true, ...selection }),
    onPhase,
  );
  requireRows(group, dataset.report);
  if (group !== null) agreeOnFiles(group, { rows: dataset.fingerprint });
  if (options.objective) checkReference(options.objective, options, dataset);
  using _ = scope();
  const { device, dtype } = environment;
  onPhase("models loaded", 0, 1);
  const tuned = options.adapter && isTunedModel(options.adapter) ? options.adapter : null;
  const quantise = options.quantise ?? null;
  const model = loadModel(options.model, { device, dtype, quantise, adapter: tuned });
  const adapter =
    options.adapter && tuned === null ? installAdapter(model, readAdapter(options.adapter)) : null;
  onPhase("models loaded", 1, 1);
  const numerics: Numerics = { dtype, gradient_checkpointing: false, logits_chunk_size: null };
  const batches = evaluationBatches(dataset.examples, {
    per_device_eval_batch_size: batchSize,
    share_prompt: true,
    ...(options.objective ? packingOf(options.objective) : {}),
  });
  const { perToken = false } = options;
  const rows = scoreRows({ model, numerics, batches, group, onPhase }, dataset.examples, perToken);
  const objective = options.objective ?? null;
  if (objective === null) return { rows, objective: null, preflight: dataset.report };
  const reference = needsReference(objective)
    ? referenceOf(objective, options, { model, adapter, numerics, batches, examples: dataset.examples })
    : null;
  const { examples, report } = dataset;
  const over = klOverOf(objective);
  const groups =
    over === null ? [] : groupsOfEvaluation(examples.length, over, { chunk: batchSize, batch: batchSize });
  const measured =
    reference === null
      ? batches
      : batchesWithKl(batches, {
          ...{ examples, groups, model, numerics, reference, group, batchSize },
          report,
        });
  const { metrics } = evaluate({ model, objective, numerics, reference, group }, measured, examples);
  const { loss = Number.NaN, ...others } = metrics;
  return { rows, objective: { name: objective.name, loss, metrics: others }, preflight: dataset.report };
}

interface Scoring {
  model: CausalLM;
  numerics: Numerics;
  batches: readonly MicroBatch[];
}

function scoreRows(
  { model, numerics, batches, group, onPhase }: Scoring & { group: RankGroup | null; onPhase: PhaseListener },
  examples: readonly Example[],
  perToken: boolean,
): ScoredRow[] {
  const rows: ScoredRow[] = examples.map(({ origin: { file, line }, label }) => ({
    file,
    line,
    ...(label === undefined ? {} : { label }),
    "logps/chosen": Number.NaN,
    "num_tokens/chosen": 0,
  }));
  const share = shareOf(batches, group);
  const found: number[] = [];
  onPhase("rows scored", 0, examples.length);
  for (const [round, batch] of share.entries()) {
    if (batch.isIdle === true) break;
    for (const answer of scoreBatch(model, batch, numerics)) {
      const row = at(rows, answer.index);
      const role = answer.completion === 0 ? "chosen" : "rejected";
      requireFiniteScore(answer, describeOrigin(row), role);
      row[`logps/${role}`] = answer.sum;
      row[`num_tokens/${role}`] = answer.logps.length;
      if (perToken) row[`token_logps/${role}`] = Array.from(answer.logps);
    }
    found.push(...batch.indices);
    onPhase("rows scored", Math.ceil(((round + 1) * examples.length) / share.length), examples.length);
  }
  if (group === null) return rows;
  // each row is of one rank
  const all = group.gather(found.map((index): [number, ScoredRow] => [index, at(rows, index)])).flat();
  for (const [index, row] of all) rows[index] = row;
  return rows;
}

/**
 * Where an objective that compares takes its reference from: the model that is named; else the sums of the rows; else the model
 * before it was trained. Warns of sums that are not used.
 *
 * @throws {ConfigError} where there is none of these, sums are not what the objective needs, or the model lacks tokens of the rows
 */
function checkReference(
  objective: Objective,
  { reference = null, adapter = null }: ScoreOptions,
  dataset: Dataset,
): void {
  for (const text of unusedSumNotes(objective, dataset, reference)) warn(text);
  if (!needsReference(objective)) return;
  if (reference !== null) {
    requireTokens(reference, dataset.examples);
    return;
  }
  refuseGivenSums(objective, dataset);
  const tokens = takesReferenceTokens(objective);
  if (adapter !== null || givenReference(dataset.examples, { tokens }) !== null) return;
  const ways = ["name the model trained from with --reference DIR", "score an adapter"];
  // sums tell nothing of single tokens, and rows of one answer have none
  const sums =
    tokens || objective.over !== "pairs" ? [] : ["give rows with ref_chosen_logps and ref_rejected_logps"];
  const what = tokens ? "the start's log-probs of single tokens" : "reference log-probs";
  throw new ConfigError(`${objective.name} needs ${what}: ${[...ways, ...sums].join(", or ")}.`);
}

/** @throws {ConfigError} for a row with a token that the model in `dir` has no embedding of */
function requireTokens(dir: string, examples: readonly Example[]): void {
  const { vocabSize } = storedConfig(dir);
  for (const { origin, promptIds, completions } of examples) {
    const beyond = [promptIds, ...completions.map(({ ids }) => ids)].flat().find((id) => id >= vocabSize);
    if (beyond === undefined) continue;
    throw new ConfigError(
      `${dir}: expected a reference of the same tokens as the model, it has ${vocabSize}, and ${describeOrigin(origin)} has the token ` +
        `${beyond}. Name the model trained from, whose tokenizer is the same.`,
    );
  }
}

function referenceOf(
  objective: Objective,
  { reference = null, model: start }: ScoreOptions,
  { adapter, examples, ...scored }: Scoring & { adapter: Adapter | null; examples: readonly Example[] },
): ReferenceSource {
  const pass = referencePass(objective, scored.numerics);
  const given = reference === null ? givenReference(examples, pass) : null;
  if (given !== null) return referenceFrom(given);
  if (reference === null && adapter !== null) return liveReference(scored.model, adapter, pass);
  const { device } = scored.model;
  // without an adapter in it the model is named, or was tuned from its start
  return modelReference(loadModel(reference ?? start, { device, dtype: scored.numerics.dtype }), pass);
}

/** Writes scored rows as JSON lines; the last line holds the objective's value when there is one. */
export function writeScores(path: string, { rows, objective }: ScoreResult): void {
  const lines: string[] = rows.map(stringifyNumbers);
  if (objective !== null) {
    lines.push(stringifyNumbers({ objective: objective.name, loss: objective.loss, ...objective.metrics }));
  }
  writeFileAtomic(path, `${lines.join("\n")}\n`);
}
