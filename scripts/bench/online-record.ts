/** The on-policy benchmark's plan, what each measured process reports, and the tables that follow from it. */
import { at } from "../../src/base/at.ts";
import { Random } from "../../src/base/random.ts";
import { PromptOrder } from "../../src/online/prompt-order.ts";
import { textTable } from "../../src/terminal/text-table.ts";
import { type Spread, spreadOf, spreadText } from "./run-record.ts";
import { generatedRows } from "./workload.ts";

/** What both sides do. */
export interface OnlinePlan {
  modelDir: string;
  /** JSONL of `prompt`, text. */
  prompts: string;
  method: OnlineMethod;
  mode: "full" | "lora";
  promptsAStep: number;
  /** Completions of each prompt. */
  group: number;
  newTokens: number;
  steps: number;
  threads: number;
}

/** A method, under the name of TRL's trainer. */
export type OnlineMethod = "grpo" | "rloo" | "online_dpo";

/** A form of the benchmark. */
export type OnlineCase = Pick<OnlinePlan, "method" | "promptsAStep" | "group" | "newTokens">;

/** The forms by name. */
export const onlineCases: Readonly<Record<string, OnlineCase>> = {
  grpo: { method: "grpo", promptsAStep: 2, group: 8, newTokens: 64 },
  rloo: { method: "rloo", promptsAStep: 2, group: 8, newTokens: 64 },
  online_dpo: { method: "online_dpo", promptsAStep: 2, group: 2, newTokens: 64 },
  long: { method: "grpo", promptsAStep: 1, group: 8, newTokens: 256 },
};

/** The one JSON line of a run. A value for each step; wall and processor time in seconds, memory in MB (2^20 bytes). */
export interface OnlineRecord {
  seconds: number[];
  cpuSeconds: number[];
  samplingSeconds: number[];
  scoringSeconds: number[];
  /** Sampled. */
  tokens: number[];
  /** Mean fraction of even token ids. */
  rewards: number[];
  peakMb: number;
  /** Peak with the libraries loaded and no model. */
  bareMb: number;
}

/** Prompts as long as the rows that `npm run bench` trains on. The benchmark's tokenizer makes a token of each letter. */
export function onlinePrompts(): string[] {
  const random = new Random(3);
  return generatedRows(0).map(({ prompt_ids: { length } }) =>
    Array.from({ length }, () => String.fromCharCode(97 + random.below(26))).join(""),
  );
}

/**
 * `rows` in other places, so that a run with this seed, which shuffles them, has them in the order of the list. TRL's trainers
 * do not shuffle here.
 */
export function inOrderOfRun<Row>(rows: readonly Row[], seed: number): Row[] {
  const placed = new Array<Row>(rows.length);
  for (const [i, place] of new PromptOrder(rows.length, seed).take(0, rows.length).entries())
    placed[place] = at(rows, i);
  return placed;
}

/** One side's figures over all rounds, without the first step of each. */
export interface OnlineFigures {
  name: string;
  samplesPerSecond: Spread;
  samplesPerCpuSecond: Spread;
  /** While sampling. */
  tokensPerSecond: Spread;
  /** Fractions of the time of the steps. */
  sampling: number;
  scoring: number;
  memoryMb: Spread;
  /** Of the last steps. */
  reward: number;
}

/** The figures of `records`. */
export function onlineFigures(
  name: string,
  { promptsAStep, group }: OnlineCase,
  records: readonly OnlineRecord[],
): OnlineFigures {
  const samples = promptsAStep * group;
  const later = records.flatMap((record) =>
    record.seconds.slice(1).map((seconds, i) => ({
      seconds,
      cpu: record.cpuSeconds[i + 1] ?? Number.NaN,
      sampling: record.samplingSeconds[i + 1] ?? Number.NaN,
      scoring: record.scoringSeconds[i + 1] ?? Number.NaN,
      tokens: record.tokens[i + 1] ?? Number.NaN,
    })),
  );
  const sum = (of: (step: (typeof later)[number]) => number): number =>
    later.reduce((total, step) => total + of(step), 0);
  const all = sum(({ seconds }) => seconds);
  const last = records.map(({ rewards }) => rewards.at(-1) ?? Number.NaN);
  return {
    name,
    samplesPerSecond: spreadOf(later.map(({ seconds }) => samples / seconds)),
    samplesPerCpuSecond: spreadOf(later.map(({ cpu }) => samples / cpu)),
    tokensPerSecond: spreadOf(later.map(({ tokens, sampling }) => tokens / sampling)),
    sampling: sum(({ sampling }) => sampling) / all,
    scoring: sum(({ scoring }) => scoring) / all,
    memoryMb: spreadOf(records.map(({ peakMb, bareMb }) => peakMb - bareMb)),
    reward: last.reduce((a, b) => a + b, 0) / last.length,
  };
}

/** Both sides as a table, and ours over theirs. */
export function onlineTable(figures: readonly OnlineFigures[]): string {
  const percent = (share: number): string => `${(100 * share).toFixed(0)} %`;
  const rows = figures.map((of) => [
    of.name,
    spreadText(of.samplesPerSecond, 2),
    spreadText(of.samplesPerCpuSecond, 2),
    spreadText(of.tokensPerSecond, 0),
    [of.sampling, of.scoring, 1 - of.sampling - of.scoring].map(percent).join(", "),
    spreadText(of.memoryMb, 0),
    of.reward.toFixed(3),
  ]);
  const columns = [
    "min / median / max",
    "samples/s",
    "samples/CPU s",
    "tokens/s\nsampling",
    "sampling, scoring,\ntraining",
    "MB above bare",
    "reward",
  ];
  const [ours, theirs] = figures;
  if (ours === undefined || theirs === undefined) return textTable(columns, rows);
  const ratio = (of: "samplesPerSecond" | "samplesPerCpuSecond" | "memoryMb"): string =>
    (ours[of].median / theirs[of].median).toFixed(2);
  return (
    `${textTable(columns, rows)}\n` +
    `against ${theirs.name}: ${ratio("samplesPerSecond")}× samples/s, ${ratio("samplesPerCpuSecond")}× by processor time, ` +
    `${ratio("memoryMb")}× memory`
  );
}
