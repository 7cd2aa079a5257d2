/** Every loss on pairs against TRL's numbers and the formulas in float64: whole, cut into single rows, and with chunks of the head. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { loadMethod } from "../../src/config/load-config.ts";
import type { Example } from "../../src/data/example.ts";
import { packExamples } from "../../src/data/packing.ts";
import type { MicroBatch } from "../../src/forward/batch.ts";
import { objectiveOf } from "../../src/methods/losses.ts";
import { ldAlphaOf, type Objective } from "../../src/methods/objective.ts";
import { trainAll } from "../../src/train/parameters.ts";
import { modelReference } from "../../src/train/reference.ts";
import { packingOf } from "../../src/train/step-source.ts";
import { assertClose, withoutLeaks } from "../support/close.ts";
import { plainNumerics, type RecordedStep, recordStep } from "../support/record-step.ts";
import { assertGolden, type GoldenCase, lossFixture, lossModels, lossPairs } from "../support/trl-losses.ts";

const { losses } = lossFixture<{ losses: Record<string, GoldenCase> }>("losses.json");

/** Left out, with reasons in docs/objectives.md; and sft alone, which is `objective: sft`. */
const leftOut = ["dpo/exo_pair", "dpo/sppo_hard", "dpo/aot_unpaired", "dpo/discopop", "dpo/sft"];

/** TRL's names are the keys; the exceptions. */
function objectiveOfCase(name: string, hyper: Record<string, unknown>): Objective {
  const objective = name.split("/")[0] as string;
  const { ref_chosen_offset: _, nll_over, loss_type, ...given } = hyper;
  // TRL ignores label_smoothing there
  if (name === "dpo/sigmoid_smoothing_ignored") delete given["label_smoothing"];
  const keys = {
    dpo: { loss_type, use_weighting: false },
    cpo: { loss_type },
    orpo: { preset: nll_over === "answer" ? "paper" : "trl" },
  };
  return objectiveOf(loadMethod({ objective, ...keys[objective as keyof typeof keys], ...given }));
}

/** The rows as micro-batches of `size`, packed as the objective needs it. */
function cut(examples: readonly Example[], size: number, objective: Objective): MicroBatch[] {
  return Array.from({ length: Math.ceil(examples.length / size) }, (_, i) => {
    const indices = examples.map((_, row) => row).slice(i * size, (i + 1) * size);
    return {
      packed: packExamples(
        indices.map((row) => examples[row] as Example),
        packingOf(objective),
      ),
      indices,
    };
  });
}

/** What ours calls what TRL calls otherwise: its `logps/*` are means per token there. */
function nameOf(name: string, key: string): string {
  const isMean = name.startsWith("orpo/") || name === "cpo/cpo_ipo";
  return isMean && key.startsWith("logps/") ? `${key}_mean` : key;
}

/** Logits are never all there; the log counts tokens where prompts are shared. */
const notLogged = ["logits/chosen", "logits/rejected", "num_tokens", "entropy"];

function assertMetrics(name: string, got: RecordedStep, { trl, hyper }: GoldenCase): void {
  for (const [key, want] of Object.entries(trl?.metrics ?? {})) {
    if (notLogged.includes(key) || (key === "nll_loss" && hyper["cpo_alpha"] === 0)) continue;
    assertClose(got.metrics[nameOf(name, key)] ?? Number.NaN, want, { atol: 1e-4 });
  }
}

for (const [name, golden] of Object.entries(losses)) {
  if (leftOut.includes(name)) continue;
  test(`${name}: loss, gradients and metrics are TRL's, however the step is cut`, () => {
    withoutLeaks(() => {
      const { policy, reference } = lossModels();
      const parameters = trainAll(policy);
      const objective = objectiveOfCase(name, golden.hyper);
      const pairs = lossPairs();
      const offset: readonly number[] = golden.hyper["ref_chosen_offset"] ?? [];
      const plain = modelReference(reference, { numerics: plainNumerics, ldAlpha: ldAlphaOf(objective) });
      const source = (batch: MicroBatch) => {
        const sums = [...(plain(batch)["referenceLogps"] ?? [])];
        for (const [i, row] of batch.indices.entries()) sums[2 * i] = (sums[2 * i] ?? 0) + (offset[row] ?? 0);
        return { referenceLogps: sums };
      };
      for (const size of [6, 1]) {
        const numerics = { ...plainNumerics, logits_chunk_size: size === 1 ? 100 : null };
        const batches = cut(pairs, size, objective);
        const got = recordStep(policy, parameters, { objective, batches, numerics, reference: source });
        assertGolden(got, golden);
        assertMetrics(name, got, golden);
        assertParts(got, golden);
      }
    });
  });
}

/** Each part of a mixture is logged by itself, and so is the weight of WPO. */
function assertParts({ metrics }: RecordedStep, { per_pair, weights, hyper }: GoldenCase): void {
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  if (weights !== undefined) assertClose(metrics["wpo/weight"] ?? Number.NaN, mean(weights), { rtol: 1e-4 });
  const types: string[] = [hyper["loss_type"] ?? []].flat();
  for (const type of types.length > 1 ? types : []) {
    assertClose(metrics[`loss/${type}`] ?? Number.NaN, mean(per_pair[type] ?? []), {
      rtol: 2e-5,
      atol: 5e-6,
    });
  }
  assert.equal(
    Object.keys(metrics).filter((key) => key.startsWith("loss/")).length,
    types.length > 1 ? types.length : 0,
  );
}
