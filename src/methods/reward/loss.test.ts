import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { assertClose, withoutLeaks } from "../../../test/support/close.ts";
import { completionsOf, totalsOf } from "../../../test/support/completion-lists.ts";
import { backward, type Tensor, tensor } from "../../torch/index.ts";
import { evaluateObjective, type StepTotals } from "../objective.ts";
import { reward } from "./loss.ts";

/** A pair's scores, and its margin. */
type Pair = readonly [chosen: number, rejected: number, margin: number];

/** The loss of pairs as a part of a step with `totals`, its gradient and its metrics. */
function lossOf(pairs: readonly Pair[], centring = 0, totals: StepTotals = totalsOfPairs(pairs)) {
  const scores = pairs.flatMap(([chosen, rejected]) => [[chosen], [rejected]]);
  const margins = pairs.flatMap(([, , margin]) => [margin, margin]);
  const plain = completionsOf(scores, null, 2);
  const margin = tensor(margins, [margins.length], { dtype: "float64" });
  const completions = { ...plain, columns: { margin } };
  const objective = reward({ center_rewards_coefficient: centring });
  const result = evaluateObjective(objective, completions, totals);
  backward([result.loss]);
  const metrics = Object.fromEntries(
    Object.entries(result.metrics).map(([name, { sum, count }]) => [name, sum.item() / count]),
  );
  return { loss: result.loss.item(), grad: (plain.logps.grad as Tensor).toNumbers(), metrics };
}

function totalsOfPairs(pairs: readonly Pair[]): StepTotals {
  return totalsOf(
    pairs.map(() => [0]),
    pairs.map(() => [0]),
  );
}

const softplus = (x: number) => Math.max(0, x) + Math.log1p(Math.exp(-Math.abs(x)));
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

test("reward by hand: two pairs, with a margin and with centring", () => {
  withoutLeaks(() => {
    const pairs: Pair[] = [
      [1.5, 0.5, 0],
      [-1, 2, 0.25],
    ];
    const { loss, grad, metrics } = lossOf(pairs, 0.1);
    const ranking = (softplus(-1) + softplus(3.25)) / 2;
    assertClose(loss, ranking + (0.1 * (2 ** 2 + 1 ** 2)) / 2, { rtol: 1e-12 });
    const pull = [-sigmoid(-1) / 2, -sigmoid(3.25) / 2];
    const centre = [(2 * 0.1 * 2) / 2, (2 * 0.1 * 1) / 2];
    const want = pull.flatMap((p, i) => [p + (centre[i] ?? 0), -p + (centre[i] ?? 0)]);
    assertClose(grad, want, { rtol: 1e-12 });
    // the margin of the metrics is that of the scores, as in TRL
    assert.deepEqual(metrics, {
      accuracy: 0.5,
      margin: -1,
      min_reward: -1,
      mean_reward: 0.75,
      max_reward: 2,
    });
  });
});

test("equal scores are not accurate, and a pair's loss is then ln 2", () => {
  withoutLeaks(() => {
    const { loss, metrics } = lossOf([[3, 3, 0]]);
    assertClose(loss, Math.LN2, { rtol: 1e-12 });
    assert.equal(metrics["accuracy"], 0);
  });
});

test("a group that is no pair is refused", () => {
  const single = completionsOf([[1], [2], [3]], null, 3);
  assert.throws(
    () => evaluateObjective(reward({ center_rewards_coefficient: 0 }), single, totalsOfPairs([[1, 2, 0]])),
    /expected pairs.*got a group of 3/,
  );
});

const scores = fc.double({ min: -30, max: 30, noNaN: true });
const somePairs = fc.array(fc.tuple(scores, scores, scores), { minLength: 2, maxLength: 6 });

test("property: however a step is cut, its loss and gradient are the same; shifting all scores changes nothing without centring", () => {
  fc.assert(
    fc.property(somePairs, scores, (pairs, shift) => {
      withoutLeaks(() => {
        const whole = lossOf(pairs, 0.3);
        const totals = totalsOfPairs(pairs);
        const parts = pairs.map((pair) => lossOf([pair], 0.3, { ...totals, micro: totalsOfPairs([pair]) }));
        const sum = parts.reduce((total, { loss }) => total + loss, 0);
        assertClose(sum, whole.loss, { rtol: 1e-12, atol: 1e-12 });
        assertClose(
          parts.flatMap(({ grad }) => grad),
          whole.grad,
          { rtol: 1e-12, atol: 1e-15 },
        );
        const shifted = pairs.map(([c, r, m]): Pair => [c + shift, r + shift, m]);
        assertClose(lossOf(shifted).loss, lossOf(pairs).loss, { rtol: 1e-9, atol: 1e-9 });
      });
    }),
    { numRuns: 40 },
  );
});
