/**
 * Pairs of a model's own answers: each prompt is answered several times, and the best and the worst answer by a reward function
 * make a pair. Needs libtorch.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "preftune";
import { assertPreflight, type PreparedData, prepareData } from "preftune/data";
import { resolveModelDirectory } from "preftune/formats";
import { openRewards, type Rewards, type RolloutGroup, rollout, score } from "preftune/online";
import {
  type ConfigValues,
  contentOf,
  makeDirectory,
  type ProgressStream,
  StudyStoppedError,
  stringifyNumbers,
  writeFileAtomic,
} from "preftune/sweep";
import { seeded } from "preftune/torch";
import {
  type ConfigInput,
  loadConfig,
  prepareModel,
  type ResolvedConfig,
  requireLanguageModel,
  settleEnvironment,
} from "preftune/train";

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
const generations = 8;
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
  const pathOf = (name: string): string => join(dir, "setup", name);
  // rows that are written here have the usual columns
  const values = {
    ...{ train_data: pathOf("own.train.jsonl"), eval_data: pathOf("own.eval.jsonl") },
    columns: null,
  };
  const most = config.max_train_rows === null ? Infinity : options.sets * config.max_train_rows;
  // first fetched: then a hub id counts as the commit that it stands for
  const base = await resolveModelDirectory(config.model_name_or_path);
  const facts = factsOf(config, options, most);
  const record = pathOf("own.json");
  const files = [values.train_data, values.eval_data];
  if (existsSync(record)) return { values, note: keptNote(record, facts, files) };
  const { training, heldOut } = await sampled({ config, base }, options, most);
  for (const { rows, counts } of [training, heldOut])
    if (rows.length === 0) throw noPair(options.reward, counts);
  makeDirectory(pathOf(""));
  const text = (rows: readonly OwnRow[]): string => rows.map((row) => `${stringifyNumbers(row)}\n`).join("");
  writeFileAtomic(values.train_data, text(training.rows));
  writeFileAtomic(values.eval_data, text(heldOut.rows));
  const note = noteOf(options, training.counts, heldOut.counts);
  const kept: Kept = { facts, note, made: files.map(contentOf) };
  writeFileAtomic(record, `${JSON.stringify(kept, null, 2)}\n`);
  return { values, note };
}

/** What is kept of pairs that were made. */
interface Kept {
  facts: Readonly<Record<string, unknown>>;
  note: string;
  /** Digests of the files; studies of earlier versions have none. */
  made?: readonly string[];
}

/** What decides the pairs. */
function factsOf(
  config: Config,
  { reward, max_completion_length }: OwnPairsOptions,
  most: number,
): Kept["facts"] {
  const { model_name_or_path, adapter_name_or_path, dtype, load_in_4bit, load_in_8bit, seed } = config;
  const { bnb_4bit_quant_type, bnb_4bit_use_double_quant, llm_int8_skip_modules } = config;
  const { max_length, max_eval_rows, overflow, chat_template, plain_strings, enable_thinking } = config;
  const [file = ""] = reward.split("#");
  const sources = [...config.train_data, ...(config.eval_data ?? [])];
  const contentIn = (place: string | null): string | null => (place === null ? null : contentOf(place));
  return {
    ...{ model_name_or_path, adapter_name_or_path, dtype, load_in_4bit, load_in_8bit, seed },
    ...{ bnb_4bit_quant_type, bnb_4bit_use_double_quant, llm_int8_skip_modules },
    ...{ max_length, overflow, chat_template, plain_strings, enable_thinking, columns: config.columns },
    ...{ reward, reward_file: contentOf(file), num_generations: generations, max_completion_length },
    ...{ most: Number.isFinite(most) ? most : null, max_eval_rows },
    sources: sources.map(({ path, ...rest }) => rest),
    rows: sources.map(({ path }) => contentOf(path)),
    model_content: contentOf(model_name_or_path),
    adapter_content: contentIn(adapter_name_or_path),
    chat_template_content: contentIn(chat_template),
  };
}

const again = "Give the values that the study began with, or another --output.";

