/**
 * Pairs of a model's own answers: each prompt is answered several times, and the best and the worst answer by a reward function
 * make a pair. Needs libtorch.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "preftune";
import {
  openRolloutTraining,
  type RolloutGroup,
  type RolloutTraining,
  rollout,
  score,
} from "preftune/online";
import {
  type ConfigValues,
  makeDirectory,
  type ProgressStream,
  StudyStoppedError,
  stringifyNumbers,
  writeFileAtomic,
} from "preftune/sweep";
import { type ConfigInput, loadConfig, type ResolvedConfig } from "preftune/train";

/** How answers are sampled and paired. */
export interface OwnPairsOptions {
  /** `FILE#NAME` of the reward function that tells the better answer from the worse. */
  reward: string;
  /** Longest answer, tokens; longer ones are left out. */
  max_completion_length: number;
  /** How many training sets the pairs are for, each of at most `max_train_rows`. */
  sets: number;
  out: ProgressStream;
  signal?: AbortSignal | undefined;
}

/** The rows that were made. */
export interface OwnPairs {
  values: ConfigValues;
  /** A sentence for the report. */
  note: string;
}

/** Answers to a prompt. */
const numGenerations = 8;
/** Prompts answered at a time. */
const atOnce = 32;
/** Milliseconds between two lines of progress. */
const between = 5000;

/** What became of the prompts of a file. */
interface Counts {
  prompts: number;
  pairs: number;
  answers: number;
  /** Answers that did not end within the longest length or the room that the prompt leaves, and so are left out. */
  cut: number;
}

/** A pair, a row of a data file. */
interface OwnRow {
  prompt: unknown;
  chosen: unknown;
  rejected: unknown;
}

/**
 * Answers the prompts of `input`'s rows with its model and writes the pairs into the study's folder; those that are there stay.
 *
 * @returns the files, as values of a configuration
 * @throws {ConfigError} if the folder has pairs of another model, other rows or another reward, or no held-out prompt gives a pair
 */
export async function ownPairs(dir: string, input: ConfigInput, options: OwnPairsOptions): Promise<OwnPairs> {
  const { config } = loadConfig(input);
  const { model_name_or_path, train_data, eval_data } = config;
  const pathOf = (name: string): string => join(dir, "setup", name);
  const values = { train_data: pathOf("own.train.jsonl"), eval_data: pathOf("own.eval.jsonl") };
  const { reward, max_completion_length } = options;
  const facts = {
    ...{ model_name_or_path, reward, num_generations: numGenerations, max_completion_length },
    rows: [train_data, eval_data].map(identityOf),
  };
  const record = pathOf("own.json");
  if (existsSync(record)) {
    const { facts: had, note } = JSON.parse(readFileSync(record, "utf8")) as { facts: unknown; note: string };
    if (JSON.stringify(had) === JSON.stringify(facts)) return { values, note };
    throw new ConfigError(
      `${record}: expected answers of the same model to the same prompts by the same reward, got ${JSON.stringify(had)}, not ${JSON.stringify(facts)}. Give the values that the study began with, or another --output.`,
    );
  }
  const { dtype, device, threads, max_length, seed, chat_template, columns, adapter_name_or_path } = config;
  await using open = await openRolloutTraining({
    values: {
      ...{ objective: "grpo", model_name_or_path, train_data, eval_data, output_dir: pathOf("own") },
      ...{ dtype, device, threads, max_length, seed, chat_template, columns },
      ...{
        reward_funcs: [reward],
        reward_workers: 1,
        num_generations: numGenerations,
        max_completion_length,
        beta: 0,
      },
      // nothing is trained: a new adapter changes nothing
      ...(adapter_name_or_path === null ? { use_peft: true, lora_r: 1 } : { adapter_name_or_path }),
    },
  });
  const { max_train_rows, max_eval_rows } = config;
  const most = max_train_rows === null ? Infinity : options.sets * max_train_rows;
  const training = await answered(open, { ...options, most, isHeldOut: false });
  const heldOut = await answered(open, { ...options, most: max_eval_rows ?? Infinity, isHeldOut: true });
  for (const { rows, counts } of [training, heldOut]) if (rows.length === 0) throw noPair(reward, counts);
  makeDirectory(pathOf(""));
  const text = (rows: readonly OwnRow[]): string => rows.map((row) => `${stringifyNumbers(row)}\n`).join("");
  writeFileAtomic(values.train_data, text(training.rows));
  writeFileAtomic(values.eval_data, text(heldOut.rows));
  const note = noteOf(options, training.counts, heldOut.counts);
  writeFileAtomic(record, `${JSON.stringify({ facts, note }, null, 2)}\n`);
  return { values, note };
}

function noPair(reward: string, { prompts, answers, cut }: Counts): ConfigError {
  return new ConfigError(
    `${reward}: expected prompts whose answers it tells apart, got none of ${prompts}: ${cut} of ${answers} answers were too long, and the others to a prompt have equal rewards. ` +
      "Give a reward that varies, other prompts, or a model that ends its answers.",
  );
}

