/** Putting a PEFT adapter directory into a model. */
import { ConfigError } from "../base/errors.ts";
import type { AdapterFiles } from "../formats/adapter.ts";
import { scoreName } from "../formats/checkpoint-names.ts";
import { isProjection, namedModules } from "../nn/module.ts";
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
    if (part !== "A" && part !== "B") {
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
  // in place: new memory for every tensor costs more than the sums
  const moved = ops.sub(ops.to(ops.detach(trained), "float32"), from);
  return ops.add_(ops.mul_(moved, scale), from);
}

/** The same without reading the tensors, which are given under the names that they have in the file. */
export function placeAdapter(
  model: Decoder,
  files: AdapterFiles,
): { adapter: Adapter; targets: Map<string, Tensor> } {
  requireKind(model, files);
  requireModules(model, files);
  const adapter = addAdapter(model, files.config, [...files.lora.keys()]);
  const targets = new Map<string, Tensor>();
  for (const [of, tensor] of adapterTensors(model)) {
    const { path, part } = of;
    const [entry, name] =
      part === "saved"
        ? [files.saved.get(`${path}.${of.parameter}`), of.parameter === "bias" ? "saved bias" : part]
        : [files.lora.get(path)?.[part], part];
    targets.set(entry?.name ?? `${path} (${name})`, tensor);
  }
  return { adapter, targets };
}

/** Every module that the adapter changes is one of the model's. */
function requireModules(model: Decoder, { dir, lora }: AdapterFiles): void {
  const linears = [...namedModules(model)].flatMap(({ path, module }) =>
    isProjection(module) ? [path] : [],
  );
  const known = new Set(linears);
  const absent = [...lora.keys()].find((path) => !known.has(path));
  if (absent === undefined) return;
  const nameOf = (path: string) => path.split(".").at(-1) ?? "";
  const names = [...new Set(linears.map(nameOf))];
  const fused = names.find((name) => (fusedLinears[name] ?? []).includes(nameOf(absent)));
  const how =
    fused === undefined
      ? "It was made for another model: give the model that it was trained on"
      : `This model has ${fused} in place of ${fusedLinears[fused]?.join(", ")}, and a product of low rank for one of them is none for all. ` +
        `Give the model that the adapter was trained on, with separate linears, or train one with lora_target_modules: [${fused}]`;
  throw new ConfigError(
    `${dir}: the adapter changes "${absent}", which this model does not have; its linears are ${names.join(", ")}. ${how}.`,
  );
}

/** Linears that some families store in one. */
const fusedLinears: Readonly<Record<string, readonly string[]>> = {
  qkv_proj: ["q_proj", "k_proj", "v_proj"],
  gate_up_proj: ["gate_proj", "up_proj"],
};

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
