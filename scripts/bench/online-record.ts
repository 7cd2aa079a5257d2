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
  /** JSONL of `prompt`, text or messages, and for `exact` of `chosen`, messages. */
  rows: string;
  /** Such rows to sample from after the last step, by our side alone; null for none. */
  held: string | null;
  /** The fraction of even token ids, or 1 for the text of `chosen` and 0 for any other. */
  reward: "even_share" | "exact";
  learningRate: number;
  adamBeta2: number;
  seed: number;
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

/** A form of the benchmark; `steps` where no other number is asked for. */
export type OnlineCase = Pick<OnlinePlan, "method" | "promptsAStep" | "group" | "newTokens" | "steps"> & {
  world: "letters" | "islands";
};

const letters = { world: "letters", steps: 4 } as const;

/** The forms by name. */
export const onlineCases: Readonly<Record<string, OnlineCase>> = {
  grpo: { ...letters, method: "grpo", promptsAStep: 2, group: 8, newTokens: 64 },
  rloo: { ...letters, method: "rloo", promptsAStep: 2, group: 8, newTokens: 64 },
  online_dpo: { ...letters, method: "online_dpo", promptsAStep: 2, group: 2, newTokens: 64 },
  long: { ...letters, method: "grpo", promptsAStep: 1, group: 8, newTokens: 256 },
  islands: { world: "islands", steps: 40, method: "grpo", promptsAStep: 16, group: 8, newTokens: 48 },
};

/** The one JSON line of a run. A value for each step; wall and processor time in seconds, memory in MB (2^20 bytes). */
export interface OnlineRecord {
  seconds: number[];
  cpuSeconds: number[];
  samplingSeconds: number[];
  scoringSeconds: number[];
  /** Sampled. */
  tokens: number[];
  /** Means. */
  rewards: number[];
  /** Mean reward of completions of the held-out rows after the last step; null where they were not sampled. */
  heldOut: number | null;
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
  for (const [i, place] of new PromptOrder(rows.length, { data_order: "shuffled", seed })
    .take(0, rows.length)
    .entries())
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
  /** Mean over the last eighth of the steps. */
  reward: number;
  /** Processor time of all steps of a run, the first too. */
  allCpuSeconds: Spread;
  /** The held-out reward of each run that has one. */
  heldOut: number[];
}

/** The figures of `records`. */
export function onlineFigures(
  name: string,
  { promptsAStep, group }: Pick<OnlineCase, "promptsAStep" | "group">,
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
  const last = records.flatMap(({ rewards }) => rewards.slice(-Math.ceil(rewards.length / 8)));
  return {
    name,
    samplesPerSecond: spreadOf(later.map(({ seconds }) => samples / seconds)),
    samplesPerCpuSecond: spreadOf(later.map(({ cpu }) => samples / cpu)),
    tokensPerSecond: spreadOf(later.map(({ tokens, sampling }) => tokens / sampling)),
    sampling: sum(({ sampling }) => sampling) / all,
    scoring: sum(({ scoring }) => scoring) / all,
    memoryMb: spreadOf(records.map(({ peakMb, bareMb }) => peakMb - bareMb)),
    reward: last.reduce((a, b) => a + b, 0) / last.length,
    allCpuSeconds: spreadOf(records.map(({ cpuSeconds }) => cpuSeconds.reduce((a, b) => a + b, 0))),
    heldOut: records.flatMap(({ heldOut }) => heldOut ?? []),
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
    spreadText(of.allCpuSeconds, 1),
    of.reward.toFixed(3),
  ]);
  const columns = [
    "min / median / max",
    "samples/s",
    "samples/CPU s",
    "tokens/s\nsampling",
    "sampling, scoring,\ntraining",
    "MB above bare",
    "CPU s,\nall steps",
    "reward",
  ];
  const heldOut = figures.filter((of) => of.heldOut.length > 0).map(heldOutLine);
  const table = [textTable(columns, rows), ...heldOut].join("\n");
  const [ours, theirs] = figures;
  if (ours === undefined || theirs === undefined) return table;
  const ratio = (of: "samplesPerSecond" | "samplesPerCpuSecond" | "memoryMb"): string =>
    (ours[of].median / theirs[of].median).toFixed(2);
  return (
    `${table}\nagainst ${theirs.name}: ${ratio("samplesPerSecond")}× samples/s, ${ratio("samplesPerCpuSecond")}× by processor time, ` +
    `${ratio("memoryMb")}× memory`
  );
}

function heldOutLine({ name, heldOut }: OnlineFigures): string {
  const each = heldOut.map((reward) => reward.toFixed(3)).join(", ");
  return `${name}, held-out reward at the end: ${each}; median ${spreadOf(heldOut).median.toFixed(3)}`;
}
