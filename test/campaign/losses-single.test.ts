/**
 * The objectives over single completions, groups and scores against their formulas in plain float64 JavaScript: KTO, GRPO's types,
 * RLOO, RAFT, PPO with its value loss, reward models. Values, and gradients by differences. Those over pairs: losses.test.ts;
 * GRPO's bonus for entropy: test/online/golden-losses.test.ts.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Random } from "../../src/base/random.ts";
import { loadMethod } from "../../src/config/load-config.ts";
import { grpo } from "../../src/methods/grpo/loss.ts";
import type { GrpoOptions } from "../../src/methods/grpo/settings.ts";
import { kto } from "../../src/methods/kto/loss.ts";
import {
  type CompletionObjective,
  evaluateObjective,
  type ScoreObjective,
} from "../../src/methods/objective.ts";
import { ppo } from "../../src/methods/ppo/loss.ts";
import type { PpoOptions } from "../../src/methods/ppo/settings.ts";
import { valueObjective } from "../../src/methods/ppo/value-loss.ts";
import { raft } from "../../src/methods/raft/loss.ts";
import { reward } from "../../src/methods/reward/loss.ts";
import { rloo } from "../../src/methods/rloo/loss.ts";
import { backward, scope, type Tensor, tensor } from "../../src/torch/index.ts";
import { amount, campaignSeed, figure } from "../support/campaign.ts";
import { completionsOf, totalsOf } from "../support/completion-lists.ts";
import { rolloutStep } from "../support/rollout-steps.ts";

const random = new Random(campaignSeed);

/** A step: for each completion its tokens' log-probs (values, for a value model; one score, for a reward model) and what comes with it. */
interface Step {
  groupSizes: number[];
  lists: number[][];
  old: number[][];
  reference: number[][];
  /** By token, of PPO. */
  pushes: number[][];
  returns: number[][];
  /** By completion. */
  advantages: number[];
  label: number[];
  selected: number[];
  margin: number[];
  kl: number;
}

/** The loss of a step. `fixed`: the same step before a number of it is moved, for what has no gradient. */
type Formula = (step: Step, fixed: Step) => number;

interface Case {
  name: string;
  objective: CompletionObjective | ScoreObjective;
  formula: Formula;
  /** Of a token: numbers that are 0 where the loss has a corner in its log-prob. */
  corners?: (step: Step, completion: number, token: number) => number[];
}

const sum = (xs: readonly number[]) => xs.reduce((total, x) => total + x, 0);
const mean = (xs: readonly number[]) => sum(xs) / xs.length;
const sigmoid = (x: number) => (x > 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));
const softplus = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const clip = (x: number, low: number, high: number) => Math.min(Math.max(x, low), high);
const eachOf = <T>(step: Step, f: (completion: number) => T): T[] => step.lists.map((_, i) => f(i));

/** log π − log π_old of a token. */
const logRatio = ({ lists, old }: Step, i: number, t: number) =>
  (lists[i]?.[t] ?? Number.NaN) - (old[i]?.[t] ?? Number.NaN);
const tokensOf = (step: Step, i: number) => (step.lists[i] ?? []).map((_, t) => t);
const tokenCount = (step: Step) => step.lists.flat().length;

/** The ratio that a token's loss has: its own, or e to the mean of its completion's. */
function ratioOf(step: Step, i: number, t: number, level: GrpoOptions["importance_sampling_level"]): number {
  const own =
    level === "token" ? logRatio(step, i, t) : mean(tokensOf(step, i).map((s) => logRatio(step, i, s)));
  return Math.exp(own);
}

