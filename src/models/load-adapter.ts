/** Putting a PEFT adapter directory into a model. */
import { ConfigError } from "../base/errors.ts";
import type { AdapterFiles } from "../formats/adapter.ts";
import { scoreName } from "../formats/checkpoint-names.ts";
import { noGrad, ops, scope, type Tensor } from "../torch/index.ts";
import { type Adapter, adapterTensors, addAdapter } from "./adapt.ts";
import type { Decoder } from "./causal-lm.ts";
import { readTensorsInto } from "./read-tensors.ts";
import { RewardModel } from "./reward-model.ts";

/**
 * Adapts `model` as the files say and reads the adapter's tensors. At a scale s low-rank products count s times; what is no product,
 * DoRA's magnitudes and modules trained in full, is start + s · (trained − start), in float32.
 *
 * @throws {ConfigError} if the adapter names modules the model does not have, or is of the other kind of model
 * @throws {FormatError} if a tensor's shape does not fit the model
 */
export function installAdapter(model: Decoder, files: AdapterFiles): Adapter {
  const { adapter, targets } = placeAdapter(model, files);
  readTensorsInto([files.file], targets, "adapter");
  if (files.scale !== 1) scaleWhole(model, files.scale);
  return adapter;
}

function scaleWhole(model: Decoder, scale: number): void {
  for (const [{ part, initial }, tensor] of adapterTensors(model)) {
    if (part === "magnitude" || part === "saved") {
      using _ = scope();
      noGrad(() => ops.copy_(ops.detach(tensor), interpolated(tensor, initial(), scale)));
    }
  }
}

/** start + scale · (trained − start), computed and left in float32; at 0 the start and at 1 the result, in their own types. */
export function interpolated(trained: Tensor, start: Tensor, scale: number): Tensor {
  if (scale === 1) return ops.detach(trained);
  if (scale === 0) return ops.detach(start);
  const from = ops.to(ops.detach(start), "float32");
  return ops.add(from, ops.mul(ops.sub(ops.to(ops.detach(trained), "float32"), from), scale));
}

/** The same without reading the tensors, which are given under the names that they have in the file. */
export function placeAdapter(
  model: Decoder,
  files: AdapterFiles,
): { adapter: Adapter; targets: Map<string, Tensor> } {
  requireKind(model, files);
  const adapter = addAdapter(model, files.config, [...files.lora.keys()]);
  const targets = new Map<string, Tensor>();
  for (const [{ path, part }, tensor] of adapterTensors(model)) {
    const entry = part === "saved" ? files.saved.get(`${path}.weight`) : files.lora.get(path)?.[part];
    targets.set(entry?.name ?? `${path} (${part})`, tensor);
  }
  return { adapter, targets };
}

/** A reward model's adapter brings the score layer; another leaves a model without one. */
function requireKind(model: Decoder, { dir, config: { taskType }, saved }: AdapterFiles): void {
  if (model instanceof RewardModel) {
    if (saved.has(scoreName)) return;
    throw new ConfigError(
      `${dir}: expected the adapter of a reward model, with "${scoreName}", got one without. Train one: objective: reward`,
    );
  }
  if (taskType !== "SEQ_CLS") return;
  throw new ConfigError(
    `${dir}: expected a language model's adapter, got a reward model's (task_type SEQ_CLS). It gives rewards, and no tokens.`,
  );
}
