/**
 * From hidden states to per-token log-probabilities: the one place where logits exist, a part of the vocabulary at a time,
 * with the gradient written by hand. Every objective works on the vector this returns; no other loss code touches logits.
 */
import { ShapeError } from "../base/errors.ts";
import type { HeadRows } from "../models/causal-lm.ts";
import { onDevice, ops, scope, type Tensor } from "../torch/index.ts";
import type { HeadMatrix } from "./head-matrix.ts";
import { type KeptTokens, notKept } from "./kept-tokens.ts";
import {
  type Columns,
  isIn,
  pick,
  placesIn,
  rowsOfTargets,
  typedRows,
  weighted,
  within,
} from "./vocabulary-parts.ts";

/** Options of `tokenLogps`. */
export interface TokenLogpsOptions {
  /** Divides the logits; default 1. */
  temperature?: number;
  /** c of c · tanh(logit / c), before the temperature; null or left out: none. */
  cap?: number | null;
  /** The tokens that each row's probabilities are renormalised over; null or left out: all. The targets are among them. */
  keptTokens?: KeptTokens | null;
  /**
   * Entries of the vocabulary whose logits are held at once; default: as many as fit 32 MiB, on a GPU 256 MiB. Where a frozen head's rows
   * are copied in float32 (CPU, bfloat16) the copy fits as well.
   */
  logits_chunk_size?: number | null;
  /** MiB of probabilities to keep for the gradient of a trained head; default: 128, on a GPU 1,024. */
  logits_kept_mib?: number | null;
  /** Prepare for `backward`: no gradient, one for the hidden states, or one for the head's weight as well. */
  gradient: "none" | "hidden" | "hidden-and-weight";
  /** Also give entropies, or entropies with a gradient. Costs a pass over the logits, with a gradient another over the product. */
  entropies?: boolean | "with gradient";
  /** Also give log Σ_v p_v². Costs a pass over the probabilities. */
  logSquares?: boolean;
  /** Whether no other pass adds to the gradient of the head's weight; left out: yes. */
  isLast?: boolean;
}

/** Log-probabilities of R tokens. */
export interface TokenLogps {
  /** (R) float32: natural log of the probability of each target. */
  logps: Tensor;
  /** (R) float32, nats; null unless asked for. */
  entropies: Tensor | null;
  /** (R) float32: log Σ_v p_v² of the distribution; null unless asked for. */
  logSquares: Tensor | null;
  /** (R) float32: 1 where no token is more likely than the target. */
  correct: Tensor;
}

/** Where the gradient of a range of a head's rows adds up. */
export type GradOfRows = (range: HeadRows) => Tensor;

/** Result of `tokenLogps`; R rows. */
export interface TokenLogpsPass extends TokenLogps {
  /**
   * The gradients for dL/dlogps (R), float32, and dL/dentropies (R) where entropies have one: `hidden` (R, D) in the hidden states'
   * type; adds the weight's to the tensors that `gradOf` gives for its ranges, (end − start, D) float32, when the pass was made for
   * it. Once.
   */
  backward(gradLogps: Tensor, gradOf: GradOfRows | null, gradEntropies?: Tensor | null): Tensor;
}

// a GPU needs larger products to be busy, and has the memory beside weights of its size
const limits = {
  cpu: { chunk: 32 * 2 ** 20, logits_kept_mib: 128 },
  other: { chunk: 256 * 2 ** 20, logits_kept_mib: 1024 },
};
const leastColumns = 256;

/** A power of two: products of few different sizes, each with kernels for it. */
function columnsIn(room: number): number {
  return 2 ** Math.floor(Math.log2(Math.max(leastColumns, room)));
}

function limitsOf(weight: Tensor): { chunk: number; logits_kept_mib: number } {
  return weight.device === "cpu" ? limits.cpu : limits.other;
}

/**
 * Entries of the vocabulary at once: their logits fit the limit, and so does the float32 copy of their rows that a frozen head's gradient
 * is gathered with (`exact_product` of native/wide-product.h makes none on CUDA).
 */