/** DeepSeekMath Eq. (3) and (4) and their relatives: a token's loss, without the KL. */
function policyLoss(o: GrpoOptions, [step, fixed]: [Step, Step], i: number, t: number): number {
  const a = step.advantages[i] as number;
  const r = ratioOf(step, i, t, o.importance_sampling_level);
  if (o.loss_type === "cispo") {
    const weight = Math.min(ratioOf(fixed, i, t, o.importance_sampling_level), o.epsilon_high);
    return -weight * a * (step.lists[i]?.[t] as number);
  }
  if (o.loss_type === "sapo") {
    const tau = a > 0 ? o.sapo_temperature_pos : o.sapo_temperature_neg;
    return (-4 / tau) * sigmoid(tau * (r - 1)) * a;
  }
  const free = Math.min(r, o.delta ?? Number.POSITIVE_INFINITY);
  return -Math.min(free * a, clip(r, 1 - o.epsilon, 1 + o.epsilon_high) * a);
}

const longest = 20;

function grpoOf(o: GrpoOptions): Formula {
  return (step, fixed) => {
    const token = (i: number, t: number): number => {
      const x = (step.reference[i]?.[t] as number) - (step.lists[i]?.[t] as number);
      const k = Math.exp(x) - x - 1;
      const factor = o.use_bias_correction_kl ? ratioOf(step, i, t, o.importance_sampling_level) : 1;
      return policyLoss(o, [step, fixed], i, t) + o.beta * factor * k;
    };
    const all = eachOf(step, (i) => tokensOf(step, i).map((t) => token(i, t)));
    if (o.loss_type === "grpo" || o.loss_type === "sapo") return mean(all.map(mean));
    const divisors = { dr_grpo: longest * all.length, luspo: all.length };
    const divisor = o.loss_type in divisors ? divisors[o.loss_type as "luspo"] : tokenCount(step);
    return sum(all.flat()) / divisor;
  };
}

const grpoCases = (
  [
    { loss_type: "grpo" },
    { loss_type: "grpo", beta: 0.1 },
    { loss_type: "grpo", importance_sampling_level: "sequence", beta: 0.2 },
    { loss_type: "dapo", delta: 1.5 },
    { loss_type: "dapo", beta: 0.3, use_bias_correction_kl: false },
    { loss_type: "dr_grpo" },
    { loss_type: "bnpo" },
    { loss_type: "cispo", epsilon_high: 1.2 },
    { loss_type: "luspo" },
    { loss_type: "sapo" },
  ] as const
).map((settings): Case => {
  const options = loadMethod({ objective: "grpo", ...settings }) as GrpoOptions & { objective: "grpo" };
  const { epsilon, epsilon_high, delta, importance_sampling_level: level, loss_type } = options;
  const bounds =
    loss_type === "cispo" ? [] : [1 - epsilon, 1 + epsilon_high, ...(delta === null ? [] : [delta])];
  return {
    name: JSON.stringify(settings),
    objective: grpo(options),
    formula: grpoOf(options),
    corners: (step, i, t) => bounds.map((bound) => Math.log(ratioOf(step, i, t, level) / bound)),
  };
});

const ppoOptions = loadMethod({ objective: "ppo" }) as PpoOptions & { objective: "ppo" };

