/** The held-out answers of a run and the pairs among them, whatever its rows are read as. Needs no libtorch. */
import { DataError } from "../base/errors.ts";
import { isOnPolicy } from "../config/online-keys.ts";
import type { RunConfig } from "../config/run-config.ts";
import { describeOrigin, type Example } from "../data/example.ts";
import { assertPreflight } from "../data/preflight.ts";
import { methodOf } from "../methods/index.ts";
import { labelledPairs } from "../train/displacement.ts";
import { prepareData, taskOf } from "../train/prepare-data.ts";

/** Where an answer is: its row, and which of that row's answers it is. */
export interface AnswerPlace {
  row: number;
  completion: number;
}

/** Answers to score, and the pairs that they make. */
export interface HeldOutAnswers {
  rows: readonly Example[];
  /** In the order of their chosen answers. */
  pairs: readonly { chosen: AnswerPlace; rejected: AnswerPlace }[];
}

/**
 * The held-out answers of `config`: of rows of pairs, each row's; of rows of one labelled answer, every good one with every bad
 * one to its prompt; of an on-policy run, or where `unpair` splits pairs, the rows that are pairs and no longer than `max_length`.
 *
 * @throws {DataError} if there are no held-out rows, or rows are faulty
 */
export async function heldOutAnswers(config: RunConfig): Promise<HeldOutAnswers> {
  const { over } = methodOf(config.method.objective);
  const isOnline = isOnPolicy(config);
  const task = isOnline || over === "labelled" ? taskOf(over, isOnline) : "preference";
  const { dataset } = await prepareData({ ...config, task });
  assertPreflight(dataset.report);
  const rows = dataset.evalExamples ?? [];
  if (rows.length === 0) {
    throw new DataError(
      "expected held-out rows, got none: give eval_data or eval_fraction, with prompts that are not trained on.",
    );
  }
  if (task === "preference") return eachRow(rows);
  const pairs = isOnline || config.unpair ? await pairsAmong(rows, config) : [];
  if (isOnline || pairs.length > 0) return eachRow(pairs);
  return {
    rows,
    pairs: labelledPairs(rows).map(({ good, bad }) => ({
      chosen: { row: good, completion: 0 },
      rejected: { row: bad, completion: 0 },
    })),
  };
}

function eachRow(rows: readonly Example[]): HeldOutAnswers {
  return {
    rows,
    pairs: rows.map((_, row) => ({ chosen: { row, completion: 0 }, rejected: { row, completion: 1 } })),
  };
}

/** Those of `rows`, which were read as something else, that are pairs. */
async function pairsAmong(rows: readonly Example[], config: RunConfig): Promise<Example[]> {
  const overflow = config.overflow === "truncate" ? "truncate" : "drop";
  const { dataset } = await prepareData({ ...config, task: "preference", invalid_rows: "drop", overflow });
  const held = new Set(rows.map(({ origin }) => describeOrigin(origin)));
  const all = [...dataset.examples, ...(dataset.evalExamples ?? [])];
  return all.filter(({ origin }) => held.has(describeOrigin(origin)));
}
