/** What the gradient of each estimate of the KL is in the mean, by enumeration of all completions of a small law. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertClose, withoutLeaks } from "../../test/support/close.ts";
import { rolloutStep } from "../../test/support/rollout-steps.ts";
import {
  combined,
  gradientOf,
  type Outcome,
  outcomesOf,
  parametersOf,
  type ToyLaw,
  toyParameters,
} from "../../test/support/toy-law.ts";
import { at } from "../base/at.ts";
import { loadMethod } from "../config/load-config.ts";
import { grpo } from "./grpo/loss.ts";
import type { SettingsOf } from "./index.ts";
import { type KlEstimator, klEstimate, klOfCompletion } from "./kl-estimators.ts";
import type { CompletionObjective } from "./objective.ts";
import { onRollouts } from "./pairing/on-rollouts.ts";
import { rloo } from "./rloo/loss.ts";
import { simpo } from "./simpo/loss.ts";

const one: ToyLaw = { longest: 1, ends: false };
const two: ToyLaw = { longest: 2, ends: false };

const sum = (values: readonly number[]) => values.reduce((total, x) => total + x, 0);
const largest = (values: readonly number[]) => Math.max(...values.map(Math.abs));

/** Σ_y p(y) log p(y)/q(y) of entire completions. */
function klOf(law: ToyLaw, theta: readonly number[], reference: readonly number[]): number {
  const others = outcomesOf(law, reference);
  return sum(
    outcomesOf(law, theta).map(
      ({ probability, logps }, y) => probability * (sum(logps) - sum(at(others, y).logps)),
    ),
  );
}

/** The objective's gradient with respect to the parameters, in the mean over completions that the law draws. */
function meanGradient(law: ToyLaw, objective: CompletionObjective): number[] {
  const theta = toyParameters(law, "policy");
  const outcomes = outcomesOf(law, theta);
  const references = outcomesOf(law, toyParameters(law, "reference"));
  return withoutLeaks(() => {
    // advantages and rewards that are all equal leave the KL alone
    const { grads } = rolloutStep(objective, {
      groupSizes: [outcomes.length],
      logps: outcomes.map(({ logps }) => logps),
      columns: {
        advantages: outcomes.map(() => 0),
        rewards: outcomes.map(() => 0),
        referenceTokenLogps: references.map(({ logps }) => logps),
      },
    });
    const tokens = sum(outcomes.map(({ logps }) => logps.length));
    const parts = outcomes.flatMap(({ probability, scores }, y) =>
      scores.map((score, t) => [probability * tokens * (grads[y]?.[t] ?? Number.NaN), score] as const),
    );
    return combined(parts, parametersOf(law));
  });
}

const inGrpo = (use_bias_correction_kl: boolean) =>
  grpo({ ...(loadMethod({ objective: "grpo", beta: 1 }) as SettingsOf<"grpo">), use_bias_correction_kl });

const inLoss = (kl_estimator: KlEstimator) =>
  onRollouts(simpo({ beta: 2, simpo_gamma: 1, label_smoothing: 0, cpo_alpha: 0 }), {
    ...({
      pairs: "all",
      reward_gap: 0,
      rejected_quantile: 0,
      anchor_on: "all",
      anchor_threshold: 0,
    } as const),
    ...({ kl_coef: 1, kl_in: "loss", replay: 0, replay_coef: 0 } as const),
    kl_estimator,
  });

const [theta, reference] = [toyParameters(one, "policy"), toyParameters(one, "reference")];
const forward = gradientOf((x) => klOf(one, x, reference), theta);
const backwards = gradientOf((x) => klOf(one, reference, x), theta);

test("in the loss: k2 and k3 times the ratio have the gradient of KL(π, ref)", () => {
  assert.ok(largest(forward) > 0.05, "the test would see nothing");
  for (const objective of [inLoss("k2"), inLoss("k3"), inGrpo(true)]) {
    assertClose(meanGradient(one, objective), forward, { atol: 1e-9 });
  }
});