const cases: Case[] = [
  ...(
    [
      { beta: 0.1 },
      { beta: 0.5, desirable_weight: 1.5, undesirable_weight: 0.7 },
      { beta: 0.3, loss_type: "apo_zero_unpaired" },
    ] as const
  ).map((settings): Case => {
    const options = loadMethod({ objective: "kto", ...settings }) as Parameters<typeof kto>[0] & {
      objective: "kto";
    };
    return {
      name: `kto ${JSON.stringify(settings)}`,
      objective: kto(options),
      // Eq. (8): λ_D (1 − σ(z)) and λ_U (1 − σ(−z)), z = β (log π − log ref − KL)
      formula: (step) =>
        mean(
          eachOf(step, (i) => {
            const kl = options.loss_type === "kto" ? step.kl : 0;
            const z = options.beta * (sum(step.lists[i] ?? []) - sum(step.reference[i] ?? []) - kl);
            return step.label[i] === 1
              ? options.desirable_weight * (1 - sigmoid(z))
              : options.undesirable_weight * (1 - sigmoid(-z));
          }),
        ),
    };
  }),
  ...grpoCases,
  {
    name: "rloo",
    objective: rloo({ beta: 0.05, epsilon: 0.2, normalize_advantages: false, reward_clip_range: null }),
    formula: (step) =>
      -mean(
        eachOf(step, (i) => {
          const [rho, a] = [
            Math.exp(sum(tokensOf(step, i).map((t) => logRatio(step, i, t)))),
            step.advantages[i] as number,
          ];
          return Math.min(rho * a, clip(rho, 0.8, 1.2) * a);
        }),
      ),
    corners: (step, i) =>
      [0.8, 1.2].map((bound) => sum(tokensOf(step, i).map((t) => logRatio(step, i, t))) - Math.log(bound)),
  },
  {
    name: "raft",
    objective: raft({ reward_threshold: null }),
    formula: (step) => -mean(step.lists.filter((_, i) => step.selected[i] === 1).flat()),
  },
  {
    name: "ppo",
    objective: ppo(ppoOptions),
    formula: (step) =>
      mean(
        eachOf(step, (i) =>
          tokensOf(step, i).map((t) => {
            const [r, a] = [Math.exp(logRatio(step, i, t)), step.pushes[i]?.[t] as number];
            return Math.max(-r * a, -clip(r, 1 - ppoOptions.cliprange, 1 + ppoOptions.cliprange) * a);
          }),
        ).flat(),
      ),
    corners: (step, i, t) =>
      [-1, 1].map((side) => logRatio(step, i, t) - Math.log(1 + side * ppoOptions.cliprange)),
  },
  {
    name: "ppo's value loss",
    objective: valueObjective({ cliprange_value: 0.2, vf_coef: 0.1 }),
    formula: (step) =>
      0.1 *
      0.5 *
      mean(
        eachOf(step, (i) =>
          tokensOf(step, i).map((t) => {
            const [v, g] = [step.lists[i]?.[t] as number, step.returns[i]?.[t] as number];
            const inside = v - logRatio(step, i, t) + clip(logRatio(step, i, t), -0.2, 0.2);
            return Math.max((v - g) ** 2, (inside - g) ** 2);
          }),
        ).flat(),
      ),
    corners: (step, i, t) => {
      const [v, g, moved] = [
        step.lists[i]?.[t] as number,
        step.returns[i]?.[t] as number,
        logRatio(step, i, t),
      ];
      return [moved - 0.2, moved + 0.2, v + (v - moved + clip(moved, -0.2, 0.2)) - 2 * g];
    },
  },
  ...[0, 0.01].map(
    (coefficient): Case => ({
      name: `reward, ${coefficient}`,
      objective: reward({ center_rewards_coefficient: coefficient }),
      formula: ({ lists, margin }) =>
        mean(
          Array.from({ length: lists.length / 2 }, (_, p) => {
            const [w, l] = [lists[2 * p]?.[0] as number, lists[2 * p + 1]?.[0] as number];
            return softplus(-(w - l - (margin[2 * p] as number))) + coefficient * (w + l) ** 2;
          }),
        ),
    }),
  ),
];

/** @param isOfPairs - pairs with a number for each completion, as reward models have */
function drawn(isOfPairs: boolean): Step {
  const scale = 10 ** (random.next() * 3 - 2);
  const groups = 1 + random.below(3);
  const groupSizes = Array.from({ length: groups }, () => (isOfPairs ? 2 : 1 + random.below(4)));
  const lists = Array.from({ length: sum(groupSizes) }, () =>
    Array.from({ length: isOfPairs ? 1 : 1 + random.below(12) }, () => -scale * random.next() * 3),
  );
  const near = (width: number) => lists.map((list) => list.map((x) => x + width * (2 * random.next() - 1)));
  const firsts = groupSizes.flatMap((size) => Array.from({ length: size }, (_, i) => (i === 0 ? 1 : 0)));
  return {
    ...{ groupSizes, lists, old: near(0.5), reference: near(1), pushes: near(2), returns: near(1) },
    advantages: lists.map(() => 4 * random.next() - 2),
    label: lists.map(() => random.below(2)),
    selected: firsts,
    margin: lists.map(() => random.next()),
    kl: random.next(),
  };
}