export function automaticColumns(rows: number, weight: Tensor, isFrozen: boolean): number {
  const isCast = isFrozen && weight.dtype !== "float32" && !weight.device.startsWith("cuda");
  return columnsIn(limitsOf(weight).chunk / (4 * (isCast ? Math.max(rows, weight.size(1)) : rows)));
}

/** Bytes for the probabilities of a trained head. */
function keptBytes(weight: Tensor, logits_kept_mib: number | null = null): number {
  return (logits_kept_mib ?? limitsOf(weight).logits_kept_mib) * 2 ** 20;
}

/** Rows all of whose probabilities a trained head keeps in `logits_kept_mib`. `weight`: (V, D). */
export function keptRows(weight: Tensor, logits_kept_mib: number | null): number {
  return Math.max(1, Math.floor(keptBytes(weight, logits_kept_mib) / (4 * weight.size(0))));
}

/**
 * Log-probabilities of `targets` under softmax(hidden Wᵀ), part by part of the vocabulary with a running maximum and sum
 * (Milakov & Gimelshein 2018, arXiv:1805.02867). A part lies in one range of the matrix: no other rows need be there meanwhile.
 *
 * With a frozen head the gradient with respect to a row is g · (W[y] − Σ_v p_v W[v]), whatever the loss: that vector is
 * gathered in the forward pass, (R, D), and scaled in `backward`. A trained head needs p again for its own gradient: it is
 * kept for as many parts as `logits_kept_mib` allow, for the others logits are computed again.
 * The entropy H of a row has dH/dlogit_v = −p_v (log p_v + H): with a frozen head Σ_v p_v log p_v W[v] is gathered besides.
 *
 * Numerics: logits are rounded to the model's type by the matrix product, everything after it is float32; weight
 * gradients add up in float32, on CUDA of gradients of logits in the model's type.
 * Memory: one part of the logits (R × `logits_chunk_size` × 4 bytes); (R, D) when only hidden gradients are wanted; up to
 * `logits_kept_mib` when the head is trained.
 *
 * With a temperature T all of this is of softmax(hidden Wᵀ / T), the distribution of tokens sampled at T; with `keptTokens`, of that distribution
 * given that a kept token is drawn, as top-k, top-p and min-p sample: the others have probability 0, in entropies and `correct` too.
 * Their mask is a quarter of the part in size.
 *
 * With a cap c the logits are c · tanh(l / c), and the gradient of each has the factor 1 − tanh²(l / c): a table of the part's size, on
 * what is gathered, and on dL/dlogits. A trained head then keeps no probabilities: all logits are computed again.
 *
 * @param hidden - (R, D), no grad recorded here
 * @param targets - (R) int64
 */
export function tokenLogps(
  hidden: Tensor,
  matrix: HeadMatrix,
  targets: Tensor,
  options: TokenLogpsOptions,
): TokenLogpsPass {
  const rows = Math.max(1, hidden.size(0));
  const { temperature = 1, cap = null, keptTokens = null, gradient, isLast = true } = options;
  const columns = options.logits_chunk_size ?? automaticColumns(rows, matrix.weight, gradient === "hidden");
  const comesBack = gradient === "hidden-and-weight";
  const kept = comesBack && cap === null ? keptBytes(matrix.weight, options.logits_kept_mib) / (4 * rows) : 0;
  const head = { hidden, matrix, targets, temperature, cap, keptTokens, isLast };
  const parts: Part[] = [];
  let sums: RunningSums | null = null;
  let targetRows: Tensor | null = null;
  for (const range of matrix.forth(comesBack)) {
    if (gradient === "hidden") targetRows = rowsOfTargets(targets, range, targetRows);
    for (let start = range.start; start < range.end; start += columns) {
      const end = Math.min(range.end, start + columns);
      const next = addPart(head, { range, start, end }, sums, { ...options, keeps: end <= kept });
      parts.push(next.part);
      dispose(sums);
      sums = next.sums;
    }
  }
  return finish(head, sums as RunningSums, { parts, targetRows });
}

