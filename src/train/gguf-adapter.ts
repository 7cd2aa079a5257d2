/** An adapter's GGUF file: written from the adapter's files, then put into the base model from its own numbers and scored. */
import { readAdapter } from "../formats/adapter.ts";
import type { Quantisation } from "../formats/quantisation.ts";
import { storedConfig } from "../formats/tied-head.ts";
import type { MicroBatch } from "../forward/batch.ts";
import type { Numerics } from "../forward/numerics.ts";
import { adapterKeys, type FactorPlan, planAdapter } from "../gguf/adapter.ts";
import { architectureOf } from "../gguf/architecture.ts";
import type { Lineage } from "../gguf/lineage.ts";
import { type GgufFile, readGguf, requireSame } from "../gguf/read.ts";
import type { TensorPlan } from "../gguf/tensors.ts";
import { type GgufSource, writeGguf } from "../gguf/write.ts";
import { adapterTensors } from "../models/adapt.ts";
import { loadModel } from "../models/load.ts";
import { noGrad, ops, scope } from "../torch/index.ts";
import type { GgufScores } from "./gguf-gate.ts";
import { ggufSources, readPlanned } from "./gguf-tensors.ts";
import { outputsOf } from "./logp-difference.ts";

/** What a file is made of, and what is scored before and after. */
export interface GgufAdapter {
  /** Directories. */
  model: string;
  adapter: string;
  /** How the base's linears are held; null: as they are stored. */
  quantise: Quantisation | null;
  name: string;
  lineage: Lineage;
  device: string;
  batches: readonly MicroBatch[];
  arePairs: boolean;
}

const numerics: Numerics = { dtype: "float32", gradient_checkpointing: false, logits_chunk_size: null };

/**
 * Writes the adapter to `path`, which must not exist, and scores the rows with base and adapter, then with base and what the file holds.
 *
 * @throws {FormatError} for an adapter that llama.cpp cannot apply
 */
export function writeGgufAdapter(path: string, given: GgufAdapter): GgufScores {
  using _ = scope();
  const { batches, arePairs, device, quantise } = given;
  const files = readAdapter(given.adapter);
  const config = storedConfig(given.model);
  const architecture = architectureOf(config);
  const plans = planAdapter(files, architecture, config.tieWordEmbeddings);
  const model = loadModel(given.model, { device, dtype: "float32", adapter: given.adapter, quantise });
  const factors = new Map(
    [...adapterTensors(model)].map(([{ path: module, part }, value]) => [`${module} ${part}`, value]),
  );
  const planned = plans.flatMap(factorPlans);
  const saved = planned.flatMap(({ from }) => {
    const value = factors.get(from);
    return value === undefined ? [] : [{ name: from, read: () => ops.detach(value) }];
  });
  const keys = adapterKeys(given.name, { ...files.config, lineage: given.lineage }, architecture);
  const tensors: GgufSource[] = ggufSources(planned, saved);
  writeGguf(path, keys, tensors);
  const want = outputsOf(model, { batches, numerics });
  const file: GgufFile = readGguf(path);
  requireSame(file, { keys, tensors });
  noGrad(() => {
    for (const plan of planned) {
      const target = factors.get(plan.from);
      if (target !== undefined)
        ops.copy_(ops.detach(target), ops.to(readPlanned(file, plan), device, "float32"));
    }
  });
  return { batches, arePairs, want, got: outputsOf(model, { batches, numerics }), rounding: null };
}

/** The two factors of a matrix as tensors to write. */
function factorPlans({ module, names, tensors, changes }: FactorPlan): TensorPlan[] {
  return (["A", "B"] as const).map((part) => ({
    from: `${module} ${part}`,
    name: names[part],
    type: "f32",
    shape: tensors[part].shape,
    change: changes[part],
  }));
}