/** The note of pairs that are there. @throws {ConfigError} if they were made otherwise, or have changed since */
function keptNote(record: string, facts: Kept["facts"], files: readonly string[]): string {
  const { facts: had, note, made } = keptIn(record);
  const wanted = JSON.parse(JSON.stringify(facts)) as Kept["facts"];
  // what earlier versions did not note is not compared
  const other = Object.keys(wanted).find(
    (key) => Object.hasOwn(had, key) && JSON.stringify(had[key]) !== JSON.stringify(wanted[key]),
  );
  if (other !== undefined)
    throw new ConfigError(
      `${record}: expected own answers made with ${other} ${JSON.stringify(wanted[other])}, got some made with ${JSON.stringify(had[other])}. ${again}`,
    );
  const changed = files.find((path, i) => made !== undefined && contentOf(path) !== made[i]);
  if (changed === undefined) return note;
  throw new ConfigError(
    `${changed}: expected the pairs that were made, the file ${existsSync(changed) ? "has changed since" : "is gone"}. ${sampleAgain(record)}`,
  );
}

function sampleAgain(record: string): string {
  return `Put it back, or remove ${record} to have the answers sampled again.`;
}

/** @throws {ConfigError} for a file that is damaged */
function keptIn(record: string): Kept {
  const text = readFileSync(record, "utf8");
  try {
    const kept = JSON.parse(text) as Kept | null;
    if (typeof kept?.note === "string" && typeof kept.facts === "object" && kept.facts !== null) return kept;
  } catch {
    // said below
  }
  throw new ConfigError(
    `${record}: expected what a study noted of own answers, got ${JSON.stringify(text.slice(0, 40))}. The file is damaged. ${sampleAgain(record)}`,
  );
}

type Config = ResolvedConfig["config"];

/** Loads the start as the study's runs do, rows read with all of their keys, and lets it answer. */
async function sampled(
  { config, base }: { config: Config; base: string },
  options: OwnPairsOptions,
  most: number,
): Promise<Record<"training" | "heldOut", Answered>> {
  const selection = { ...config, model_name_or_path: base, baseModel: config.model_name_or_path };
  // how many rows are wanted is how many pairs: not each prompt gives one
  const all = { max_train_rows: null, max_eval_rows: null, task: "prompt" as const };
  const data = await prepareData({ ...selection, ...all });
  assertPreflight(data.dataset.report);
  const environment = settleEnvironment(config);
  const settings = { reward_workers: 1, max_completion_length: options.max_completion_length };
  await using rewards = await openRewards([options.reward], settings);
  const trained = seeded(config.seed, () => prepareModel(selection, environment));
  const { max_eval_rows } = config;
  try {
    const model = requireLanguageModel(trained.model, "--own-answers");
    const parts = { config, data, rewards, model, dtype: environment.dtype };
    return {
      training: await answered(parts, { ...options, most, isHeldOut: false }),
      heldOut: await answered(parts, { ...options, most: max_eval_rows ?? Infinity, isHeldOut: true }),
    };
  } catch (error) {
    // what an abort ends in the middle fails for that reason alone
    throw options.signal?.aborted === true ? stoppedError() : error;
  } finally {
    trained.dispose();
  }
}

function stoppedError(): StudyStoppedError {
  return new StudyStoppedError("stopped while the model answered: no run has begun");
}

function noPair(reward: string, { prompts, answers, cut }: Counts): ConfigError {
  return new ConfigError(
    `${reward}: expected prompts with answers of different reward, got none of ${prompts}: ${cut} of ${answers} answers were too long, and the others to a prompt have equal rewards. ` +
      "Give a reward that varies, other prompts, or a model that ends its answers.",
  );
}

/** What a model answers with. */
interface Parts {
  config: Config;
  data: PreparedData;
  rewards: Rewards;
  model: Parameters<typeof rollout>[0];
  dtype: Parameters<typeof rollout>[2]["dtype"];
}

/** Pairs, and what became of the prompts. */
interface Answered {
  rows: OwnRow[];
  counts: Counts;
}

/** How prompts are answered, how many pairs are needed, and of which rows. */
interface Answering extends OwnPairsOptions {
  most: number;
  isHeldOut: boolean;
}

