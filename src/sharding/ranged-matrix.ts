/** The matrix of a head that ranks share: each range of its rows is a unit of its own, so that all of it is never gathered in a step. */
import { headRanges } from "../formats/head-ranges.ts";
import type { ModelConfig } from "../formats/model-config.ts";
import type { UnitTensor } from "../formats/unit-layout.ts";
import type { HeadRows } from "../models/causal-lm.ts";
import { itemSize, noGrad, ops, scope, type Tensor } from "../torch/index.ts";
import { ShardedUnit, type ShardGroup } from "./sharded-unit.ts";

/** Rows of a head's matrix and the unit that has them. */
export interface UnitRows extends HeadRows {
  unit: ShardedUnit;
}

/** A head's matrix in units. */
export class RangedMatrix {
  /** In the order of the rows. */
  readonly ranges: readonly UnitRows[];
  /** (V, D): stands for all of it where tensors are listed; memory only while it is held. */
  readonly whole: Tensor;
  /** All of its rows, while it is held. */
  readonly all: HeadRows;

  /** @param name - of the head @param tensor - the matrix, (V, D) */
  constructor(
    config: ModelConfig,
    { name, tensor }: { name: string; tensor: UnitTensor },
    { group, device }: { group: ShardGroup; device: string },
  ) {
    const { shape, dtype } = tensor;
    const width = config.hiddenSize;
    this.ranges = headRanges(config).map(({ start, end }) => {
      const rows = { ...tensor, shape: [end - start, width], first: start * width };
      const unit = new ShardedUnit(`${name}[${start}:${end}]`, [rows], group, device);
      return { start, end, rows: unit.view(tensor.name), unit };
    });
    this.whole = ops.empty(shape, { dtype, device });
    ops.storageResize(this.whole, 0);
    this.all = { start: 0, end: config.vocabSize, rows: this.whole };
  }

  /** Has all of the matrix in memory until it is released. */
  hold(): void {
    ops.storageResize(this.whole, this.whole.numel * itemSize(this.whole.dtype));
    for (const { start, end, rows, unit } of this.ranges) {
      using _ = scope();
      unit.gather();
      noGrad(() => ops.copy_(ops.slice(this.whole, 0, start, end), ops.detach(rows)));
      unit.free();
    }
  }

  release(): void {
    ops.storageResize(this.whole, 0);
  }
}
