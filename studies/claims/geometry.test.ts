/** What is concluded of predicted trades, on starts and runs made up so that it is known. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Point } from "../analyses/excess.ts";
import type { StartGeometry } from "../geometry.ts";
import { LIKELIHOOD } from "../points.ts";
import { type Trade, tradesIn, verdictOf } from "./geometry.ts";

/** A start whose signs predict `trade`; its gradients at right angles predict √2. */
function start(trade: number): StartGeometry {
  return {
    ...{ weights: 2, trainingPairs: 1, heldOutPairs: 1 },
    products: {
      ...{ chosenChosen: 1, chosenRejected: 0, rejectedChosen: 0, rejectedRejected: 1 },
      ...{ trainChosen: 1, trainMixed: 0, trainRejected: 1 },
    },
    signs: [
      { angle: 0, chosen: 1, margin: 0 },
      { angle: 45, chosen: 0, margin: trade },
    ],
  };
}

function runs(set: number, trade: number): Point[] {
  return [-0.2, 0.1, 0.4].map((chosen, i) => ({
    ...{ set, name: `baseline ${i}`, learningRate: 1e-3, chosen, margin: 0.1 - trade * chosen },
    ...{ drift: 0, tail: 0, otherText: 0 },
  }));
}

const starts = (trades: readonly number[]) => trades.map((trade, i) => ({ set: i + 1, start: start(trade) }));
const of = (all: readonly Trade[], prediction: string, quantity: Trade["quantity"] = "trade"): Trade =>
  all.find((trade) => trade.prediction === prediction && trade.quantity === quantity) ?? assert.fail();

test("predicted and trained trades are compared set by set; right predictions hold, wrong ones do not", () => {
  const trained = [0.3, 0.1, 0.25, 0.2];
  const points = trained.flatMap((trade, i) => runs(i + 1, trade));
  const all = tradesIn(starts([0.31, 0.09, 0.26, 0.19]), points);
  const signs = of(all, "their signs");
  assert.equal(signs.difference.sets, 4);
  assert.ok(Math.abs(signs.realised.mean - 0.2125) < 1e-9);
  assert.ok(Math.abs(signs.difference.mean) < 1e-9);
  assert.equal(verdictOf(signs), "holds");
  // from (1, 1) to (1/√2, √2): (√2 − 1) / (1 − 1/√2)
  const plain = of(all, "gradients");
  assert.ok(Math.abs(plain.predicted.mean - Math.SQRT2) < 1e-9, `${plain.predicted.mean}`);
  assert.equal(verdictOf(plain), "does not hold");
});

test("a difference that is wide decides nothing, nor does one set", () => {
  const points = [0.3, 0.3, 0.3].flatMap((trade, i) => runs(i + 1, trade));
  assert.equal(verdictOf(of(tradesIn(starts([-0.5, 0.3, 1.1]), points), "their signs")), "undecided");
  assert.equal(verdictOf(of(tradesIn(starts([0.3]), points), "their signs")), "undecided");
});

test("what likelihood alone gains is compared with its own end, not with the other baselines'", () => {
  const points = [1, 2, 3].flatMap((set) => [
    ...runs(set, 0.3),
    ...runs(set, 0)
      .slice(0, 1)
      .map((point) => ({ ...point, name: LIKELIHOOD, chosen: 0.2, margin: 0.2 * set })),
  ]);
  const all = tradesIn(starts([0.3, 0.3, 0.3]), points);
  // gradients at right angles: 1 of margin for 1 of chosen
  const plain = of(all, "gradients", "gain");
  assert.ok(Math.abs(plain.predicted.mean - 1) < 1e-9);
  assert.ok(Math.abs(plain.realised.mean - 2) < 1e-9);
  assert.equal(of(all, "their signs", "gain").predicted.mean, 0);
  assert.equal(of(tradesIn(starts([0.3]), runs(1, 0.3)), "gradients", "gain").realised.sets, 0);
});
