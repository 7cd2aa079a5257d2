/**
 * What first-order theory says of training on pairs before any training: where methods that pull on chosen and push on rejected answers in
 * different proportions end, from products of mean gradients. Numbers in, numbers out.
 *
 * With u and v the training gradients of the chosen and of the rejected mean log-prob, a step of the length R goes along
 * cos φ · u − sin φ · v; φ = 0 is likelihood alone, 45° both alike (SimPO). Held-out changes are linear in it: an arc over φ.
 */

/** Products of mean gradients: held-out by training, and of the training ones among each other. */
export interface GradientProducts {
  /** ⟨held-out chosen, training chosen⟩, … by held-out and training answer. */
  chosenChosen: number;
  chosenRejected: number;
  rejectedChosen: number;
  rejectedRejected: number;
  /** ⟨u, u⟩, ⟨u, v⟩, ⟨v, v⟩. */
  trainChosen: number;
  trainMixed: number;
  trainRejected: number;
}

/** Held-out changes at an angle, nats per token and unit of length. */
export interface ArcPoint {
  /** Degrees. */
  angle: number;
  chosen: number;
  margin: number;
}

/** The arc's point at `angle` degrees, for a step of length 1. */
export function arcPoint(products: GradientProducts, angle: number): ArcPoint {
  const [a, b] = [Math.cos((angle * Math.PI) / 180), Math.sin((angle * Math.PI) / 180)];
  const { trainChosen, trainMixed, trainRejected } = products;
  const length = Math.sqrt(a * a * trainChosen - 2 * a * b * trainMixed + b * b * trainRejected);
  const chosen = (a * products.chosenChosen - b * products.chosenRejected) / length;
  const rejected = (a * products.rejectedChosen - b * products.rejectedRejected) / length;
  return { angle, chosen, margin: chosen - rejected };
}

/** Nats of margin that a nat of chosen costs between two points; scale-free, so that no length has to be known. */
export function tradeBetween(
  likelihood: Pick<ArcPoint, "chosen" | "margin">,
  both: Pick<ArcPoint, "chosen" | "margin">,
): number {
  return (both.margin - likelihood.margin) / (likelihood.chosen - both.chosen);
}
