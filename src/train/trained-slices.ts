/**
 * The trained numbers of a process and the optimiser's averages of them, as slices of tensors: so that a checkpoint is written by as
 * many ranks as hold it, and read by any other number.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { FormatError } from "../base/errors.ts";
import { adapterWeightsName } from "../formats/adapter.ts";
import { readSafetensorsHeader, type SafetensorsFile } from "../formats/safetensors.ts";
import { type TensorSource, writeSafetensors } from "../formats/safetensors-write.ts";
import { isSliceFile, openSliceFiles, SliceIndex, sliceFileName, sliceName } from "../formats/slices.ts";
import { openWeights } from "../formats/weight-index.ts";
import type { Decoder } from "../models/causal-lm.ts";
import { fixedNames, tensorSource } from "../models/save.ts";
import { readSlices, type WantedSlice } from "../models/sliced-source.ts";
import { noGrad, ops, scope, type Tensor } from "../torch/index.ts";
import type { Training } from "./step.ts";
import type { HoldingRanks } from "./step-ranks.ts";

/** Numbers of a trained tensor that this process updates. */
interface TrainedSlice {
  name: string;
  /** Numbers in the tensor. */
  numel: number;
  from: number;
  to: number;
  /** (to − from) float32, views: the numbers, and the averages of their gradient and its square. */
  parts: Readonly<Record<Part, Tensor>>;
}

/** What follows a tensor's name where its numbers are stored, as in torch's state dict. */
type Part = "" | ".exp_avg" | ".exp_avg_sq";
const parts: readonly Part[] = ["", ".exp_avg", ".exp_avg_sq"];

/** The name of a file's metadata that holds how many updates the optimiser has made. */
const updatesKey = "updates";

/** What is trained, and the ranks that hold it; null: this process is alone. */
interface Trained extends Pick<Training<Decoder>, "model" | "adapter" | "parameters" | "optimizer"> {
  ranks?: HoldingRanks | null;
}

/** The slices that this process updates; views, to be freed with the caller's scope. */
function slicesOf({ parameters, optimizer, ranks = null }: Trained): TrainedSlice[] {
  const states = new Map(optimizer.stateTensors());
  const partsOf = (tensor: Tensor, shard: string, from: number, count: number): TrainedSlice["parts"] => {
    const of = (whole: Tensor | undefined): Tensor => {
      if (whole === undefined) throw new Error(`the optimiser has no state of ${shard}`);
      return ops.narrow(ops.view(ops.detach(whole), [whole.numel]), 0, from, count);
    };
    return {
      "": of(tensor),
      ".exp_avg": of(states.get(`${shard}.exp_avg`)),
      ".exp_avg_sq": of(states.get(`${shard}.exp_avg_sq`)),
    };
  };
  const shards = new Map([...parameters].map(({ name, tensor }) => [name, tensor]));
  if (!ranks?.sharded) {
    return [...shards].map(([name, tensor]) => {
      const { numel } = tensor;
      return { name, numel, from: 0, to: numel, parts: partsOf(tensor, name, 0, numel) };
    });
  }
  const { group, units } = ranks.sharded;
  const complete = parameters.tensors;
  return units.flatMap((unit) =>
    unit.pieces
      .filter(({ segment }) => segment.trained)
      .map((piece) => {
        const { segment, from, to } = piece;
        const { kind, place } = unit.layout.placeInShare(piece, group.rank);
        const shard = `${unit.name}.${kind}`;
        const tensor = shards.get(shard);
        if (tensor === undefined) throw new Error(`this rank has no shard ${shard}`);
        const whole = complete.get(segment.name);
        if (whole === undefined) throw new Error(`${segment.name} is not trained`);
        return {
          name: segment.name,
          numel: whole.numel,
          from,
          to,
          parts: partsOf(tensor, shard, place, to - from),
        };
      }),
  );
}

/** Whether this process holds slices of the tensors, and not all of them. */
export function holdsSlices({ ranks = null }: Pick<Trained, "ranks">): boolean {
  return ranks !== null && ranks.sharded !== null;
}

/** Name of the file that this process writes its slices into; null where it holds none, or another rank the same. */
export function ownSliceFile({ ranks = null }: Pick<Trained, "ranks">): string | null {
  if (!ranks?.sharded || !ranks.sharers.includes(ranks.group.rank)) return null;
  const { rank, size } = ranks.sharded.group;
  return sliceFileName(rank, size);
}

/** Writes the slices that this process updates into the directory of a checkpoint. @param step - of the checkpoint */
export function writeOwnSlices(dir: string, file: string, training: Trained, step: number): void {
  using _ = scope();
  const sources = slicesOf(training).flatMap(({ name, from, to, parts: tensors }) =>
    parts.map((part): TensorSource => tensorSource(sliceName(`${name}${part}`, from, to), tensors[part])),
  );
  const [updates] = updatesOf(training);
  const metadata = {
    format: "pt",
    step: String(step),
    ...(updates && { [updatesKey]: String(updates.item()) }),
  };
  writeSafetensors(join(dir, file), sources, metadata);
}

