/** Configuration keys of the collapse watch (a table), and its thresholds. */
import type { ValueOf } from "../base/value-schema.ts";

const THRESHOLDS = {
  type: "object",
  properties: {
    repetition: { type: ["number", "null"], minimum: 0, default: 0.2 },
    ended_properly: { type: ["number", "null"], minimum: 0, default: 0.3 },
    distinct_2: { type: ["number", "null"], minimum: 0, default: 0.5 },
    self_bleu: { type: ["number", "null"], minimum: 0, default: null },
    malformed: { type: ["number", "null"], minimum: 0, default: 0.3 },
    // a factor of 1 is no change
    length: { type: ["number", "null"], minimum: 1, default: 4 },
    chosen_down: { type: ["number", "null"], minimum: 0, default: null },
    chosen_fall: { type: ["number", "null"], minimum: 0, default: 1 },
    drift: { type: ["number", "null"], minimum: 0, default: null },
    tail: { type: ["number", "null"], minimum: 0, default: null },
    kl: { type: ["number", "null"], minimum: 0, default: null },
    gold_fall: { type: ["number", "null"], minimum: 0, default: null },
  },
  additionalProperties: false,
  default: {},
} as const;

/** How far each metric of the sampled completions may move from its value at the start; null: not judged. */
export type WatchThresholds = ValueOf<typeof THRESHOLDS>;

/** The default of each threshold. */
export function defaultThresholds(): WatchThresholds {
  const entries = Object.entries(THRESHOLDS.properties).map(([name, { default: value }]) => [name, value]);
  return Object.fromEntries(entries) as WatchThresholds;
}

/** The thresholds that have another value than their default, null left out. */
export function othersThanDefault(thresholds: WatchThresholds): (keyof WatchThresholds)[] {
  return (Object.keys(THRESHOLDS.properties) as (keyof WatchThresholds)[]).filter((name) => {
    const value = thresholds[name];
    return value !== null && value !== THRESHOLDS.properties[name].default;
  });
}

/** Keys of the collapse watch. */
export const WATCH_KEYS = {
  watch_prompts: {
    schema: { type: ["string", "null"], pattern: "\\S", default: "eval" },
    expected: '"eval", "train" or a file of prompts',
    doc: "Prompts that the model answers at every evaluation: those of the held-out rows (eval), of the training rows (train), or of a data file. null: nothing is sampled. Where it is not given: eval, but null in runs without evaluation, on-policy (whose evaluations sample anyway), of a reward model (which gives no tokens) and with shard: node or all (where sampling would gather the model).",
    freeOnResume: true,
  },
  watch_rows: {
    schema: { type: "integer", minimum: 1 },
    rule: "16 where watch_prompts is given; else 4, so that the report has answers to read at little cost",
    doc: "Prompts that are answered, at most, taken evenly from all.",
    freeOnResume: true,
  },
  watch_samples: {
    schema: { type: "integer", minimum: 1 },
    rule: "2 where watch_prompts is given; else 1",
    doc: "Answers to each prompt, with the same random numbers at every evaluation.",
    freeOnResume: true,
  },
  watch_temperature: {
    schema: { type: "number", minimum: 0, default: 1 },
    doc: "Sampling temperature; 0 = greedy.",
    freeOnResume: true,
  },
  watch_max_new_tokens: {
    schema: { type: "integer", minimum: 1 },
    rule: "256 where watch_prompts is given; else 96",
    doc: "Longest answer, in tokens. An answer that gets there counts as not ended.",
    freeOnResume: true,
  },
  watch_thresholds: {
    schema: THRESHOLDS as typeof THRESHOLDS,
    expected:
      `a mapping from ${Object.keys(THRESHOLDS.properties).join(", ")} to numbers of at least 0 (length: 1) or null` as string,
    doc: "Largest changes since the run's first evaluation: rise of repetition, malformed and self_bleu (0 to 100), fall of ended_properly, fall of distinct_2 as a fraction of its initial value, factor of length either way, fraction of rows whose chosen answer is less likely (chosen_down), fall of the chosen log-probability in nats per token (chosen_fall); mean absolute change of a chosen token's log-probability (drift) and fall of the 1 % quantile of these changes (tail), nats: the last four are judged without watch_prompts too; on-policy also kl (nats per completion) and the fall of the sum of eval_reward_funcs (gold_fall). In on-policy runs chosen is the held-out good completion. Names left out keep their default; null: not judged. Where watch_prompts is not given and watch_action is warn, sampled answers are judged by the names alone that have another value than their default.",
    source: "preftune; see docs/collapse.md",
    freeOnResume: true,
  },
  watch_action: {
    schema: { enum: ["warn", "stop", "restore"], default: "warn" },
    doc: "What to do when a threshold is exceeded: warn; stop with a checkpoint and no export; or stop and export (restore) the best checkpoint before the collapse.",
    freeOnResume: true,
  },
} as const;
