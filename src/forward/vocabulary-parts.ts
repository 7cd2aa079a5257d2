/** Parts of the vocabulary as passes over the logits take them: rows of the head's matrix, and the targets that lie among them. */
import type { HeadRows } from "../models/causal-lm.ts";
import { type DType, heldCopy, ops, scope, type Tensor } from "../torch/index.ts";

/** Rows [start, end) of the matrix, entries of the vocabulary. */
export type Range = Pick<HeadRows, "start" | "end">;

/** A part [start, end) of the vocabulary, and the range of the matrix that its rows are in. */
export interface Columns extends Range {
  range: HeadRows;
}

/** The rows of a part in `dtype`; they are cast where the matrix has no copy in that type. */
export function typedRows({ range, start, end }: Columns, dtype: DType): Tensor {
  return ops.to(within(range, heldCopy(range.rows, dtype) ?? range.rows, { start, end }), dtype);
}

/** The rows [start, end) of the matrix in a tensor that begins with those of `range`. */
export function within(range: Range, rows: Tensor, { start, end }: Range): Tensor {
  return ops.slice(rows, 0, start - range.start, end - range.start);
}

/** (R, D): Σ of the part's values times its rows, float32 */
export function weighted(values: Tensor, { range, ...columns }: Columns): Tensor {
  return ops.exactProduct(values, within(range, range.rows, columns));
}

/** (R, D): the row of each target that lies in the range, `before` for the others. */
export function rowsOfTargets(targets: Tensor, range: HeadRows, before: Tensor | null): Tensor {
  using finding = scope();
  const found = ops.indexSelect(range.rows, 0, placesIn(targets, range));
  if (before === null) return finding.keep(found);
  const merged = finding.keep(ops.where(ops.unsqueeze(isIn(targets, range), 1), found, before));
  before.dispose();
  return merged;
}

/** (R): the logit of each target that lies in the part, `before` for the others. */
export function pick(logits: Tensor, targets: Tensor, range: Range, before: Tensor | null): Tensor {
  const found = ops.squeeze(ops.gather(logits, 1, ops.unsqueeze(placesIn(targets, range), 1)), 1);
  return before === null ? found : ops.where(isIn(targets, range), found, before);
}

/** (R): the place of each target in the range; of one outside it, some place inside. */
export function placesIn(targets: Tensor, { start, end }: Range): Tensor {
  return ops.clamp(ops.sub(targets, start), 0, end - start - 1);
}

/** (R) bool */
export function isIn(targets: Tensor, { start, end }: Range): Tensor {
  return ops.logicalAnd(ops.ge(targets, start), ops.lt(targets, end));
}