test("in the loss: k1 has a gradient of 0, and k3 alone that of KL(ref, π)", () => {
  assertClose(meanGradient(one, inLoss("k1")), [0, 0, 0], { atol: 1e-15 });
  assertClose(meanGradient(one, inGrpo(false)), backwards, { atol: 1e-9 });
  assert.ok(largest(backwards.map((x, i) => x - at(forward, i))) > 0.02, "the two directions differ");
});

/** Σ_y p(y) k(y) ∇ log p(y): what the policy gradient is given by a penalty on the reward. */
function meanOfPenalty(law: ToyLaw, estimator: KlEstimator): number[] {
  const outcomes = outcomesOf(law, toyParameters(law, "policy"));
  const others = outcomesOf(law, toyParameters(law, "reference"));
  const parts = outcomes.flatMap(({ probability, logps, scores }, y) => {
    const kl = klOfCompletion(estimator, logps, at(others, y).logps);
    return scores.map((score) => [probability * kl, score] as const);
  });
  return combined(parts, parametersOf(law));
}

test("off the reward: k1 has the gradient of KL(π, ref), k2 and k3 are biased", () => {
  assertClose(meanOfPenalty(one, "k1"), forward, { atol: 1e-9 });
  for (const estimator of ["k2", "k3"] as const) {
    const bias = meanOfPenalty(one, estimator).map((x, i) => x - at(forward, i));
    assert.ok(largest(bias) > 0.02, `${estimator}: ${bias}`);
  }
});

test("rloo over every two draws: beta times the gradient of the completions' KL, later tokens included", () => {
  const law = two;
  const outcomes = outcomesOf(law, toyParameters(law, "policy"));
  const others = outcomesOf(law, toyParameters(law, "reference"));
  const objective = rloo({ beta: 0.5, epsilon: 0.2, normalize_advantages: false, reward_clip_range: null });
  const float32 = (list: readonly Outcome[], pair: readonly number[]) =>
    pair.map((y) => Float32Array.from(at(list, y).logps));
  const parts: [number, number[]][] = [];
  for (const [a, first] of outcomes.entries()) {
    for (const [b, second] of outcomes.entries()) {
      const prepared = objective.prepare?.({
        ...{ groupSizes: [2], rewards: [0, 0], truncated: [false, false], max_completion_length: 2 },
        ...{ samplerLogps: float32(outcomes, [a, b]), referenceLogps: float32(others, [a, b]) },
      });
      const advantages = (prepared?.columns["advantages"] ?? []) as number[];
      // on-policy a token's gradient is −A / N
      for (const [i, { scores }] of [first, second].entries()) {
        const weight = (first.probability * second.probability * -(advantages[i] ?? Number.NaN)) / 2;
        for (const score of scores) parts.push([weight, score]);
      }
    }
  }
  const policy = toyParameters(law, "policy");
  const wanted = gradientOf((x) => 0.5 * klOf(law, x, toyParameters(law, "reference")), policy);
  assertClose(combined(parts, parametersOf(law)), wanted, { atol: 1e-6 });
});

test("over two tokens the loss has each token's KL with the law of the tokens before it fixed", () => {
  const policy = toyParameters(two, "policy");
  const others = toyParameters(two, "reference");
  const first = outcomesOf(one, policy.slice(0, 3)).map(({ probability }) => probability);
  const ofRow = (row: number, x: readonly number[]) =>
    klOf(one, x.slice(row, row + 3), others.slice(row, row + 3));
  const frozen = (x: readonly number[]) =>
    ofRow(0, x) + sum(first.map((probability, token) => probability * ofRow(3 + 3 * token, x)));
  assertClose(meanGradient(two, inLoss("k2")), gradientOf(frozen, policy), { atol: 1e-9 });
});

test("estimates by hand", () => {
  assertClose(
    (["k1", "k2", "k3"] as const).map((estimator) => klEstimate(estimator, -1, -1.5)),
    [0.5, 0.125, Math.exp(-0.5) - 0.5],
    { rtol: 1e-15 },
  );
});
