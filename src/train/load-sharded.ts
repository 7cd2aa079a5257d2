/** A stored model in parts, to score with: nothing of it is trained. */
import { ConfigError } from "../base/errors.ts";
import { readAdapter } from "../formats/adapter.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { loadModel } from "../models/load.ts";
import { tensorPlaces } from "../nn/module.ts";
import { readParts } from "../sharding/fill-parts.ts";
import { placesOf, ShardedModel } from "../sharding/sharded-model.ts";
import type { ShardGroup } from "../sharding/sharded-unit.ts";
import type { DType } from "../torch/index.ts";
import { locationsIn, placeStored } from "./prepare-sharded.ts";

/** How the model is loaded. */
export interface ShardedLoad {
  device: string;
  /** Type of its weights, and what it computes in. */
  dtype: DType;
  /** PEFT adapter directory; null for none. */
  adapter: string | null;
}

/**
 * The model in `dir`, of which this rank reads its part.
 *
 * @throws {FormatError} for anything that the files lack or have wrong
 */
export function loadSharded(
  dir: string,
  { device, dtype, adapter }: ShardedLoad,
  group: ShardGroup,
): { model: CausalLM; sharded: ShardedModel } & Disposable {
  const model = loadModel(dir, { device: "meta", dtype });
  const base = placesOf(model);
  const files = adapter === null ? null : readAdapter(adapter);
  if (files !== null && files.scale !== 1 && (files.config.useDora || files.saved.size > 0)) {
    throw new ConfigError(
      `${adapter}: an adapter with DoRA or modules trained in full has no scale where ranks share the model. Merge it at that scale, or take --shard none.`,
    );
  }
  const placed = files === null ? null : placeStored(model, files);
  const stored = placed?.locate([...tensorPlaces(model)].map(({ path, tensor }) => ({ name: path, tensor })));
  const sharded = new ShardedModel(model, base, [], { group, device, dtype, keep_gathered: false });
  const inModel = locationsIn(dir);
  readParts(sharded.units, (name) => stored?.get(name) ?? inModel(name));
  return { model, sharded, [Symbol.dispose]: () => sharded.dispose() };
}
