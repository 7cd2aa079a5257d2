/** Putting a PEFT adapter directory into a model. */
import type { AdapterFiles } from "../formats/adapter.ts";
import type { Tensor } from "../torch/index.ts";
import { type Adapter, adapterTensors, addAdapter } from "./adapt.ts";
import type { CausalLM } from "./causal-lm.ts";
import { readTensorsInto } from "./read-tensors.ts";

/**
 * Adapts `model` as the files say and reads the adapter's tensors.
 *
 * @throws {ConfigError} if the adapter names modules the model does not have
 * @throws {FormatError} if a tensor's shape does not fit the model
 */
export function installAdapter(model: CausalLM, files: AdapterFiles): Adapter {
  const adapter = addAdapter(model, files.config, [...files.lora.keys()]);
  const targets = new Map<string, Tensor>();
  for (const [{ path, part }, tensor] of adapterTensors(model)) {
    const entry = part === "saved" ? files.saved.get(`${path}.weight`) : files.lora.get(path)?.[part];
    targets.set(entry?.name ?? `${path} (${part})`, tensor);
  }
  readTensorsInto([files.file], targets, "adapter");
  return adapter;
}
