/** `test/fixtures/losses`: a tiny model, one that it is compared with, and TRL's losses on their log-probs. */
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Example } from "../../src/data/example.ts";
import type { CausalLM } from "../../src/models/causal-lm.ts";
import { loadModel } from "../../src/models/load.ts";
import { assertClose } from "./close.ts";
import type { RecordedStep } from "./record-step.ts";

const root: string = resolve(import.meta.dirname, "../fixtures/losses");

/** A file of the fixture. */
export function lossFixture<T>(name: string): T {
  return JSON.parse(readFileSync(join(root, name), "utf8")) as T;
}

/** The policy and the reference; trainable tensors have separate memory. */
export function lossModels(): { policy: CausalLM; reference: CausalLM } {
  return {
    policy: loadModel(join(root, "model"), { copy: true }),
    reference: loadModel(join(root, "reference")),
  };
}

/** Gradients, as the fixture has them. */
interface GoldenGradients {
  global_norm: number;
  params: Record<string, { norm: number; first: number[]; last: number[] }>;
}

/** A loss on a batch. */
export interface GoldenCase {
  hyper: Record<string, never>;
  trl?: { loss: number; metrics: Record<string, number>; grads: GoldenGradients };
  float64: { loss: number; global_norm: number; grads?: GoldenGradients };
  per_pair: Record<string, number[]>;
  weights?: number[];
}

/** The six pairs. */
export function lossPairs(): Example[] {
  const { rows } = lossFixture<{
    rows: {
      prompt_ids: number[];
      chosen_ids: number[];
      rejected_ids: number[];
      ref_chosen_logp: number;
      ref_rejected_logp: number;
    }[];
  }>("batch.json");
  return rows.map((row, i) => ({
    origin: { file: "losses/batch.json", line: i + 1 },
    promptIds: row.prompt_ids,
    completions: [{ ids: row.chosen_ids }, { ids: row.rejected_ids }],
    referenceLogps: [row.ref_chosen_logp, row.ref_rejected_logp],
  }));
}

/** Loss and gradients within the tolerances of the fixture's README. */
export function assertGolden(got: RecordedStep, { trl, float64 }: GoldenCase): void {
  assertClose(got.loss, float64.loss, { atol: 5e-6, rtol: 1e-5 });
  assertClose(got.norm, float64.global_norm, { rtol: 1e-4 });
  const grads = trl?.grads ?? float64.grads;
  for (const [name, { norm, first, last }] of Object.entries(grads?.params ?? {})) {
    const grad = got.grads.get(name) ?? [];
    assertClose(Math.hypot(...grad), norm, { rtol: 1e-4, atol: 1e-6 });
    const atol = 1e-4 * Math.max(norm, 1e-4);
    assertClose(grad.slice(0, first.length), first, { atol });
    assertClose(grad.slice(-last.length), last, { atol });
  }
}