/** Loss and gradient of every number of `lists`, by the library. */
function evaluated(
  objective: CompletionObjective | ScoreObjective,
  step: Step,
): { loss: number; grads: number[][] } {
  const { groupSizes, lists, margin, kl } = step;
  if (objective.over === "scores") {
    const column = tensor(margin, [margin.length], { dtype: "float64" });
    const given = { ...completionsOf(lists, null, 2), columns: { margin: column } };
    const side = (parity: number) => lists.filter((_, i) => i % 2 === parity);
    const { loss } = evaluateObjective(objective, given, totalsOf(side(0), side(1)));
    backward([loss]);
    return { loss: loss.item(), grads: (given.logps.grad as Tensor).toNumbers().map((x) => [x]) };
  }
  const all = {
    ...{ advantages: objective.name === "ppo" ? step.pushes : step.advantages },
    ...{
      oldLogps: step.old,
      referenceTokenLogps: step.reference,
      oldValues: step.old,
      returns: step.returns,
    },
    ...{ label: step.label, selected: step.selected, kl: lists.map(() => kl) },
    ...{ referenceLogps: step.reference.map(sum), maxLengths: lists.map(() => longest) },
  };
  const wanted = Object.entries(all).filter(([name]) => name in (objective.columns ?? {}));
  return rolloutStep(objective, { groupSizes, logps: lists, columns: Object.fromEntries(wanted) });
}

/** dL/dx of a number by Richardson's extrapolation of central differences. */
function difference(formula: Formula, step: Step, i: number, t: number): number {
  const at = (h: number) => {
    const lists = step.lists.map((list, k) => (k === i ? list.map((x, s) => (s === t ? x + h : x)) : list));
    return formula({ ...step, lists }, step);
  };
  const central = (h: number) => (at(h) - at(-h)) / (2 * h);
  return (4 * central(5e-4) - central(1e-3)) / 3;
}

test("values and gradients of KTO, of what trains on rollouts, of value and reward models", () => {
  let [worst, worstGrad, compared] = [0, 0, 0];
  const count = amount(20, 2000);
  for (let n = 0; n < count; n++) {
    for (const { name, objective, formula, corners } of cases) {
      using _ = scope();
      const step = drawn(objective.over === "scores");
      const { loss, grads } = evaluated(objective, step);
      const want = formula(step, step);
      const error = Math.abs(loss - want) / Math.max(1, Math.abs(want));
      assert.ok(error <= 1e-6, `${name}: ${loss}, by the formula ${want}`);
      worst = Math.max(worst, error);
      const i = random.below(grads.length);
      const t = random.below(grads[i]?.length ?? 0);
      // within a difference's reach of a corner there is no slope
      if (corners?.(step, i, t).some((distance) => Math.abs(distance) < 4e-3)) continue;
      const slope = difference(formula, step, i, t);
      const apart = Math.abs((grads[i]?.[t] as number) - slope) / Math.max(1, Math.abs(slope));
      assert.ok(
        apart <= 1e-5,
        `${name}, number ${t} of ${i}: gradient ${grads[i]?.[t]}, by differences ${slope}`,
      );
      worstGrad = Math.max(worstGrad, apart);
      compared += 1;
    }
  }
  assert.ok(compared > 0.9 * count * cases.length);
  const what = `${count} steps of each of ${cases.length} losses over completions, groups and scores`;
  const beyond = "relative where it is above 1";
  figure(
    12,
    `${what} against formulas in float64`,
    `largest error ${worst.toExponential(1)}, ${beyond}`,
    "≤ 1e-6",
    worst <= 1e-6,
    "GRPO's `entropy_coef` is not among them (first goal: every loss), since tests of training hold it",
  );
  const slopes = `largest error ${worstGrad.toExponential(1)}, ${beyond}`;
  figure(12, "their gradients against differences of the formulas", slopes, "≤ 1e-5", worstGrad <= 1e-5);
});
