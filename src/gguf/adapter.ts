/** An adapter as llama.cpp has it: two factors for each adapted matrix, and one alpha for all. */
import { FormatError } from "../base/errors.ts";
import type { AdapterFiles, LoraTensors } from "../formats/adapter.ts";
import { type AdapterConfig, loraScale } from "../formats/adapter-config.ts";
import { headName } from "../formats/checkpoint-names.ts";
import type { Architecture, TensorChange } from "./architecture.ts";
import { type Lineage, lineageKeys } from "./lineage.ts";
import { ggufName } from "./tensors.ts";
import { float32, type GgufKeys, string, uint32 } from "./values.ts";

/** An adapted matrix. */
export interface FactorPlan {
  /** Path of the module in the model. */
  module: string;
  /** Names of A and B in the GGUF file. */
  names: { A: string; B: string };
  tensors: LoraTensors;
  /** What is done to each: llama.cpp scales every product by alpha / rank alone, and the rows of B are the matrix's. */
  changes: { A: TensorChange; B: TensorChange | null };
}

/**
 * What becomes of an adapter's tensors.
 *
 * @param isTied - whether the model's head is its embedding
 * @throws {FormatError} for what llama.cpp's adapters do not have
 */
export function planAdapter(
  { dir, config, lora, saved }: AdapterFiles,
  architecture: Architecture,
  isTied: boolean,
): FactorPlan[] {
  const refuse = (what: string): never => {
    throw new FormatError(
      `${dir}: expected an adapter that llama.cpp can apply, got one with ${what}. Merge it: leave out --lora.`,
    );
  };
  if (config.useDora) refuse("DoRA's magnitudes");
  const [whole] = saved.keys();
  if (whole !== undefined) refuse(`${whole} trained as a whole`);
  return [...lora].map(([module, tensors]) => {
    const weight = `${module}.weight`;
    if (weight === headName && isTied) refuse("the head of a model whose head is its embedding");
    const name = ggufName(weight, architecture);
    const { rank, scale } = loraScale(config, module);
    return {
      module,
      names: { A: `${name}.lora_a`, B: `${name}.lora_b` },
      tensors,
      changes: {
        A: { kind: "scale", add: 0, times: scale / (config.alpha / rank) },
        B: architecture.change(weight),
      },
    };
  });
}

/** The keys of an adapter's file. */
export function adapterKeys(
  name: string,
  { alpha, lineage }: Pick<AdapterConfig, "alpha"> & { lineage: Lineage },
  architecture: Architecture,
): GgufKeys {
  return new Map([
    ["general.architecture", string(architecture.name)],
    ["general.type", string("adapter")],
    ["general.name", string(name)],
    ...lineageKeys(lineage),
    ["general.file_type", uint32(0)],
    ["adapter.type", string("lora")],
    ["adapter.lora.alpha", float32(alpha)],
  ]);
}
