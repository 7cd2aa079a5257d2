/** The arc on gradients in the plane, where it is known. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { arcPoint, type GradientProducts, tradeBetween } from "./arc.ts";

type Vector = readonly [number, number];
const product = (a: Vector, b: Vector): number => a[0] * b[0] + a[1] * b[1];

function productsOf(u: Vector, v: Vector, heldChosen: Vector, heldRejected: Vector): GradientProducts {
  return {
    chosenChosen: product(heldChosen, u),
    chosenRejected: product(heldChosen, v),
    rejectedChosen: product(heldRejected, u),
    rejectedRejected: product(heldRejected, v),
    trainChosen: product(u, u),
    trainMixed: product(u, v),
    trainRejected: product(v, v),
  };
}

const near = (got: number, want: number): void =>
  assert.ok(Math.abs(got - want) < 1e-12, `${got}, not ${want}`);

test("gradients at right angles: likelihood alone moves chosen alone, both alike move each by 1/√2", () => {
  const products = productsOf([2, 0], [0, 2], [3, 0], [0, 3]);
  const [sft, simpo] = [arcPoint(products, 0), arcPoint(products, 45)];
  near(sft.chosen, 3);
  near(sft.margin, 3);
  near(simpo.chosen, 3 / Math.SQRT2);
  near(simpo.margin, 6 / Math.SQRT2);
  // from (3, 3) to (2.12, 4.24)
  near(tradeBetween(sft, simpo), (6 / Math.SQRT2 - 3) / (3 - 3 / Math.SQRT2));
});

test("the prediction is what a linear model does: its step of length 1, whatever the angle", () => {
  const [u, v, heldChosen, heldRejected]: Vector[] = [
    [1, 0.3],
    [0.8, -0.4],
    [0.5, 0.2],
    [0.4, -0.1],
  ] as const;
  for (const angle of [0, 20, 45, 70]) {
    const [a, b] = [Math.cos((angle * Math.PI) / 180), Math.sin((angle * Math.PI) / 180)];
    const way: Vector = [a * u[0] - b * v[0], a * u[1] - b * v[1]];
    const length = Math.hypot(...way);
    const step: Vector = [way[0] / length, way[1] / length];
    const { chosen, margin } = arcPoint(productsOf(u, v, heldChosen, heldRejected), angle);
    near(chosen, product(heldChosen, step));
    near(margin, product(heldChosen, step) - product(heldRejected, step));
  }
});

test("the trade does not depend on how long the step is", () => {
  const [a, b] = [
    { chosen: 0.4, margin: -0.02 },
    { chosen: 0, margin: 0.1 },
  ];
  near(tradeBetween(a, b), 0.3);
  near(tradeBetween({ chosen: 4, margin: -0.2 }, { chosen: 0, margin: 1 }), 0.3);
});