/** What says that rows are the same: their sources, files by their contents. */
function identityOf(sources: ResolvedConfig["config"]["eval_data"]): unknown {
  return (sources ?? []).map(({ path, ...rest }) => {
    const isFile = statSync(path, { throwIfNoEntry: false })?.isFile() === true;
    return { ...rest, rows: isFile ? createHash("sha256").update(readFileSync(path)).digest("hex") : path };
  });
}

/** Answers prompts until there are `most` pairs or no more prompts. */
async function answered(
  { config, training, data, rewards }: RolloutTraining,
  {
    most,
    isHeldOut,
    out,
    signal,
  }: Pick<OwnPairsOptions, "out" | "signal"> & { most: number; isHeldOut: boolean },
): Promise<{ rows: OwnRow[]; counts: Counts }> {
  const { model, numerics } = training;
  const { tokenizer, stopIds, dataset } = data;
  const examples = (isHeldOut ? dataset.evalExamples : dataset.examples) ?? [];
  const prompts = examples.map((example, index) => ({ example, index }));
  const rows: OwnRow[] = [];
  const counts: Counts = { prompts: 0, pairs: 0, answers: 0, cut: 0 };
  let told = performance.now();
  for (let first = 0; first < prompts.length && rows.length < most; first += atOnce) {
    if (signal?.aborted === true)
      throw new StudyStoppedError("stopped while the model answered: no run has begun");
    const some = prompts.slice(first, first + atOnce);
    const sampling = {
      ...config,
      stopIds,
      dtype: numerics.dtype,
      seed: config.seed + 2 * first + Number(isHeldOut),
    };
    const drawn = await rollout(model, some, { ...sampling, signal });
    const groups = drawn
      .map((group) => fitting(group, config.max_length))
      .filter(({ completions }) => completions.length > 0);
    const all = groups.flatMap(({ completions }) => completions).length;
    const scored = await score(rewards, groups, { ...config, tokenizer, isHeldOut, signal });
    counts.prompts += some.length;
    counts.answers += numGenerations * some.length;
    counts.cut += numGenerations * some.length - all;
    rows.push(...pairsIn(scored, (ids) => tokenizer.decode(ids, { skipSpecialTokens: true })));
    if (performance.now() - told < between && first + atOnce < prompts.length) continue;
    told = performance.now();
    const which = isHeldOut ? "held-out" : "training";
    out.write(`own answers: ${counts.prompts} of ${prompts.length} ${which} prompts, ${rows.length} pairs\n`);
  }
  counts.pairs = Math.min(rows.length, most);
  return { rows: rows.slice(0, most), counts };
}

/** The completions that ended by themselves and that training would take whole. */
function fitting(group: RolloutGroup, maxLength: number): RolloutGroup {
  const room = maxLength - group.example.promptIds.length;
  return { ...group, completions: group.completions.filter(({ ended, ids }) => ended && ids.length <= room) };
}

/** The first best and the first worst answer to each prompt whose rewards differ. */
export function pairsIn(
  { groups, rewards }: { groups: readonly RolloutGroup[]; rewards: readonly number[] },
  textOf: (ids: readonly number[]) => string,
): OwnRow[] {
  let next = 0;
  return groups.flatMap(({ example, completions }): OwnRow[] => {
    const scored = completions
      .map((completion) => ({ text: textOf(completion.ids), reward: rewards[next++] ?? Number.NaN }))
      .filter(({ text, reward }) => text.trim() !== "" && !Number.isNaN(reward));
    const ordered = scored.toSorted((a, b) => b.reward - a.reward);
    const [best] = ordered;
    const worst = ordered.find(({ reward }) => reward === ordered.at(-1)?.reward);
    if (best === undefined || worst === undefined || best.reward === worst.reward) return [];
    const prompt = example.reward?.prompt ?? "";
    const contentOf = (text: string): unknown =>
      typeof prompt === "string" ? text : [{ role: "assistant", content: text }];
    const { tools, chat_template_kwargs } = example.reward?.columns ?? {};
    return [
      {
        ...{ prompt, chosen: contentOf(best.text), rejected: contentOf(worst.text) },
        ...(tools === undefined ? {} : { tools }),
        ...(chat_template_kwargs === undefined ? {} : { chat_template_kwargs }),
      },
    ];
  });
}

function noteOf({ reward }: OwnPairsOptions, training: Counts, heldOut: Counts): string {
  const { prompts, answers, cut } = training;
  const name = reward.split("#").at(-1) ?? reward;
  return (
    `Pairs are the start's own answers: of ${numGenerations} to each prompt the best and the worst by ${name}. ` +
    `${training.pairs} training pairs of ${prompts} prompts, ${heldOut.pairs} held-out pairs of ${heldOut.prompts}; where all rewards are equal there is none. ` +
    `${cut} of ${answers} answers were too long and are left out.`
  );
}
