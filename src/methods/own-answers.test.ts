/**
 * docs/guarantees.md, "On own answers": its statements, by enumeration of all completions of a small law. The shortening over many
 * rollouts of a model is in test/online/length-drift.test.ts.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertClose, withoutLeaks } from "../../test/support/close.ts";
import { rolloutStep } from "../../test/support/rollout-steps.ts";
import {
  combined,
  gradientOf,
  outcomesOf,
  parametersOf,
  type ToyLaw,
  toyParameters,
} from "../../test/support/toy-law.ts";
import { at } from "../base/at.ts";
import { loadMethod } from "../config/load-config.ts";
import type { SettingsOf } from "./index.ts";
import { onRollouts } from "./pairing/on-rollouts.ts";
import type { PairingOptions } from "./pairing/settings.ts";
import { slime } from "./slime/loss.ts";
import type { SlimeOptions } from "./slime/settings.ts";

const pairing: PairingOptions = {
  ...{ pairs: "all", reward_gap: 0, rejected_quantile: 0, anchor_on: "all", anchor_threshold: 0 },
  ...{ kl_coef: 0, kl_in: "loss", kl_estimator: null, replay: 0, replay_coef: 0 },
};

const preset = (name: string) => loadMethod({ objective: "slime", preset: name }) as SettingsOf<"slime">;

/** Loss, and the gradient by each of the two completions' log-probs, the first chosen. */
function onPair(options: SlimeOptions, chosen: number[], rejected: number[]) {
  const lists = { groupSizes: [2], logps: [chosen, rejected], columns: { rewards: [1, 0] } };
  return rolloutStep(onRollouts(slime(options), pairing), lists);
}

/** The pull g of the margin term at a margin, with completions of one token. */
function pull(options: SlimeOptions, margin: number): number {
  const { grads } = onPair({ ...options, lambda_w: 0, lambda_l: 0 }, [-3 + margin], [-3]);
  return -(grads[0]?.[0] ?? Number.NaN);
}

test("4: the margin's pull on pairs of own answers is all but constant, and the anchor's share of it", () => {
  withoutLeaks(() => {
    const rows = ["script", "balanced"].map((name) => {
      const options = preset(name);
      const values = [-0.5, 0, 0.5].map((margin) => pull(options, margin));
      return [...values, options.lambda_w / at(values, 1)].map((x) => Number(x.toFixed(2)));
    });
    assert.deepEqual(rows, [
      [1.09, 1.19, 1.21, 0.08],
      [1.02, 1.06, 1.16, 0.38],
    ]);
  });
});

/** Completions a, b and c of one token, of log-probs `logps`, the earlier the better. */
const ranked = [
  [0, 1],
  [0, 2],
  [1, 2],
] as const;

/** (k, 0, 0) as logits. */
function logpsAt(k: number): number[] {
  const total = Math.log(Math.exp(k) + 2);
  return [k - total, -total, -total];
}

test("5: the loss on own pairs falls below its start while chosen answers of the start leave the bound", () => {
  withoutLeaks(() => {
    const options = preset("balanced");
    const lossOfPair = (logps: number[], [w, l]: readonly [number, number]) =>
      onPair(options, [at(logps, w)], [at(logps, l)]).loss;
    /** Over pairs that the law at k draws itself. */
    const own = (k: number) => {
      const logps = logpsAt(k);
      const weights = ranked.map(([w, l]) => Math.exp(at(logps, w) + at(logps, l)));
      const total = weights.reduce((sum, x) => sum + x, 0);
      return ranked.reduce((sum, pair, i) => sum + (at(weights, i) / total) * lossOfPair(logps, pair), 0);
    };
    /** Mean of −l_w over pairs that the law at 0 drew. */
    const fallen = (k: number) => -(2 * at(logpsAt(k), 0) + at(logpsAt(k), 1)) / 3;
    const start = own(0);
    const path = Array.from({ length: 23 }, (_, i) => own(i + 1));
    assert.ok(
      path.every((loss) => loss < start),
      `${start}: ${path}`,
    );
    assert.ok(fallen(23) > start / options.lambda_w, `${fallen(23)}, ${start / options.lambda_w}`);
    // the theorem itself holds: on the fixed pairs the loss has risen above its start
    const fixed = ranked.reduce((sum, pair) => sum + lossOfPair(logpsAt(23), pair) / 3, 0);
    assert.ok(fixed > start && fallen(23) <= fixed / options.lambda_w);
  });
});

const law: ToyLaw = { longest: 3, ends: true };
const theta = toyParameters(law, "answers");
const outcomes = outcomesOf(law, theta);

/** The gradient of slime in the mean over pairs of which a coin chooses one: both drawn from the law, in either order. */
function underCoin(options: SlimeOptions): number[] {
  return withoutLeaks(() => {
    const parts = outcomes.flatMap((chosen) =>
      outcomes.flatMap((rejected) => {
        const { grads } = onPair(options, chosen.logps, rejected.logps);
        const weight = chosen.probability * rejected.probability;
        return [chosen, rejected].flatMap(({ scores }, i) =>
          scores.map((score, t) => [weight * (grads[i]?.[t] ?? Number.NaN), score] as const),
        );
      }),
    );
    return combined(parts, parametersOf(law));
  });
}

const inverseLength = (x: readonly number[]) =>
  outcomesOf(law, x).reduce((sum, { probability, logps }) => sum + probability / logps.length, 0);

const nothing: SlimeOptions = { ...preset("script"), lambda_w: 0, lambda_l: 0, lambda_d: 0 };

test("6: under random rewards the anchor's step is one up E[1/|y|]; summed log-probs have none", () => {
  const wanted = gradientOf(inverseLength, theta);
  assert.ok(Math.max(...wanted) > 0.01, "the test would see nothing");
  assertClose(
    underCoin({ ...nothing, lambda_w: 1 }),
    wanted.map((x) => -x),
    { atol: 1e-9 },
  );
  const summed = outcomes.flatMap(({ probability, scores }) =>
    scores.map((score) => [probability, score] as const),
  );
  assertClose(
    combined(summed, parametersOf(law)),
    theta.map(() => 0),
    { atol: 1e-15 },
  );
});

test("6: a margin of constant pull cancels under random rewards; what g changes by is left", () => {
  const constant = { ...nothing, lambda_d: 1, margin_hard: 60, margin_soft: 50, kappa: 1 };
  assertClose(
    underCoin(constant),
    theta.map(() => 0),
    { atol: 1e-12 },
  );
  const left = underCoin({ ...nothing, lambda_d: 1 });
  const anchor = underCoin({ ...nothing, lambda_w: 1 });
  const size = (x: readonly number[]) => Math.hypot(...x);
  assert.ok(size(left) > 1e-3, "script's pull is not constant");
  assert.ok(size(left) < size(anchor), `${size(left)}, ${size(anchor)}`);
});