/** The optimiser's counts of updates, which are equal. */
function updatesOf({ optimizer }: Trained): Tensor[] {
  return [...optimizer.stateTensors()].flatMap(([name, tensor]) => (name.endsWith(".step") ? [tensor] : []));
}

/** Whether the checkpoint in `dir` is one of slices, that each rank wrote its own of. */
export function hasSlices(dir: string): boolean {
  return readdirSync(dir).some(isSliceFile);
}

/**
 * Reads the numbers that this process updates, and no others, from a checkpoint of any number of ranks.
 *
 * @param optimizer - file of the optimiser's state beside complete tensors; null: only the trained tensors are read
 * @throws {FormatError} if they are of another model or adapter, or not all there
 */
export function readOwnSlices(dir: string, training: Trained, optimizer: string | null): void {
  using _ = scope();
  const what = trainedKind(training);
  const slices = slicesOf(training);
  const sliced = hasSlices(dir);
  const weights = sliced ? openSliceFiles(dir, readdirSync(dir)) : completeTensors(dir, training);
  const index = new SliceIndex(dir, weights);
  requireOwn(index, training, what, sliced);
  readSlices(
    index,
    slices.map((slice) => wanted(slice, "")),
    what,
  );
  if (optimizer === null) return;
  const states = sliced ? null : readSafetensorsHeader(join(dir, optimizer));
  const source = states === null ? index : new SliceIndex(states.path, [states]);
  const averages = slices.flatMap((slice) => [wanted(slice, ".exp_avg"), wanted(slice, ".exp_avg_sq")]);
  readSlices(source, averages, "optimiser state");
  setUpdates(training, states === null ? updatesIn(dir, weights) : storedUpdates(source, slices));
}

function wanted({ parts: tensors, ...slice }: TrainedSlice, part: Part): WantedSlice {
  return { ...slice, name: `${slice.name}${part}`, into: tensors[part] };
}

/** What is trained, in a word for messages. */
export function trainedKind({ adapter }: Pick<Trained, "adapter">): "model" | "adapter" {
  return adapter === null ? "model" : "adapter";
}

/** The files of a checkpoint that has complete tensors: of the model those that are trained, or those of the adapter. */
export function completeTensors(dir: string, { model, adapter }: Trained): readonly SafetensorsFile[] {
  if (adapter !== null) return [readSafetensorsHeader(join(dir, adapterWeightsName))];
  const fixed = fixedNames(model);
  const isTrained = ([name]: readonly [string, unknown]): boolean => !fixed.has(name);
  return openWeights(dir).files.map((file) => ({
    ...file,
    tensors: new Map([...file.tensors].filter(isTrained)),
  }));
}

/** Every tensor must be one that is trained, on whichever rank. */
function requireOwn(index: SliceIndex, { parameters }: Trained, what: string, sliced: boolean): void {
  const known = new Set<string>();
  for (const name of parameters.tensors.keys())
    for (const part of sliced ? parts : [""]) known.add(`${name}${part}`);
  const stored = new Set(index.names);
  const missing = [...known].find((name) => !stored.has(name));
  if (missing !== undefined) throw new FormatError(`${index.place}: ${what} tensor "${missing}" is missing`);
  const extra = [...stored].find((name) => !known.has(name));
  if (extra !== undefined) {
    throw new FormatError(`${index.place}: tensor "${extra}" does not belong to this ${what}`);
  }
}

/** How many updates the optimiser had made that wrote the slices. */
function updatesIn(dir: string, files: readonly SafetensorsFile[]): number {
  const counts = new Set(files.flatMap(({ metadata }) => metadata[updatesKey] ?? []).map(Number));
  const [updates = 0] = counts;
  if (counts.size <= 1 && Number.isSafeInteger(updates)) return updates;
  throw new FormatError(
    `${dir}: expected files of one step, got ${[...counts].join(" and ")} updates of the optimiser. The files are not those of one checkpoint.`,
  );
}

/** The same of a process that held complete tensors. */
function storedUpdates(source: SliceIndex, slices: readonly TrainedSlice[]): number {
  using _ = scope();
  const count = ops.zeros([slices.length], { dtype: "float32" });
  const steps = slices.map(({ name }, i) => {
    return { name: `${name}.step`, numel: 1, from: 0, to: 1, into: ops.narrow(count, 0, i, 1) };
  });
  readSlices(source, steps, "optimiser state");
  const counts = new Set(count.toNumbers());
  const [updates = 0] = counts;
  if (counts.size <= 1) return updates;
  throw new FormatError(
    `${source.place}: expected as many updates of each tensor, since ranks that share a model count them once, got ${[...counts].join(" and ")}: ` +
      "some tensors had no gradient in some steps. Resume it in one process, or on ranks with shard: none.",
  );
}

function setUpdates(training: Trained, updates: number): void {
  noGrad(() => {
    for (const counter of updatesOf(training))
      ops.copy_(counter, ops.full([], updates, { dtype: "float32" }));
  });
}
