/**
 * How the gradients of a pair's two answers are coupled, on a real model: the Gram matrix of per-pair gradients, the
 * first-order condition for a step to raise the chosen answer, and what such steps really do. Needs libtorch.
 *
 * Only the adapter's weights move, or in full tuning those of the last block. docs/guarantees.md has the statements.
 */
import { type Example, promptKeyOf } from "preftune/data";
import { runPaths, stringifyNumbers, writeFileAtomic } from "preftune/sweep";
import type { ResolvedConfig } from "preftune/train";
import { dot, type PairGradients, type Probe } from "./pair-gradients.ts";
import { openGradients } from "./run-gradients.ts";

/** One pair, trained on alone. */
export interface PairCoupling {
  /** ⟨∇l_w, ∇l_l⟩ / ‖∇l_w‖². */
  rho: number;
  /** −∂L/∂l_w: λw + g for SLIME, g for the others. */
  pull: number;
  /** What the rejected answer takes from it: ρ (g − s). A gradient step raises l_w to first order iff pull > drag. */
  drag: number;
  /** Change of l_w by a gradient step, to first order and as it came out; nats per token. */
  predicted: number;
  realised: number;
}

/** A gradient step on all the pairs at once. */
export interface BatchStep {
  /** The largest predicted change of any pair's l_w, nats per token: what the step was sized for. */
  size: number;
  predicted: number[];
  realised: number[];
}

/** What is measured of one model. In a run's coupling.json, which `--reuse` takes from folders of older versions too. */
export interface ModelCoupling {
  place: "start" | "end";
  weights: number;
  pairs: PairCoupling[];
  /** The number of each pair's prompt, of which several pairs may be. Not in files of older versions. */
  prompts?: number[];
  steps: BatchStep[];
  /** Cosines between all ∇l_w (first half) and ∇l_l (second half). */
  cosines: number[][];
}

/** Pairs that are looked at: each needs a gradient of every weight that moves, three times. */
const mostPairs = 16;
/** The predicted change that steps are sized for, nats per token: small enough that curvature hardly shows, and ten times that. */
const sizes = [0.001, 0.01] as const;

/** Measures the model a finished run began with and the one it ended with, on its first training pairs. */
export async function writeCoupling(resolved: ResolvedConfig, path: string): Promise<void> {
  const { config } = resolved;
  const run = await openGradients(resolved);
  const examples = run.training.slice(0, mostPairs);
  const keys = examples.map(promptKeyOf);
  const prompts = keys.map((key) => keys.indexOf(key));
  const paths = runPaths(config.output_dir);
  const changes = config.use_peft
    ? { adapter_name_or_path: paths.adapter }
    : { model_name_or_path: paths.model };
  const measured: ModelCoupling[] = [];
  let reference: readonly number[] | null = null;
  for (const place of ["start", "end"] as const) {
    const look = (gradients: PairGradients): void => {
      reference ??= gradients.sums(examples);
      measured.push({ place, prompts, ...measure(gradients, examples, reference) });
    };
    run.at(look, place === "end" ? { changes } : {});
  }
  writeFileAtomic(path, `${stringifyNumbers(measured)}\n`);
}

function measure(
  gradients: PairGradients,
  examples: readonly Example[],
  reference: readonly number[],
): Omit<ModelCoupling, "place" | "prompts"> {
  const probes = examples.map((example, i) => gradients.probe(example, reference.slice(2 * i, 2 * i + 2)));
  const pairs = probes.map((probe, i) => pairCoupling(gradients, examples[i] as Example, probe));
  const direction = gradients.direction(examples, reference);
  const before = gradients.chosenMeans(examples);
  const predicted = probes.map(({ chosen }) => dot(chosen, direction));
  const steps = sizes.map((size): BatchStep => {
    const step = size / Math.max(...predicted.map(Math.abs));
    const after = gradients.stepped(direction, step, () => gradients.chosenMeans(examples));
    return {
      size,
      predicted: predicted.map((change) => change * step),
      realised: after.map((value, i) => value - (before[i] as number)),
    };
  });
  const vectors = [...probes.map(({ chosen }) => chosen), ...probes.map(({ rejected }) => rejected)];
  return { weights: gradients.weights, pairs, steps, cosines: cosinesOf(vectors) };
}

function pairCoupling(
  gradients: PairGradients,
  example: Example,
  { chosen, rejected, descent, pull }: Probe,
): PairCoupling {
  const norm = dot(chosen, chosen);
  const along = dot(chosen, descent);
  // by the largest change that a move of this length could make, not by the predicted one, which may be next to nothing
  const length = Math.sqrt(norm * dot(descent, descent));
  const step = length === 0 ? 0 : sizes[0] / length;
  const [before = Number.NaN] = gradients.chosenMeans([example]);
  const [after = Number.NaN] = gradients.stepped(descent, step, () => gradients.chosenMeans([example]));
  return {
    rho: dot(chosen, rejected) / norm,
    pull,
    drag: pull - along / norm,
    predicted: step * along,
    realised: after - before,
  };
}

function cosinesOf(vectors: readonly Float32Array[]): number[][] {
  const norms = vectors.map((vector) => Math.sqrt(dot(vector, vector)));
  return vectors.map((a, i) =>
    vectors.map((b, j) => dot(a, b) / ((norms[i] as number) * (norms[j] as number))),
  );
}
