/** The gate of an export: held-out rows are scored with exactly the files that were written, before they are put in place. */
import { FormatError } from "../base/errors.ts";
import { alone, onAll, onFirst } from "../base/ranks.ts";
import { readAdapter } from "../formats/adapter.ts";
import type { WeightDtype } from "../formats/model-config.ts";
import type { Quantisation } from "../formats/quantisation.ts";
import type { MicroBatch } from "../forward/batch.ts";
import type { Numerics } from "../forward/numerics.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import type { LoadOptions } from "../models/load.ts";
import { installAdapter } from "../models/load-adapter.ts";
import { shareWeights } from "../models/share-weights.ts";
import { halfTolerances } from "../runs/parity-text.ts";
import type { ParityResult } from "../runs/train-events.ts";
import { type DType, scope } from "../torch/index.ts";
import { loadSharded } from "./load-sharded.ts";
import {
  differenceOf,
  differenceText,
  type HeadedModel,
  kindOf,
  loadLike,
  outputsOf,
} from "./logp-difference.ts";
import { allowedMean, roundingNoise } from "./rounding.ts";
import type { HoldingRanks } from "./step-ranks.ts";

/** What the gate compares, and with which files. */
export interface ParityCheck {
  kind: "adapter" | "model";
  /** Where the files will be. */
  path: string;
  baseDir: string;
  /** The base as it is held beside the model, to put the adapter into; null or left out: it is loaded from `baseDir`. */
  base?: CausalLM | null | undefined;
  /** How the base is loaded. */
  quantise?: Quantisation | null;
  /** The model as it was trained. */
  model: HeadedModel;
  batches: readonly MicroBatch[];
  numerics: Numerics;
  dtype: WeightDtype;
  /** Largest difference allowed for float32 exports, nats. */
  tolerance: number;
  /** The ranks that have the model; each calls. Default: this process alone. */
  ranks?: HoldingRanks | null | undefined;
}

/**
 * Loads the exported files and compares the log-probs of `batches` with the trained model's, token by token.
 *
 * A float32 export must agree within the tolerance, in float32 where training held weights in a half type. Weights rounded to a half
 * type cannot: there the mean difference must stay within 200 times the tolerance (0.02 nats by default), or within what rounding does by
 * chance.
 *
 * @param directory - where the files are while they are looked at; left out: where they will be
 * @throws {FormatError} with the figures if they differ more
 */
export function checkParity(check: ParityCheck, directory: string = check.path): ParityResult {
  const { ranks = null } = check;
  const judged = (): ParityResult => {
    const result = measured(check, directory);
    const isFine =
      check.dtype === "float32"
        ? result.maxDifference <= check.tolerance
        : isRounding(check, directory, result.meanDifference);
    if (isFine) return result;
    throw new FormatError(
      `${check.path}: the exported ${check.kind} does not score held-out rows as the trained model does: ` +
        `${differenceText(check.model, result)}, allowed is ${check.dtype === "float32" ? check.tolerance : "what rounding explains"}. It was not written: what was there, and the run's checkpoints, are as they were.` +
        (check.dtype === "float32" ? "" : lostInRounding(check.dtype, result)),
    );
  };
  // in parts, all ranks score; else one does for all
  return ranks?.sharded ? onAll(ranks.group, judged) : onFirst(ranks?.group ?? alone, judged);
}

/** What a user can do where training moved weights by less than a half type shows, many of them the same way. */
function lostInRounding(dtype: WeightDtype, { meanDifference }: ParityResult): string {
  if (!Number.isFinite(meanDifference)) return "";
  const accepting = (1.1 * meanDifference) / halfTolerances;
  return (
    ` Changes of weights that are smaller than a step of ${dtype}, the checkpoint's type, are lost in these files. To keep them, ` +
    "train from the same model saved in float32; to write them all the same, resume the run with " +
    `--export_parity_tolerance ${accepting.toPrecision(2)}.`
  );
}

function measured(check: ParityCheck, directory: string): ParityResult {
  using _ = scope();
  const { kind, path, model, batches, tolerance, dtype } = check;
  const numerics = comparedIn(check);
  using exported = loadExported(check, directory);
  const difference = differenceOf(
    outputsOf(model, { batches, numerics }),
    outputsOf(exported.model, { batches, numerics }),
  );
  return { kind, path, dtype, tolerance, ...difference, ...kindOf(model) };
}

/**
 * How both are run: as in training. A float32 export of weights that training holds in a half type is compared in float32, since rounded
 * again to that type the sums of base and adapter are others than the two were.
 */
function comparedIn({ kind, dtype, model, numerics }: ParityCheck): Numerics {
  const isWidened = kind === "model" && dtype === "float32" && heldType(model) !== "float32";
  return isWidened ? { ...numerics, dtype } : numerics;
}

/** What training holds untrained weights in. */
function heldType({ model }: HeadedModel): DType {
  return model.norm.weight.dtype;
}

/** The model that the files make, in parts where the trained one is. */
function loadExported(check: ParityCheck, directory: string): { model: HeadedModel } & Disposable {
  const { ranks = null, kind, baseDir, model } = check;
  const dir = kind === "model" ? directory : baseDir;
  // what acts in float32, some families' norms for one, would differ by the rounding of weights that training holds in float32
  const held = heldType(model);
  const options = {
    device: model.device,
    dtype: kind === "model" && held === "float32" ? held : comparedIn(check).dtype,
    offload_embedding: model.model.embed_tokens.weight.device !== model.device,
    adapter: kind === "model" ? null : directory,
  };
  if (ranks?.sharded) {
    const { group } = ranks.sharded;
    return onAll(ranks.group, () => loadSharded(dir, options, group));
  }
  return { model: loadedAlone(check, dir, options), [Symbol.dispose]: () => {} };
}

function loadedAlone(
  { kind, base, model, quantise = null }: ParityCheck,
  dir: string,
  options: LoadOptions,
): HeadedModel {
  if (kind === "model") return loadLike(model, dir, options);
  if (!base || !options.adapter) return loadLike(model, dir, { ...options, quantise });
  const own = shareWeights(base);
  installAdapter(own, readAdapter(options.adapter));
  return own;
}

/** Whether a half-precision export differs no more than its rounding explains; that is measured only where it matters. */
function isRounding(check: ParityCheck, directory: string, mean: number): boolean {
  const { kind, tolerance } = check;
  if (mean <= halfTolerances * tolerance) return true;
  if (kind !== "model") return false;
  return mean <= allowedMean(roundingNoise(directory, check), tolerance);
}
