/** What tests of models in parts do with them: a selection of what is trained, a micro-batch forward and back, the gradients' norm. */
import assert from "node:assert/strict";
import { packExamples } from "../../src/data/packing.ts";
import { allCompletions, toDevice } from "../../src/forward/batch.ts";
import { tokenLogpsHead } from "../../src/forward/head.ts";
import { walk } from "../../src/forward/walk.ts";
import type { CausalLM } from "../../src/models/causal-lm.ts";
import type { ParameterSet } from "../../src/nn/parameter-set.ts";
import { noGrad, ops, scope } from "../../src/torch/index.ts";
import type { TrainedSelection } from "../../src/train/prepare-model.ts";

const origin = { file: "sharded-pass.ts", line: 1 };
const examples = [
  { origin, promptIds: [3, 7, 1], completions: [{ ids: [12, 200, 2] }, { ids: [6, 140, 21, 2] }] },
];

/** The model in `dir`, trained in full, or by LoRA with these modules in full beside it. */
export function selectionOf(dir: string, tuned: "full" | readonly string[]): TrainedSelection {
  return {
    ...{ model_name_or_path: dir, baseModel: dir, use_peft: tuned !== "full" },
    ...{ adapter_name_or_path: null, disable_dropout: true, use_rslora: false, use_dora: false },
    ...{ lora_r: 4, lora_alpha: 8, lora_dropout: 0, lora_target_modules: "all-linear" },
    lora_modules_to_save: tuned === "full" ? [] : [...tuned],
  };
}

/** A micro-batch forward and back, on the model's device. */
function pass(model: CausalLM, parameters: ParameterSet, gradient_checkpointing: boolean): void {
  using _ = scope();
  const batch = toDevice(packExamples(examples, { share_prompt: true }), model.device);
  const head = tokenLogpsHead(model, { logits_chunk_size: 60, logits_kept_mib: 0, entropies: false });
  const run = walk(model, batch, head, { dtype: "float32", gradient_checkpointing, trained: parameters });
  const { logps, backward } = run.head(allCompletions(batch));
  backward(noGrad(() => ops.add(logps, 1)));
  run.backward();
}

/** A model and what of it is trained. */
interface Trained {
  model: CausalLM;
  parameters: ParameterSet;
}

/** Asserts that two passes, whose gradients add up, give a model in parts the norm that they give the complete one, but for `tolerance` of it. */
export function assertSameNorm(
  inParts: Trained & { sharded: { finishGradients: () => void } },
  complete: Trained,
  { recomputed, tolerance }: { recomputed: boolean; tolerance: number },
): void {
  for (const _ of [1, 2]) {
    pass(inParts.model, inParts.parameters, recomputed);
    pass(complete.model, complete.parameters, recomputed);
  }
  inParts.sharded.finishGradients();
  const [got, expected] = [normOf(inParts.parameters), normOf(complete.parameters)];
  assert.ok(expected > 0 && Math.abs(got / expected - 1) < tolerance, `norm ${got}, expected ${expected}`);
}

/** The norm of the gradients of what is trained. */
function normOf(parameters: ParameterSet): number {
  return Math.sqrt(noGrad(() => ops.sumSquares(parameters.grads())).item());
}
