/** Configuration keys of the collapse watch (a table), and the thresholds' value type. */
import { z } from "zod";
import type { FieldTable } from "./field.ts";
import type { WatchKeys, WatchThresholds } from "./run-config.ts";
import { choice, integer, jsonOrNull, number, optional, text, type ValueType } from "./value-types.ts";

/** Defaults of `watch_thresholds`, each a change since the run's first evaluation. */
const DEFAULTS: WatchThresholds = {
  repetition: 0.2,
  ended_properly: 0.3,
  distinct_2: 0.5,
  self_bleu: null,
  malformed: 0.3,
  length: 4,
  chosen_down: null,
  chosen_fall: 1,
};

/** Names of the thresholds. */
export const WATCH_THRESHOLDS: readonly string[] = Object.keys(DEFAULTS);

const schema = z.strictObject(
  Object.fromEntries(
    Object.entries(DEFAULTS).map(([name, value]) => [
      name,
      // a factor of 1 is no change
      z
        .number()
        .min(name === "length" ? 1 : 0)
        .nullable()
        .default(value),
    ]),
  ),
) as unknown as z.ZodType<WatchThresholds>;

/** Some or all thresholds; those left out have their defaults. On a command line: JSON, or `length=6,repetition=null`. */
function thresholds(): ValueType<WatchThresholds> {
  return {
    schema,
    expected: `a mapping from ${WATCH_THRESHOLDS.join(", ")} to numbers of at least 0 (length: 1) or null`,
    fromText: (typed) => {
      if (typed.trim().startsWith("{")) return jsonOrNull(typed) ?? typed;
      const pairs = typed.split(",").map((part) => part.split("=").map((side) => side.trim()));
      if (!pairs.every((pair) => pair.length === 2)) return typed;
      return Object.fromEntries(
        pairs.map(([name, value]) => [name, jsonOrNull(value as string) ?? numberOf(value)]),
      );
    },
  };
}

/** null stays null; a word that is no number stays as it is, to be refused. */
function numberOf(word: string | undefined): unknown {
  return word === "null" ? null : word;
}

/** Keys of the collapse watch. */
export const WATCH_FIELDS: FieldTable<WatchKeys> = {
  watch_prompts: {
    type: optional(text('"eval", "train" or a file of prompts')),
    default: null,
    doc: "Prompts that the model answers at every evaluation: those of the held-out rows (eval), of the training rows (train), or of a data file. null: nothing is sampled.",
    source: "preftune",
    freeOnResume: true,
  },
  watch_rows: {
    type: integer({ min: 1 }),
    default: 16,
    doc: "Prompts that are answered, at most, taken evenly from all.",
    source: "preftune",
    freeOnResume: true,
  },
  watch_samples: {
    type: integer({ min: 1 }),
    default: 2,
    doc: "Answers to each prompt, with the same random numbers at every evaluation.",
    source: "preftune",
    freeOnResume: true,
  },
  watch_temperature: {
    type: number({ min: 0 }),
    default: 1,
    doc: "Sampling temperature; 0 = greedy.",
    source: "preftune",
    freeOnResume: true,
  },
  watch_max_new_tokens: {
    type: integer({ min: 1 }),
    default: 256,
    doc: "Longest answer, in tokens. An answer that gets there counts as not ended.",
    source: "preftune",
    freeOnResume: true,
  },
  watch_thresholds: {
    type: thresholds(),
    default: DEFAULTS,
    doc: "Largest changes since the run's first evaluation: rise of repetition, malformed and self_bleu (0 to 100), fall of ended_properly, fall of distinct_2 as a fraction of its initial value, factor of length either way, fraction of rows whose chosen answer is less likely (chosen_down), fall of the chosen log-probability in nats per token (chosen_fall). Names left out keep their default; null: not judged.",
    source: "preftune; see docs/collapse.md",
    freeOnResume: true,
  },
  watch_action: {
    type: choice(["warn", "stop", "restore"]),
    default: "warn",
    doc: "What to do when a threshold is exceeded: warn; stop with a checkpoint and no export; or stop and export (restore) the best checkpoint before the collapse.",
    source: "preftune",
    freeOnResume: true,
  },
};