/** Frees sums that others have taken the place of; the maximum is that of parts, too. */
function dispose(sums: RunningSums | null): void {
  for (const [name, sum] of Object.entries(sums ?? {})) if (name !== "max") sum?.dispose();
}

interface Head {
  hidden: Tensor;
  matrix: HeadMatrix;
  targets: Tensor;
  temperature: number;
  cap: number | null;
  keptTokens: KeptTokens | null;
  isLast: boolean;
}

interface Part extends Columns {
  /** What the backward pass needs of it, where there was room. */
  exponentials: Exponentials | null;
}

/** e^(logits − max) of a part. */
interface Exponentials {
  /** (R, columns) */
  values: Tensor;
  /** (R, 1): at least the largest logit of the part */
  max: Tensor;
  slopes: Slopes;
}

/** (R, columns): 1 − tanh²(l / c), the derivatives of capped logits; null without a cap. */
type Slopes = Tensor | null;

/** Over the parts so far; all relative to `max`. */
interface RunningSums {
  /** (R, 1) */
  max: Tensor;
  /** (R, 1): Σ e^(l − max) */
  total: Tensor;
  /** (R): the target's logit, once its part has come */
  picked: Tensor;
  /** (R, 1): Σ e^(2 (l − max)), for log Σ p² */
  squares: Tensor | null;
  /** (R, 1): −Σ e^(l − max) (l − max), for entropies */
  spread: Tensor | null;
  /** (R, D): Σ e^(l − max) W, for the gradient of a frozen head */
  weighted: Tensor | null;
  /** (R, D): −Σ e^(l − max) (l − max) W, for the gradient of entropies under a frozen head */
  weightedSpread: Tensor | null;
}

/** So low that its exponential is 0 beside any logit, and yet finite: a part may have none that is kept. */
const excluded = -1e30;

/** Logits of a part, capped, over the temperature, float32, those of tokens that are not kept out of reach. */
function logitsOf(
  { hidden, temperature, cap, keptTokens }: Head,
  columns: Columns,
): { logits: Tensor; slopes: Slopes } {
  const logits = ops.to(ops.linear(hidden, typedRows(columns, hidden.dtype)), "float32");
  let slopes: Slopes = null;
  if (cap !== null) {
    ops.tanh_(ops.div_(logits, cap));
    slopes = slopesOf(logits);
    ops.mul_(logits, cap);
  }
  if (temperature !== 1) ops.div_(logits, temperature);
  const mask = keptTokens === null ? null : notKept(keptTokens, columns);
  if (mask !== null) ops.maskedFill_(logits, onDevice(mask, logits.device, "bool"), excluded);
  return { logits, slopes };
}

/** 1 − t², of t = tanh(l / c). */
function slopesOf(t: Tensor): Tensor {
  return ops.sub(1, ops.mul(t, t));
}

function sloped(values: Tensor, slopes: Slopes): Tensor {
  return slopes === null ? values : ops.mul(values, slopes);
}

/** Logits of one more part, folded into the sums. */
function addPart(
  head: Head,
  columns: Columns,
  before: RunningSums | null,
  options: TokenLogpsOptions & { keeps: boolean },
): { part: Part; sums: RunningSums } {
  using adding = scope();
  const { logits: values, slopes } = logitsOf(head, columns);
  const picked = pick(values, head.targets, columns, before?.picked ?? null);
  const [max, own] = ops.expRows_(values, before?.max ?? null);
  const shrink = before === null ? null : ops.exp(ops.sub(before.max, max));
  const add = (sum: Tensor | null | undefined, more: Tensor) =>
    sum === null || sum === undefined || shrink === null ? more : ops.addcmul(more, sum, shrink);
  const spread = (options.entropies ?? false) === false ? null : ops.specialEntr(values);
  const isGathered = options.gradient === "hidden";
  const isSpreadGathered = isGathered && spread !== null && options.entropies === "with gradient";
  const sums: RunningSums = {
    max,
    picked,
    total: add(before?.total, own),
    squares: options.logSquares === true ? squaresOf(values, before?.squares ?? null, shrink) : null,
    spread: spread === null ? null : add(moved(before, max, "spread", "total"), rowSums(spread)),
    weighted: isGathered ? add(before?.weighted, weighted(sloped(values, slopes), columns)) : null,
    weightedSpread: isSpreadGathered
      ? add(moved(before, max, "weightedSpread", "weighted"), weighted(sloped(spread, slopes), columns))
      : null,
  };
  for (const sum of Object.values(sums)) if (sum !== null) adding.keep(sum);
  const part = {
    ...columns,
    exponentials: options.keeps ? { values: adding.keep(values), max, slopes } : null,
  };
  return { part, sums };
}

