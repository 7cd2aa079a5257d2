/** KTO against TRL's numbers and the formulas in float64: the KL estimate, losses, gradients and metrics, whole and cut. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { loadMethod } from "../../src/config/load-config.ts";
import type { Example } from "../../src/data/example.ts";
import { packExamples } from "../../src/data/packing.ts";
import type { MicroBatch } from "../../src/forward/batch.ts";
import { objectiveOf } from "../../src/methods/losses.ts";
import { klOverOf } from "../../src/methods/objective.ts";
import {
  KlEstimator,
  type KlParts,
  MismatchTable,
  mismatchesOf,
  withKl,
} from "../../src/train/mismatched.ts";
import { trainAll } from "../../src/train/parameters.ts";
import { modelReference } from "../../src/train/reference.ts";
import { assertClose, withoutLeaks } from "../support/close.ts";
import { plainNumerics, recordStep } from "../support/record-step.ts";
import { assertGolden, type GoldenCase, lossFixture, lossModels } from "../support/trl-losses.ts";

interface LabelledCase extends GoldenCase {
  /** In the order of the micro-batch. */
  rows: number[];
  kl_pairs: [number, number][];
  parts: { kl?: number; kl_unclamped?: number; logratio: number[] };
}

interface Fixture {
  prompt_rows: { id: number; prompt_ids: number[]; completion_ids: number[]; label: boolean }[];
  cases: Record<string, LabelledCase>;
}

const { prompt_rows, cases } = lossFixture<Fixture>("kto.json");

const rows: Example[] = prompt_rows.map(({ id, prompt_ids, completion_ids, label }) => ({
  origin: { file: "losses/kto.json", line: id + 1 },
  promptIds: prompt_ids,
  completions: [{ ids: completion_ids }],
  label,
}));

function batchesOf(indices: readonly number[], size: number): MicroBatch[] {
  return Array.from({ length: Math.ceil(indices.length / size) }, (_, i) => {
    const own = indices.slice(i * size, (i + 1) * size);
    const taken = own.map((row) => rows[row] as Example);
    return {
      packed: packExamples(taken, { joins: true }),
      indices: own,
      columns: { label: taken.map(({ label }) => Number(label)) },
    };
  });
}

/** Not computed here, or counted otherwise where prompts are shared. */
const notLogged = ["logits/chosen", "logits/rejected", "num_tokens", "entropy"];

/** The batches with the estimate that they compare with, which is the case's. */
function estimated(batches: MicroBatch[], golden: LabelledCase, parts: Omit<KlParts, "table">): MicroBatch[] {
  const groups = [mismatchesOf(golden.rows)];
  const pairs = groups[0]?.map(({ prompt, answer }) => [prompt, answer]);
  assert.deepEqual(pairs, golden.kl_pairs);
  const estimates = new KlEstimator({ ...parts, table: new MismatchTable(rows, groups, null) }).estimates(
    groups,
  );
  assertClose(estimates[0] ?? Number.NaN, golden.parts.kl ?? Number.NaN, { atol: 1e-4 });
  return withKl(batches, groups, estimates);
}

function assertMetrics(metrics: Record<string, number>, { trl }: LabelledCase, hasKl: boolean): void {
  const want = trl?.metrics ?? {};
  for (const [key, value] of Object.entries(want)) {
    // TRL logs 0 where none is estimated
    if (notLogged.includes(key) || (key === "kl" && !hasKl)) continue;
    assertClose(metrics[key] ?? Number.NaN, value, { atol: 1e-4 });
  }
  for (const key of ["rewards/chosen", "rewards/rejected", "rewards/margins"])
    assert.equal(key in metrics, key in want, key);
}

for (const [name, golden] of Object.entries(cases)) {
  test(`${name}: KL, loss, gradients and metrics are TRL's, however the step is cut`, () => {
    withoutLeaks(() => {
      const { policy, reference: other } = lossModels();
      const parameters = trainAll(policy);
      const objective = objectiveOf(loadMethod({ objective: "kto", ...golden.hyper }));
      const numerics = plainNumerics;
      const reference = modelReference(other, { numerics, ldAlpha: null });
      const hasKl = klOverOf(objective) !== null;
      for (const size of [8, 3, 1]) {
        const keys = { per_device_train_batch_size: size, gradient_accumulation_steps: 1 };
        const plain = batchesOf(golden.rows, size);
        const parts = { model: policy, numerics, reference, keys, group: null };
        const batches = hasKl ? estimated(plain, golden, parts) : plain;
        const got = recordStep(policy, parameters, { objective, batches, reference });
        assertGolden(got, golden);
        assertMetrics(got.metrics, golden, hasKl);
      }
    });
  });
}