/** Answers prompts until there are `most` pairs or no more prompts. */
async function answered(
  { config, data, rewards, model, dtype }: Parts,
  { most, isHeldOut, out, signal, max_completion_length }: Answering,
): Promise<Answered> {
  const { tokenizer, stopIds, dataset } = data;
  const examples = (isHeldOut ? dataset.evalExamples : dataset.examples) ?? [];
  const prompts = examples.map((example, index) => ({ example, index }));
  const rows: OwnRow[] = [];
  const counts: Counts = { prompts: 0, pairs: 0, answers: 0, cut: 0 };
  const sampling = {
    num_generations: generations,
    max_completion_length,
    temperature: 1,
    stopIds,
    dtype,
    signal,
  };
  const scoring = { tokenizer, isHeldOut, signal, reward_weights: null, missing_eos_penalty: null };
  let reported = performance.now();
  for (let first = 0; first < prompts.length && rows.length < most; first += atOnce) {
    if (signal?.aborted === true) throw stoppedError();
    const some = prompts.slice(first, first + atOnce);
    const seed = config.seed + 2 * first + Number(isHeldOut);
    const drawn = await rollout(model, some, { ...sampling, seed });
    const groups = drawn
      .map((group) => fitting(group, config.max_length))
      .filter(({ completions }) => completions.length > 0);
    const all = groups.flatMap(({ completions }) => completions).length;
    const scored = await score(rewards, groups, scoring);
    counts.prompts += some.length;
    counts.answers += generations * some.length;
    counts.cut += generations * some.length - all;
    const textOf = (ids: readonly number[]): string => tokenizer.decode(ids, { skipSpecialTokens: true });
    rows.push(...pairsIn(scored, { textOf, columns: config.columns }));
    if (performance.now() - reported < between && first + atOnce < prompts.length) continue;
    reported = performance.now();
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

/** How completions become rows. */
interface Pairing {
  textOf: (ids: readonly number[]) => string;
  /** The configuration's names of columns. */
  columns: Config["columns"];
}

/** The first best and, of the answers that are worse, the first worst one to each prompt whose rewards differ. */
export function pairsIn(
  { groups, rewards }: { groups: readonly RolloutGroup[]; rewards: readonly number[] },
  { textOf, columns }: Pairing,
): OwnRow[] {
  let next = 0;
  return groups.flatMap(({ example, completions }): OwnRow[] => {
    const scored = completions
      .map((completion) => ({ text: textOf(completion.ids), reward: rewards[next++] ?? Number.NaN }))
      .filter(({ text, reward }) => text.trim() !== "" && !Number.isNaN(reward))
      .toSorted((a, b) => b.reward - a.reward);
    const [best] = scored;
    // a reward need not be one of the text: equal texts are no pair
    const worse = scored.filter(
      ({ text, reward }) => text !== best?.text && reward < (best?.reward ?? reward),
    );
    const worst = worse.find(({ reward }) => reward === worse.at(-1)?.reward);
    if (best === undefined || worst === undefined) return [];
    const { prompt = "", columns: own = {} } = example.reward ?? {};
    const contentOf = (text: string): unknown =>
      typeof prompt === "string" ? text : [{ role: "assistant", content: text }];
    const kept = (["tools", "chat_template_kwargs"] as const).flatMap((name) => {
      const value = own[columns?.[name] ?? name];
      return value === undefined ? [] : [[name, value]];
    });
    return [
      {
        ...{ prompt, chosen: contentOf(best.text), rejected: contentOf(worst.text) },
        ...Object.fromEntries(kept),
      },
    ];
  });
}

function noteOf({ reward }: OwnPairsOptions, training: Counts, heldOut: Counts): string {
  const { prompts, answers, cut } = training;
  const name = reward.split("#").at(-1) ?? reward;
  return (
    `Pairs are the start's own answers: of ${generations} to each prompt the best and the worst by ${name}. ` +
    `${training.pairs} training pairs of ${prompts} prompts, ${heldOut.pairs} held-out pairs of ${heldOut.prompts}; where all rewards are equal there is none. ` +
    `${cut} of ${answers} answers were too long and are left out.`
  );
}