/** A spread so far, relative to the new maximum but for its factor: Σ e^d (d + m − m') = Σ e^d d + (m − m') Σ e^d. */
function moved(
  before: RunningSums | null,
  max: Tensor,
  which: "spread" | "weightedSpread",
  ofWhich: "total" | "weighted",
): Tensor | null {
  const [spread, sum] = [before?.[which] ?? null, before?.[ofWhich] ?? null];
  if (before === null || spread === null || sum === null) return null;
  return ops.addcmul(spread, ops.sub(max, before.max), sum);
}

/** (R, 1): Σ of the squares, without a table of them, and of those before, which are relative to another maximum. */
function squaresOf(values: Tensor, before: Tensor | null, shrink: Tensor | null): Tensor {
  const norms = ops.linalgVectorNorm(values, 2, [1], true);
  const own = ops.mul(norms, norms);
  return before === null || shrink === null ? own : ops.addcmul(own, before, ops.mul(shrink, shrink));
}

function rowSums(values: Tensor): Tensor {
  return ops.sum(values, [1], true);
}

/** What a pass keeps for its way back. */
interface Kept {
  parts: readonly Part[];
  /** (R, D): the target's row of W, for the gradient of a frozen head */
  targetRows: Tensor | null;
}

function finish(head: Head, sums: RunningSums, { parts, targetRows }: Kept): TokenLogpsPass {
  const { max, total, picked, spread, squares } = sums;
  const normaliser = ops.add(max, ops.log(total));
  const logps = ops.sub(picked, ops.squeeze(normaliser, 1));
  const entropies = spread === null ? null : ops.add(ops.log(total), ops.div(spread, total));
  // logits are the products over the temperature
  const ofProducts = (grad: Tensor) => {
    const column = ops.unsqueeze(grad, 1);
    return head.temperature === 1 ? column : ops.div(column, head.temperature);
  };
  return {
    logps,
    entropies: entropies === null ? null : ops.squeeze(entropies, 1),
    logSquares:
      squares === null ? null : ops.squeeze(ops.sub(ops.log(squares), ops.mul(ops.log(total), 2)), 1),
    correct: ops.to(ops.ge(picked, ops.squeeze(max, 1)), "float32"),
    backward(gradLogps, gradOf, gradEntropies = null) {
      const g = ofProducts(gradLogps);
      const e = gradEntropies === null || entropies === null ? null : ofProducts(gradEntropies);
      if (targetRows !== null) return backwardThroughSums(sums, slopedRows(head, picked, targetRows), g, e);
      const ofEntropies = e === null || entropies === null ? null : { e, entropies };
      return backwardThroughLogits(head, parts, { normaliser, g, ofEntropies }, gradOf);
    },
  };
}

/** (R, D): the targets' rows with the derivatives of their capped logits. */
function slopedRows({ temperature, cap }: Head, picked: Tensor, targetRows: Tensor): Tensor {
  if (cap === null) return targetRows;
  return ops.mul(targetRows, ops.unsqueeze(slopesOf(ops.mul(picked, temperature / cap)), 1));
}

