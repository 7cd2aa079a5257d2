/**
 * From hidden states to per-token log-probabilities: the one place where logits exist, a chunk of rows at a time, with
 * the gradient written by hand. Every objective works on the vector this returns; no other loss code touches logits.
 */
import { ops, scope, type Tensor } from "../torch/index.ts";

/** Options of `tokenLogps`. */
export interface TokenLogpsOptions {
  /** Rows whose logits are held at once; default: `defaultChunkRows`. */
  chunkRows?: number | null;
  /** Rows of a trained head whose probabilities are kept; default: `keptRows`. */
  keptRows?: number;
  /** Prepare for `backward`: no gradient, one for the hidden states, or one for the head's weight as well. */
  gradient: "none" | "hidden" | "hidden-and-weight";
  /** Also give entropies. Costs a pass over the logits. */
  entropies?: boolean;
}

/** Result of `tokenLogps`; R rows. */
export interface TokenLogpsPass {
  /** (R) float32: natural log of the probability of each target. */
  logps: Tensor;
  /** (R) float32, nats; null unless asked for. */
  entropies: Tensor | null;
  /** (R) float32: 1 where no token is likelier than the target. */
  correct: Tensor;
  /**
   * The gradients for dL/dlogps (R), float32: `hidden` (R, D) in the hidden states' type; adds the head's to
   * `weightGrad` (V, D), float32, when the pass was made for it.
   */
  backward(gradLogps: Tensor, weightGrad: Tensor | null): Tensor;
}

// a GPU needs larger products to be busy, and has the memory beside weights of its size
const chunkBytes = { cpu: 32 * 2 ** 20, other: 256 * 2 ** 20 };
const keptBytes = { cpu: 96 * 2 ** 20, other: 1024 * 2 ** 20 };

function rowsWithin(bytes: typeof chunkBytes, weight: Tensor): number {
  const limit = weight.device === "cpu" ? bytes.cpu : bytes.other;
  return Math.max(1, Math.floor(limit / (4 * weight.size(0))));
}

/** Rows a chunk takes so that its float32 logits stay within 32 MiB, on a GPU 256 MiB. `weight`: (V, D). */
export function defaultChunkRows(weight: Tensor): number {
  return rowsWithin(chunkBytes, weight);
}

/** Rows whose probabilities a trained head keeps, within 96 MiB, on a GPU 1 GiB. `weight`: (V, D). */
export function keptRows(weight: Tensor): number {
  return rowsWithin(keptBytes, weight);
}

/**
 * Log-probabilities of `targets` under softmax(hidden Wᵀ).
 *
 * With a frozen head the gradient with respect to a row is g · (W[y] − Σ_v p_v W[v]), whatever the loss: that vector is
 * kept from the forward pass, (R, D), and scaled in `backward`. A trained head needs p again for its own gradient: it is
 * kept for the first `keptRows` rows, for the others logits are computed again chunk by chunk.
 *
 * Numerics: logits are rounded to the model's type by the matrix product, everything after it is float32; weight
 * gradients add up in float32.
 * Memory: one chunk of logits (`chunkRows` × V × 4 bytes); (R, D) when only hidden gradients are wanted; min(R, `keptRows`) ×
 * V × 4 bytes when the head is trained.
 *
 * @param hidden - (R, D), no grad recorded here
 * @param weight - (V, D)
 * @param targets - (R) int64
 */
export function tokenLogps(
  hidden: Tensor,
  weight: Tensor,
  targets: Tensor,
  options: TokenLogpsOptions,
): TokenLogpsPass {
  const rows = hidden.size(0);
  const chunkRows = Math.max(1, options.chunkRows ?? defaultChunkRows(weight));
  const kept = options.gradient === "hidden-and-weight" ? (options.keptRows ?? keptRows(weight)) : 0;
  const chunks: ChunkResult[] = [];
  for (let start = 0; start < rows; start += chunkRows) {
    const end = Math.min(rows, start + chunkRows);
    const keeps = end <= kept;
    chunks.push(
      forwardChunk(slice(hidden, start, end), weight, slice(targets, start, end), { ...options, keeps }),
    );
  }
  const joined = (pick: (chunk: ChunkResult) => Tensor | null) => join(chunks.map(pick));
  const logps = joined((c) => c.logps) as Tensor;
  const direction = joined((c) => c.direction);
  return {
    logps,
    entropies: joined((c) => c.entropies),
    correct: joined((c) => c.correct) as Tensor,
    backward(gradLogps, weightGrad) {
      if (direction !== null) return scaleRows(direction, gradLogps);
      const exps = chunks.map((c) => c.kept);
      return backwardThroughLogits({ hidden, weight, targets, chunkRows, kept: exps }, gradLogps, weightGrad);
    },
  };
}

