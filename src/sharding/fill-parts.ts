/** The numbers of a sharded model as it starts: each rank reads its own ranges of the files; what is new is made on all ranks alike. */
import type { WeightLocation } from "../formats/weight-index.ts";
import { requireFinite } from "../models/finite.ts";
import { copyStoredRange } from "../models/mapped-file.ts";
import { noGrad, ops, scope, type Tensor } from "../torch/index.ts";
import type { ShardedUnit } from "./sharded-unit.ts";

/**
 * Reads this rank's ranges of the tensors that `locate` finds; the others are left as they are.
 *
 * @param locate - where the tensor of a name is stored; null for one that is not
 * @throws {FormatError} if a number is not finite, naming file and tensor
 */
export function readParts(
  units: readonly ShardedUnit[],
  locate: (name: string) => WeightLocation | null,
): void {
  for (const unit of units) {
    for (const piece of unit.pieces) {
      const stored = locate(piece.segment.name);
      if (stored === null) continue;
      using _ = scope();
      const target = unit.held(piece);
      noGrad(() => copyStoredRange(stored.file, stored.entry, piece, target));
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

/**
 * Makes tensors in the given order and keeps this rank's ranges.
 *
 * @param parts - units of the parts of the model, see `ShardedModel.parts`
 */
export function makeParts(parts: readonly (readonly ShardedUnit[])[], tensors: readonly NewTensor[]): void {
  let open: readonly ShardedUnit[] = [];
  for (const { name, make } of tensors) {
    const part = parts.find((units) => units.some((unit) => unit.has(name))) ?? [];
    if (part !== open) for (const unit of open) unit.free();
    open = part;
    for (const unit of part) unit.gather();
    using _ = scope();
    noGrad(() => keep(part, name, make()));
  }
  for (const unit of open) unit.free();
}

function keep(part: readonly ShardedUnit[], name: string, whole: Tensor): void {
  const flat = ops.reshape(whole, [whole.numel]);
  for (const unit of part) {
    for (const piece of unit.pieces) {
      if (piece.segment.name !== name) continue;
      const { from, to } = piece;
      ops.copy_(unit.held(piece), ops.narrow(flat, 0, from, to - from));
    }
  }
}