/** dL/dhidden of a frozen head: g (W[y] − Σ p W) − e (Σ p (log p + H) W), from what was gathered; g and e (R, 1). */
function backwardThroughSums(
  { total, spread, weighted: expected, weightedSpread }: RunningSums,
  targetRows: Tensor,
  g: Tensor,
  e: Tensor | null,
): Tensor {
  if (expected === null) throw new ShapeError("expected a pass made for the gradient of hidden states");
  const mean = ops.div(expected, total);
  const ofLogps = ops.mul(ops.sub(targetRows, mean), g);
  if (e === null) return ofLogps;
  if (spread === null || weightedSpread === null) {
    throw new ShapeError('expected a pass with entropies: "with gradient", to go back from entropies');
  }
  // with d = l − max: log p = d − log Σe^d, H = log Σe^d + spread / Σe^d
  const ofEntropies = ops.sub(ops.div(weightedSpread, total), ops.mul(mean, ops.div(spread, total)));
  return ops.add(ofLogps, ops.mul(ofEntropies, e));
}

/** dL/dproducts of the rows, (R, 1): of log-probs, and of entropies where they have one. */
interface RowGrads {
  normaliser: Tensor;
  g: Tensor;
  ofEntropies: { e: Tensor; entropies: Tensor } | null;
}

/** dL/dlogits = g · (onehot − p) − e · p (log p + H), part by part; kept exponentials are used up. */
function backwardThroughLogits(
  head: Head,
  parts: readonly Part[],
  grads: RowGrads,
  gradOf: GradOfRows | null,
): Tensor {
  const { hidden, matrix } = head;
  const sum = ops.zerosLike(hidden, { dtype: "float32" });
  for (const range of matrix.back(head.isLast)) {
    const weightGrad = gradOf?.(range) ?? null;
    for (const part of parts.filter((one) => one.range === range)) {
      using _ = scope();
      const gradLogits = gradOfLogits(head, part, grads);
      const typed = ops.to(gradLogits, hidden.dtype);
      const rows = typedRows(part, hidden.dtype);
      ops.addProduct_(sum, typed, rows);
      if (weightGrad !== null) ops.addProduct_(within(range, weightGrad, part), ops.t(gradLogits), hidden);
      part.exponentials?.values.dispose();
    }
  }
  return ops.to(sum, hidden.dtype);
}

/** dL/dlogits of a part, (R, columns). */
function gradOfLogits(head: Head, part: Part, grads: RowGrads): Tensor {
  const exponentials = part.exponentials ?? exponentialsOf(head, part);
  const gradLogits = gradOfPart(exponentials, grads);
  const inside = ops.mul(grads.g, ops.unsqueeze(isIn(head.targets, part), 1));
  const all = ops.scatterAdd_(gradLogits, 1, ops.unsqueeze(placesIn(head.targets, part), 1), inside);
  return exponentials.slopes === null ? all : ops.mul_(all, exponentials.slopes);
}

/** −(g + e (log p + H)) p of a part, in place of its exponentials: p = s e^d with log s = max − normaliser, log p = d + log s. */
function gradOfPart({ values, max }: Exponentials, { normaliser, g, ofEntropies }: RowGrads): Tensor {
  const logScale = ops.sub(max, normaliser);
  const scale = ops.exp(logScale);
  if (ofEntropies === null) return ops.mul_(values, ops.neg(ops.mul(g, scale)));
  const { e, entropies } = ofEntropies;
  // −e^d d, and 0 where e^d is: a token out of reach has no part in it
  const spread = ops.mul_(ops.specialEntr(values), ops.mul(e, scale));
  const ofRows = ops.add(g, ops.mul(e, ops.add(logScale, entropies)));
  return ops.add_(ops.mul_(values, ops.neg(ops.mul(ofRows, scale))), spread);
}

function exponentialsOf(head: Head, columns: Columns): Exponentials {
  const { logits: values, slopes } = logitsOf(head, columns);
  const [max] = ops.expRows_(values);
  return { values, max, slopes };
}
