/** The mean gradients of training and held-out answers where a run begins, and what a step along them would do. Needs libtorch. */
import type { Example } from "preftune/data";
import { stringifyNumbers, writeFileAtomic } from "preftune/sweep";
import type { ResolvedConfig } from "preftune/train";
import type { ArcPoint, GradientProducts } from "./analyses/arc.ts";
import { dot, type PairGradients } from "./pair-gradients.ts";
import { openGradients } from "./run-gradients.ts";

/** What is measured of a start. In a run's geometry.json. */
export interface StartGeometry {
  /** Weights that move, and the pairs that the means are over. */
  weights: number;
  trainingPairs: number;
  heldOutPairs: number;
  products: GradientProducts;
  /** Held-out changes for steps along the signs of the combined gradient, which AdamW's first step takes. */
  signs: ArcPoint[];
}

/** Pairs that gradients are averaged over. */
const mostPairs = 64;
/** Angles that signs are taken at, degrees: likelihood alone, to chosen and rejected alike. */
export const angles = [0, 15, 30, 45] as const;

/** Measures the model that a finished run began with. */
export async function writeGeometry(resolved: ResolvedConfig, path: string): Promise<void> {
  const run = await openGradients(resolved);
  const training = run.training.slice(0, mostPairs);
  const heldOut = run.heldOut.slice(0, mostPairs);
  const found = run.at((gradients) => measure(gradients, training, heldOut), { moves: "all" });
  writeFileAtomic(path, `${stringifyNumbers(found)}\n`);
}

function measure(
  gradients: PairGradients,
  training: readonly Example[],
  heldOut: readonly Example[],
): StartGeometry {
  const [u, v] = [gradients.mean(training, 0), gradients.mean(training, 1)];
  const [chosen, rejected] = [gradients.mean(heldOut, 0), gradients.mean(heldOut, 1)];
  return {
    ...{ weights: gradients.weights, trainingPairs: training.length, heldOutPairs: heldOut.length },
    products: {
      ...{ chosenChosen: dot(chosen, u), chosenRejected: dot(chosen, v) },
      ...{ rejectedChosen: dot(rejected, u), rejectedRejected: dot(rejected, v) },
      ...{ trainChosen: dot(u, u), trainMixed: dot(u, v), trainRejected: dot(v, v) },
    },
    signs: angles.map((angle) => {
      const step = signsOf(u, v, angle);
      const change = dot(chosen, step);
      return { angle, chosen: change, margin: change - dot(rejected, step) };
    }),
  };
}

/** The signs of cos φ · u − sin φ · v, 0 where it is 0. */
function signsOf(u: Float32Array, v: Float32Array, angle: number): Float32Array {
  const [a, b] = [Math.cos((angle * Math.PI) / 180), Math.sin((angle * Math.PI) / 180)];
  return u.map((x, i) => Math.sign(a * x - b * (v[i] ?? Number.NaN)));
}
