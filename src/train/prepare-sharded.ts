/** From a configuration to a model of which each rank holds a part, and what of it is trained. */
import { type AdapterFiles, readAdapter } from "../formats/adapter.ts";
import { embeddingName, headName } from "../formats/checkpoint-names.ts";
import { openModel } from "../formats/tied-head.ts";
import type { WeightLocation } from "../formats/weight-index.ts";
import type { Environment } from "../forward/environment.ts";
import { type Adapter, adapterTensors } from "../models/adapt.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { loadModel } from "../models/load.ts";
import { placeAdapter } from "../models/load-adapter.ts";
import { requireTensors } from "../models/read-tensors.ts";
import type { NamedParameter } from "../nn/parameter-set.ts";
import { makeParts, readParts, type StoredNumbers } from "../sharding/fill-parts.ts";
import { placesOf, ShardedModel, type ShardOptions } from "../sharding/sharded-model.ts";
import type { DType } from "../torch/index.ts";
import { adapterParameters, adapterTensorName, trainAll } from "./parameters.ts";
import {
  adapterOf,
  requireFloats,
  requireNoAdapter,
  type TrainedModel,
  type TrainedSelection,
  withDropout,
} from "./prepare-model.ts";

/** A trained model in parts. */
export interface ShardedTraining extends TrainedModel {
  sharded: ShardedModel;
}

/**
 * As `prepareModel`, with one part of the model on each rank: no rank holds all of it, and none reads more than its ranges.
 * A new adapter draws from torch's generator: seed it alike on all ranks.
 */
export function prepareSharded(
  selection: TrainedSelection,
  { device, dtype }: Environment,
  shard: Pick<ShardOptions, "group" | "keep_gathered">,
): ShardedTraining {
  const dir = selection.model_name_or_path;
  const options: ShardOptions = { ...shard, device, dtype };
  if (!selection.use_peft) {
    requireNoAdapter(selection);
    requireFloats(dir);
    const model = loadModel(dir, { device: "meta", dtype: "float32" });
    const sharded = new ShardedModel(model, placesOf(model), trainAll(model).shards, options);
    readParts(sharded.units, locationsIn(dir));
    return trainingOf(model, null, sharded);
  }
  const model = loadModel(dir, { device: "meta", dtype });
  const base = placesOf(model);
  const from = selection.adapter_name_or_path;
  const placed = from === null ? null : placeStored(model, withDropout(readAdapter(from), selection));
  const adapter = placed?.adapter ?? adapterOf(model, selection);
  const parts = [...adapterTensors(model)].map(([part]) => ({ ...part, name: adapterTensorName(part) }));
  const trained = adapterParameters(model).shards;
  const stored = placed?.locate(trained) ?? null;
  const sharded = new ShardedModel(model, base, trained, options);
  const inModel = locationsIn(dir);
  // what is trained in full beside an adapter, and the model's tensors that it starts from
  const copied = new Map(
    parts.flatMap((of) => (of.part === "saved" ? [[of.name, `${of.path}.${of.parameter}`] as const] : [])),
  );
  readParts(sharded.units, (name) => {
    const from = copied.get(name);
    const own = stored?.get(name) ?? inModel(name);
    return own !== null || from === undefined ? own : copiedFrom(inModel, from, dtype);
  });
  if (stored === null) {
    const drawn = parts.filter(({ name }) => !copied.has(name));
    makeParts(
      sharded,
      drawn.map(({ name, initial }) => ({ name, make: initial })),
    );
  }
  return trainingOf(model, adapter, sharded);
}

function trainingOf(
  model: CausalLM,
  adapter: TrainedModel["adapter"],
  sharded: ShardedModel,
): ShardedTraining {
  return {
    model,
    adapter,
    parameters: sharded.parameters,
    sharded,
    base: null,
    dispose: () => sharded.dispose(),
  };
}

/** Where a tensor that is trained in full beside an adapter has its first numbers: those of the model, as that holds them. */
function copiedFrom(
  inModel: (name: string) => WeightLocation | null,
  from: string,
  rounded: DType,
): StoredNumbers | null {
  const stored = inModel(from) ?? (from === headName ? inModel(embeddingName) : null);
  return stored === null ? null : { ...stored, rounded };
}

/** Where the tensors of the model in `dir` are stored, by their names. */
export function locationsIn(dir: string): (name: string) => WeightLocation | null {
  const { index, names } = openModel(dir);
  return (name) => index.tensors.get(names.get(name) ?? "") ?? null;
}

/** An adapter in place whose tensors are not read yet. */
interface PlacedAdapter {
  adapter: Adapter;
  /** Where the tensors of the model that are the adapter's are stored, by their names. */
  locate: (tensors: readonly NamedParameter[]) => Map<string, WeightLocation>;
}

/** Puts an adapter into `model`, whose tensors are shapes alone. @throws {FormatError} if it is of another model */
export function placeStored(model: CausalLM, files: AdapterFiles): PlacedAdapter {
  const { adapter, targets } = placeAdapter(model, files);
  requireTensors([files.file], targets, "adapter");
  const inFile = new Map([...targets].map(([name, tensor]) => [tensor.handle, name]));
  const locate = (tensors: readonly NamedParameter[]): Map<string, WeightLocation> =>
    new Map(
      tensors.flatMap(({ name, tensor }): [string, WeightLocation][] => {
        const entry = files.file.tensors.get(inFile.get(tensor.handle) ?? "");
        return entry === undefined ? [] : [[name, { file: files.file, entry }]];
      }),
    );
  return { adapter, locate };
}
