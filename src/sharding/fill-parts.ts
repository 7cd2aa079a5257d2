/** The numbers of a sharded model as it starts: each rank reads its own ranges of the files; what an adapter draws is made on all ranks alike. */
import type { WeightLocation } from "../formats/weight-index.ts";
import { requireFinite } from "../models/finite.ts";
import { copyStoredRange } from "../models/mapped-file.ts";
import { type DType, noGrad, ops, scope, type Tensor } from "../torch/index.ts";
import type { ShardedModel } from "./sharded-model.ts";
import type { ShardedUnit } from "./sharded-unit.ts";

/** Where the numbers of a tensor are read. */
export interface StoredNumbers extends WeightLocation {
  /** What they are rounded to first; left out: nothing. */
  rounded?: DType;
}

/**
 * Reads this rank's ranges of the tensors that `locate` finds; the others are left as they are.
 *
 * @param locate - where the tensor of a name is stored; null for one that is not
 * @throws {FormatError} if a number is not finite, naming file and tensor
 */
export function readParts(
  units: readonly ShardedUnit[],
  locate: (name: string) => StoredNumbers | null,
): void {
  for (const unit of units) {
    for (const piece of unit.pieces) {
      const stored = locate(piece.segment.name);
      if (stored === null) continue;
      using _ = scope();
      const target = unit.held(piece);
      noGrad(() => {
        copyStoredRange(stored.file, stored.entry, piece, target);
        if (stored.rounded !== undefined) ops.copy_(target, ops.to(target, stored.rounded));
      });
      requireFinite(target, `${stored.file.path}: tensor "${stored.entry.name}"`);
    }
  }
}

/** A tensor that is made, and not read. */
export interface NewTensor {
  name: string;
  /** Makes all of it, with its unit gathered. The same on all ranks: what it draws is drawn on each. */
  make: () => Tensor;
}

/** Makes tensors in the given order and keeps this rank's ranges. */
export function makeParts(model: ShardedModel, tensors: readonly NewTensor[]): void {
  let open: object | null = null;
  for (const { name, make } of tensors) {
    const part = model.partOf(name);
    if (open !== null && part !== open) model.leave(open, false);
    if (part !== open) model.enter(part);
    open = part;
    using _ = scope();
    noGrad(() => keep(model.units, name, make()));
  }
  if (open !== null) model.leave(open, false);
}

function keep(units: readonly ShardedUnit[], name: string, whole: Tensor): void {
  const flat = ops.reshape(whole, [whole.numel]);
  for (const unit of units) {
    for (const piece of unit.pieces) {
      if (piece.segment.name !== name) continue;
      const { from, to } = piece;
      ops.copy_(unit.held(piece), ops.narrow(flat, 0, from, to - from));
    }
  }
}
