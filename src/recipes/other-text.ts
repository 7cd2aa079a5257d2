/** Text that is neither chosen nor rejected: how far its likelihood moves says what training does beside its task. */
import { ConfigError, DataError } from "../base/errors.ts";
import type { PhaseListener } from "../base/phase-listener.ts";
import type { RunConfig } from "../config/run-config.ts";
import { isIn } from "../data/columns.ts";
import { describeOrigin, type Example } from "../data/example.ts";
import { fingerprintOf } from "../data/fingerprint.ts";
import { countedTokens } from "../data/packing.ts";
import { readRows } from "../data/sources.ts";
import type { RankGroup } from "../distributed/rank-group.ts";
import { scoreBatch } from "../forward/score-batch.ts";
import { methodOf } from "../methods/index.ts";
import { CausalLM, type Decoder } from "../models/causal-lm.ts";
import { type DataSelection, type PreparedData, rowsOf } from "../train/prepare-data.ts";
import { shareOf } from "../train/row-shares.ts";
import { prepareOnRanks, requireRows } from "../train/shared-rows.ts";
import type { Training } from "../train/step.ts";
import type { StepRanks } from "../train/step-ranks.ts";
import { evaluationBatches } from "../train/step-source.ts";

/** What is measured at every evaluation. */
export interface OtherText {
  /** Completions are what counts. */
  examples: readonly Example[];
  /** Whose it is, for people: "the prompts of 4 held-out rows". */
  name: string;
  /** What the user should know. */
  warnings: readonly string[];
}

/** Measures the mean log-prob of other text as the model is now. */
export interface OtherTextMeasure {
  /** A hash of its tokens: what two evaluations measured can be compared when it is the same. */
  key: string;
  name: string;
  mean: () => number;
}

/** Tokens of prompts that are measured at most, as a fraction of the held-out answers' tokens. */
const promptShare = 0.02;
/** Tokens that are measured in any case. */
const leastTokens = 16;

/**
 * The text of a run: the completions of `drift_data`, else some prompts of held-out rows, few enough to cost an evaluation less than 3 %.
 * Null where there is none, and for models that give scores.
 *
 * @throws {ConfigError} if `drift_data` has no row that can be used
 */
export async function otherTextOf(
  config: RunConfig & Pick<DataSelection, "now">,
  { dataset }: PreparedData,
  group: RankGroup | null,
  onPhase: PhaseListener,
): Promise<OtherText | null> {
  const held = dataset.evalExamples ?? [];
  if (held.length === 0 || methodOf(config.method.objective).over === "scores") return null;
  const { drift_data: path } = config;
  if (path === null) return promptsOf(held);
  const keys = { ...keysOf(config), columns: await columnsIn(path, config.columns) };
  const given = await prepareOnRanks(group, rowsOf(path, keys), onPhase);
  requireRows(group, given.dataset.report);
  const { examples } = given.dataset;
  if (examples.length === 0) throw new ConfigError(`drift_data: ${path} holds no row that can be used.`);
  return {
    examples,
    name: `${examples.length} rows of drift_data`,
    warnings: overlap(examples, dataset.examples),
  };
}

/** Its rows are read as the run's own are. */
function keysOf(config: RunConfig & Pick<DataSelection, "now">): Parameters<typeof rowsOf>[1] {
  const { model_name_or_path, max_length, overflow, invalid_rows, plain_strings } = config;
  const { chat_template, enable_thinking, mask_tool_output, now } = config;
  return {
    ...{ model_name_or_path, max_length, overflow, invalid_rows, plain_strings },
    ...{ chat_template, enable_thinking, mask_tool_output, task: "sft" },
    ...(now === undefined ? {} : { now }),
  };
}

/**
 * The run's names of columns that the first row has: other text may be in other columns than the run's rows. Rows that lack one of these
 * are faulty as the run's own would be.
 *
 * @throws {DataError} if a later row has more of them, which would be passed over there
 */