interface ChunkResult {
  logps: Tensor;
  entropies: Tensor | null;
  correct: Tensor;
  /** W[y] − Σ_v p_v W[v], (rows, D) */
  direction: Tensor | null;
  /** What `backward` of a trained head needs, when there is room for it. */
  kept: Exponentials | null;
}

/** exp(logits − max) with what is needed to normalise it. */
interface Exponentials {
  /** (rows, V), not normalised */
  values: Tensor;
  /** (rows, 1) */
  max: Tensor;
  /** (rows, 1): Σ values */
  total: Tensor;
  /** (rows): the target's logit */
  picked: Tensor;
}

function exponentials(hidden: Tensor, weight: Tensor, targets: Tensor): Exponentials {
  const product = ops.linear(
    hidden,
    weight.dtype === hidden.dtype ? weight : ops.toDtype(weight, hidden.dtype),
  );
  const logits = ops.toDtype(product, "float32");
  const picked = ops.squeezeDim(ops.gather(logits, 1, ops.unsqueeze(targets, 1)), 1);
  const [max, total] = ops.expRows_(logits);
  return { values: logits, max, total, picked };
}

function forwardChunk(
  hidden: Tensor,
  weight: Tensor,
  targets: Tensor,
  options: TokenLogpsOptions & { keeps: boolean },
): ChunkResult {
  using chunk = scope();
  const exps = exponentials(hidden, weight, targets);
  const { values, max, total, picked } = exps;
  const normaliser = ops.squeezeDim(ops.addTensor(max, ops.log(total)), 1);
  const logps = chunk.keep(ops.subTensor(picked, normaliser));
  const correct = chunk.keep(ops.toDtype(ops.geTensor(picked, ops.squeezeDim(max, 1)), "float32"));
  const entropies =
    options.entropies === true
      ? chunk.keep(ops.sumDimIntList(ops.specialEntr(ops.divTensor(values, total)), [1]))
      : null;
  if (options.keeps) for (const tensor of [values, total]) chunk.keep(tensor);
  const kept = options.keeps ? exps : null;
  if (options.gradient !== "hidden") return { logps, entropies, correct, direction: null, kept };
  const expected = ops.divTensor(ops.matmul(values, ops.toDtype(weight, "float32")), total);
  const direction = chunk.keep(ops.subTensor(ops.indexSelect(weight, 0, targets), expected));
  return { logps, entropies, correct, direction, kept };
}

interface HeadInputs {
  hidden: Tensor;
  weight: Tensor;
  targets: Tensor;
  chunkRows: number;
  /** Exponentials of each chunk, null where they must be computed again. */
  kept: readonly (Exponentials | null)[];
}

/** dL/dlogits = g · (onehot − p), chunk by chunk; kept exponentials are used up. */
function backwardThroughLogits(inputs: HeadInputs, gradLogps: Tensor, weightGrad: Tensor | null): Tensor {
  const { hidden, weight, targets, chunkRows, kept } = inputs;
  const rows = hidden.size(0);
  const parts: Tensor[] = [];
  for (let start = 0; start < rows; start += chunkRows) {
    using chunk = scope();
    const end = Math.min(rows, start + chunkRows);
    const h = slice(hidden, start, end);
    const y = slice(targets, start, end);
    const g = ops.unsqueeze(slice(gradLogps, start, end), 1);
    const { values, total } = kept[start / chunkRows] ?? exponentials(h, weight, y);
    const gradLogits = ops.mul_Tensor(values, ops.neg(ops.divTensor(g, total)));
    ops.scatterAdd_(gradLogits, 1, ops.unsqueeze(y, 1), g);
    const typed = ops.toDtype(gradLogits, hidden.dtype);
    parts.push(chunk.keep(ops.matmul(typed, ops.toDtype(weight, hidden.dtype))));
    if (weightGrad !== null) ops.addmm_(weightGrad, ops.t(gradLogits), ops.toDtype(h, "float32"));
    values.dispose();
  }
  return join(parts) as Tensor;
}

function scaleRows(direction: Tensor, g: Tensor): Tensor {
  return ops.mulTensor(direction, ops.unsqueeze(g, 1));
}

function slice(x: Tensor, start: number, end: number): Tensor {
  return ops.sliceTensor(x, 0, start, end);
}

function join(parts: (Tensor | null)[]): Tensor | null {
  const present = parts.filter((part) => part !== null);
  if (present.length === 0) return null;
  return present.length === 1 ? (present[0] as Tensor) : ops.cat(present);
}