async function columnsIn(path: string, columns: RunConfig["columns"]): Promise<RunConfig["columns"]> {
  if (columns === null) return null;
  const all = Object.entries(columns);
  let own: typeof all | null = null;
  for await (const row of readRows({ path })) {
    const found = all.filter(([, column]) => isIn(row, column));
    own ??= found;
    // none can have more
    if (own.length === all.length) break;
    const more = found.filter((entry) => own?.includes(entry) !== true).map(([, column]) => column);
    if (more.length === 0) continue;
    throw new DataError(
      `${describeOrigin(row.origin)}: expected no column of columns that the first row of drift_data lacks, got ${more.join(", ")}. ` +
        "All its rows are read by the same names: write them in one form, or rename what is not meant.",
    );
  }
  return own === null || own.length === 0 ? null : (Object.fromEntries(own) as RunConfig["columns"]);
}

/** That there are rows of both, as a sentence. */
function overlap(examples: readonly Example[], training: readonly Example[]): string[] {
  const keyOf = ({ promptIds, completions }: Example): string =>
    `${promptIds.join(" ")}|${completions[0]?.ids.join(" ")}`;
  const trained = new Set(training.map(keyOf));
  const shared = examples.filter((example) => trained.has(keyOf(example))).length;
  if (shared === 0) return [];
  return [
    `drift_data: ${shared} of its ${examples.length} rows are training rows too: what training does to them says nothing about other text. Take them out.`,
  ];
}

/**
 * Different prompts, each without the tokens that all of them begin with, a system prompt or the template's, and without its first token,
 * which nothing predicts.
 */
function promptsOf(held: readonly Example[]): OtherText | null {
  const prompts = [...new Map(held.map(({ promptIds }) => [promptIds.join(" "), promptIds])).values()];
  const answers = held.flatMap(({ completions }) => completions);
  const budget = Math.max(
    leastTokens,
    promptShare * answers.reduce((sum, answer) => sum + countedTokens(answer), 0),
  );
  const shared = Math.max(1, sharedStart(prompts));
  const examples: Example[] = [];
  let [tokens, cost] = [0, 0];
  for (const promptIds of prompts) {
    const ids = promptIds.slice(shared, shared + Math.max(leastTokens, Math.floor(budget - cost)));
    if (ids.length === 0) continue;
    // what all begin with is passed with each
    const own = shared - 1 + ids.length;
    if (examples.length > 0 && cost + own > budget) break;
    examples.push({
      origin: { file: "prompts of held-out rows", line: examples.length + 1 },
      promptIds: promptIds.slice(0, shared),
      completions: [{ ids }],
    });
    tokens += ids.length;
    cost += own;
  }
  if (examples.length === 0) return null;
  const count =
    examples.length === 1 ? "the prompt of a held-out row" : `${examples.length} held-out prompts`;
  const without = shared > 1 ? ` behind the ${shared} that all prompts begin with` : "";
  return { examples, name: `${count} (${tokens} tokens${without})`, warnings: [] };
}

/** How many tokens all prompts begin with; 0 for a single one. */
function sharedStart(prompts: readonly (readonly number[])[]): number {
  const [first = [], ...others] = prompts;
  if (others.length === 0) return 0;
  const differs = first.findIndex((id, i) => others.some((ids) => ids[i] !== id));
  return differs < 0 ? first.length : differs;
}

/** The ranks that each take some of the text. */
type Shared = Pick<StepRanks, "group">;

/** What measures `text` in a training; each rank takes some of it, and all have the result. */
export function otherTextMeasure(
  text: OtherText | null,
  { model, numerics, ranks }: Pick<Training<Decoder>, "model" | "numerics"> & { ranks?: Shared | null },
  config: Pick<RunConfig, "per_device_eval_batch_size" | "share_prompt">,
): OtherTextMeasure | null {
  if (text === null || !(model instanceof CausalLM)) return null;
  const { examples, name } = text;
  const group = ranks?.group ?? null;
  const batches = evaluationBatches(examples, config);
  const mean = (): number => {
    const own = { sum: 0, tokens: 0 };
    for (const batch of shareOf(batches, group)) {
      const scores = scoreBatch(model, batch, { ...numerics, temperature: 1 });
      if (batch.isIdle === true) continue;
      for (const { sum, logps } of scores) {
        own.sum += sum;
        own.tokens += logps.length;
      }
    }
    // log-probs are multiples of 2^-24 or so: their sums are exact, in any order of ranks
    const all = group === null ? [own] : group.gather(own);
    const total = (key: keyof typeof own): number => all.reduce((sum, one) => sum + one[key], 0);
    return total("sum") / total("tokens");
  };
  return { key: fingerprintOf(examples), name, mean };
}
