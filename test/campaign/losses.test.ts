/**
 * SFT and the objectives over pairs against their formulas in plain float64 JavaScript: values, gradients by differences, and DPO at
 * its start. SLIME is that of its paper, without `lambda_start` and `chosen_floor`. Other objectives: losses-single.test.ts.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Random } from "../../src/base/random.ts";
import { HeadMatrix } from "../../src/forward/head-matrix.ts";
import { tokenLogps } from "../../src/forward/token-logps.ts";
import { cpo } from "../../src/methods/cpo/loss.ts";
import { dpo } from "../../src/methods/dpo/loss.ts";
import type { DpoLossType } from "../../src/methods/dpo/settings.ts";
import { dpop } from "../../src/methods/dpop/loss.ts";
import {
  type CompletionObjective,
  evaluateObjective,
  needsReference,
  type PairObjective,
  type StepTotals,
} from "../../src/methods/objective.ts";
import { orpo } from "../../src/methods/orpo/loss.ts";
import { sft } from "../../src/methods/sft/loss.ts";
import { simpo } from "../../src/methods/simpo/loss.ts";
import { slime } from "../../src/methods/slime/loss.ts";
import { backward, ops, scope, type Tensor, tensor } from "../../src/torch/index.ts";
import { amount, campaignSeed, figure } from "../support/campaign.ts";
import { completionsOf, totalsOf } from "../support/completion-lists.ts";
import { scriptValues } from "../support/tiny-training.ts";

const random = new Random(campaignSeed);

/** A step's log-probs: a list for each answer, chosen and rejected in turn, and a reference sum for each. */
interface Pairs {
  answers: number[][];
  reference: number[];
}

type Formula = (pairs: Pairs) => number;

const sum = (xs: readonly number[]) => xs.reduce((total, x) => total + x, 0);
const mean = (xs: readonly number[]) => sum(xs) / xs.length;
/** log σ(x), exact at both ends. */
const logSigmoid = (x: number) => (x > 0 ? -Math.log1p(Math.exp(-x)) : x - Math.log1p(Math.exp(x)));
const softplus = (x: number) => -logSigmoid(-x);

/** The mean of `f` over pairs. */
const overPairs =
  (f: (chosen: number[], rejected: number[], reference: [number, number]) => number): Formula =>
  ({ answers, reference }) => {
    const pairs = answers.length / 2;
    const each = Array.from({ length: pairs }, (_, i) =>
      f(answers[2 * i] as number[], answers[2 * i + 1] as number[], [
        reference[2 * i] as number,
        reference[2 * i + 1] as number,
      ]),
    );
    return mean(each);
  };

const smoothed = (z: number, e: number) => -(1 - e) * logSigmoid(z) - e * logSigmoid(-z);
const ratio = (chosen: number[], rejected: number[], [w, l]: [number, number]) =>
  sum(chosen) - w - (sum(rejected) - l);

const slimeOf = (o: Parameters<typeof slime>[0]): Formula => {
  const margin = overPairs((chosen, rejected) => {
    const delta = mean(chosen) - mean(rejected);
    const push = Math.max(0, o.margin_hard - delta) * Math.exp(logSigmoid(o.kappa * (o.margin_soft - delta)));
    return -o.lambda_w * mean(chosen) + o.lambda_d * push;
  });
  return (pairs) => {
    const rejected = pairs.answers.filter((_, i) => i % 2 === 1).flat();
    return margin(pairs) + o.lambda_l * mean(rejected.map((x) => softplus(-x - o.delta) ** o.power));
  };
};

/** Of a pair: its log-ratios c and r, and their difference h of means per token. */
interface Ratios {
  c: number;
  r: number;
  h: number;
}

/** Forms of DPO's loss with scale b and smoothing e. */
const forms = {
  sigmoid_norm: (b, { h }, e) => smoothed(b * h, e),
  hinge: (b, { c, r }) => Math.max(0, 1 - b * (c - r)),
  robust: (b, { c, r }, e) =>
    (-(1 - e) * logSigmoid(b * (c - r)) + e * logSigmoid(-b * (c - r))) / (1 - 2 * e),
  bco_pair: (b, { c, r }) => -logSigmoid(b * c) - logSigmoid(-b * r),
  nca_pair: (b, { c, r }) => -logSigmoid(b * c) - 0.5 * logSigmoid(-b * c) - 0.5 * logSigmoid(-b * r),
  apo_zero: (b, { c, r }) => 1 - Math.exp(logSigmoid(b * c)) + Math.exp(logSigmoid(b * r)),
  apo_down: (b, { c, r }) => Math.exp(logSigmoid(b * c)) + 1 - Math.exp(logSigmoid(b * (c - r))),
} as const satisfies Record<string, (b: number, pair: Ratios, e: number) => number>;

const overRatios = (f: (pair: Ratios) => number): Formula =>
  overPairs((w, l, [a, b]) => {
    const [c, r] = [sum(w) - a, sum(l) - b];
    return f({ c, r, h: c / w.length - r / l.length });
  });

/** Σ of the first tokens, and α times the others'. */
const tailed = (list: number[], other: number[], alpha: number) =>
  sum(list.map((x, t) => (t < other.length ? x : alpha * x)));
/** log odds of the mean log-prob. */
const logOdds = (list: number[]) => mean(list) - Math.log(-Math.expm1(mean(list)));
const chosenNll: Formula = ({ answers }) => -mean(answers.filter((_, i) => i % 2 === 0).flat());

const strong = { ...scriptValues, lambda_w: 0.7, lambda_l: 0.3, delta: 0.2, power: 1, kappa: 10 };

const cases: [name: string, objective: PairObjective | CompletionObjective, formula: Formula][] = [
  ["sft", sft(), ({ answers }) => -mean(answers.flat())],
  [
    "dpo",
    dpo({ beta: 0.1, label_smoothing: 0, loss_type: "sigmoid" }),
    overPairs((w, l, r) => smoothed(0.1 * ratio(w, l, r), 0)),
  ],
  [
    "dpo, smoothed",
    dpo({ beta: 0.4, label_smoothing: 0.1, loss_type: "sigmoid" }),
    overPairs((w, l, r) => smoothed(0.4 * ratio(w, l, r), 0.1)),
  ],
  [
    "ipo",
    dpo({ beta: 0.2, label_smoothing: 0, loss_type: "ipo" }),
    overPairs((w, l, [a, b]) => ((sum(w) - a) / w.length - (sum(l) - b) / l.length - 1 / 0.4) ** 2),
  ],
  [
    "simpo",
    simpo({ beta: 2, simpo_gamma: 1, label_smoothing: 0, cpo_alpha: 0 }),
    overPairs((w, l) => smoothed(2 * (mean(w) - mean(l)) - 1, 0)),
  ],
  [
    "simpo with CPO's term, smoothed",
    simpo({ beta: 2.5, simpo_gamma: 0.5, label_smoothing: 0.2, cpo_alpha: 0.3 }),
    (pairs) =>
      overPairs((w, l) => smoothed(2.5 * (mean(w) - mean(l)) - 0.5, 0.2))(pairs) -
      0.3 * mean(pairs.answers.filter((_, i) => i % 2 === 0).flat()),
  ],
  ...Object.entries(forms).map(([lossType, form]): (typeof cases)[number] => [
    lossType,
    dpo({ beta: 0.3, label_smoothing: 0.1, loss_type: lossType as DpoLossType }),
    overRatios((pair) => form(0.3, pair, 0.1)),
  ]),
  [
    "mixture of sigmoid, apo_zero and sft",
    dpo({
      beta: 0.2,
      label_smoothing: 0,
      loss_type: ["sigmoid", "apo_zero", "sft"],
      loss_weights: [0.5, 2, 0.3],
    }),
    (pairs) =>
      0.5 * overRatios(({ c, r }) => smoothed(0.2 * (c - r), 0))(pairs) +
      2 * overRatios((pair) => forms.apo_zero(0.2, pair))(pairs) +
      0.3 * chosenNll(pairs),
  ],
  [
    "dpo with ld_alpha",
    dpo({ beta: 0.2, label_smoothing: 0, loss_type: "sigmoid", ld_alpha: 0.3 }),
    overPairs((w, l, [a, b]) => smoothed(0.2 * (tailed(w, l, 0.3) - a - (tailed(l, w, 0.3) - b)), 0)),
  ],
  [
    "dpop",
    dpop({ beta: 0.1, dpop_lambda: 5 }),
    overRatios(({ c, r }) => smoothed(0.1 * (c - r - 5 * Math.max(0, -c)), 0)),
  ],
  [
    "orpo",
    orpo({ beta: 0.4, nll_over: "answer" }),
    (pairs) => chosenNll(pairs) + 0.4 * overPairs((w, l) => smoothed(logOdds(w) - logOdds(l), 0))(pairs),
  ],
  [
    "cpo",
    cpo({ beta: 0.2, label_smoothing: 0.1, loss_type: "sigmoid", cpo_alpha: 0.7 }),
    (pairs) => overPairs((w, l) => smoothed(0.2 * (sum(w) - sum(l)), 0.1))(pairs) + 0.7 * chosenNll(pairs),
  ],
  [
    "cpo, hinge",
    cpo({ beta: 0.2, label_smoothing: 0, loss_type: "hinge", cpo_alpha: 0 }),
    overPairs((w, l) => Math.max(0, 1 - 0.2 * (sum(w) - sum(l)))),
  ],
  [
    "cpo, ipo",
    cpo({ beta: 0.2, label_smoothing: 0, loss_type: "ipo", cpo_alpha: 0 }),
    overPairs((w, l) => (mean(w) - mean(l) - 2.5) ** 2),
  ],
  ["slime, script", slime(scriptValues), slimeOf(scriptValues)],
  ["slime, strong", slime(strong), slimeOf(strong)],
];

function drawn(): Pairs {
  const scale = 10 ** (random.next() * 3 - 2);
  const answer = () => Array.from({ length: 1 + random.below(12) }, () => -scale * random.next() * 3);
  const answers = Array.from({ length: 2 * (1 + random.below(4)) }, answer);
  return { answers, reference: answers.map((list) => sum(list) * (0.7 + 0.6 * random.next())) };
}

/** Totals of a step of these pairs alone. */
function totalsOfPairs(answers: number[][]): StepTotals {
  const side = (parity: number) => answers.filter((_, i) => i % 2 === parity);
  return totalsOf(side(0), side(1));
}

/** Loss, and gradient of every log-prob, by the library. */
function evaluated(objective: PairObjective | CompletionObjective, { answers, reference }: Pairs) {
  const given = completionsOf(answers, needsReference(objective) ? reference : null, 2);
  const { loss } = evaluateObjective(objective, given, totalsOfPairs(answers));
  backward([loss]);
  return { loss: loss.item(), grad: (given.logps.grad as Tensor).toNumbers() };
}

/** What an error of a number above 1 is of. */
const beyond = "relative where it is above 1";

/** Where a loss with a corner has it: 0 there. */
const corners: readonly [name: string, (w: number[], l: number[], reference: [number, number]) => number][] =
  [
    ["slime", (w, l) => mean(w) - mean(l) - scriptValues.margin_hard],
    ["hinge", (w, l, r) => ratio(w, l, r) - 1 / 0.3],
    ["cpo, hinge", (w, l) => sum(w) - sum(l) - 5],
    ["dpop", (w, _, [a]) => sum(w) - a],
  ];

/** Whether a pair is within a difference's reach of a corner, where there is no slope. */
function nearCorner(name: string, { answers, reference }: Pairs): boolean {
  const corner = corners.find(([start]) => name.startsWith(start))?.[1];
  return (
    corner !== undefined &&
    Array.from({ length: answers.length / 2 }, (_, i) => 2 * i).some((i) => {
      const [w, l] = answers.slice(i, i + 2) as [number[], number[]];
      return Math.abs(corner(w, l, reference.slice(i, i + 2) as [number, number])) < 2e-3;
    })
  );
}

/** dL/dx of the k-th log-prob by Richardson's extrapolation of central differences. */
function difference(formula: Formula, pairs: Pairs, k: number): number {
  const at = (h: number) => {
    let seen = 0;
    const answers = pairs.answers.map((list) => list.map((x) => (seen++ === k ? x + h : x)));
    return formula({ ...pairs, answers });
  };
  const h = 1e-3;
  const central = (step: number) => (at(step) - at(-step)) / (2 * step);
  return (4 * central(h / 2) - central(h)) / 3;
}

test("values and gradients of SFT and of objectives over pairs are those of their formulas in float64", () => {
  let [worst, worstGrad] = [0, 0];
  const count = amount(30, 3000);
  for (let i = 0; i < count; i++) {
    const pairs = drawn();
    for (const [name, objective, formula] of cases) {
      using _ = scope();
      const { loss, grad } = evaluated(objective, pairs);
      const want = formula(pairs);
      const error = Math.abs(loss - want) / Math.max(1, Math.abs(want));
      assert.ok(error <= 1e-6, `${name}: ${loss}, by the formula ${want}`);
      worst = Math.max(worst, error);
      if (nearCorner(name, pairs)) continue;
      const k = random.below(grad.length);
      const slope = difference(formula, pairs, k);
      const apart = Math.abs((grad[k] as number) - slope) / Math.max(1, Math.abs(slope));
      worstGrad = Math.max(worstGrad, apart);
      assert.ok(apart <= 1e-5, `${name}, log-prob ${k}: gradient ${grad[k]}, by differences ${slope}`);
    }
  }
  const reached = `${count} steps of each of ${cases.length} losses, largest error ${worst.toExponential(1)}, ${beyond}`;
  figure(
    12,
    "losses over pairs and SFT against formulas in float64",
    reached,
    "≤ 1e-6",
    worst <= 1e-6,
    "SLIME's `lambda_start` and `chosen_floor` are not among them (first goal: every loss), since tests of training hold these",
  );
  const slopes = `largest error ${worstGrad.toExponential(1)}, ${beyond}`;
  figure(12, "their gradients against differences of the formulas", slopes, "≤ 1e-5", worstGrad <= 1e-5);
});

test("from float32 hidden states to the loss: log-probs by a float64 softmax in plain JavaScript", () => {
  let worst = 0;
  const [rows, width, vocabulary] = [12, 8, 40];
  const count = amount(5, 200);
  for (let i = 0; i < count; i++) {
    using _ = scope();
    const numbers = (n: number) => Float32Array.from({ length: n }, () => 2 * random.next() - 1);
    const [h, w] = [numbers(rows * width), numbers(vocabulary * width)];
    const targets = Array.from({ length: rows }, () => random.below(vocabulary));
    const exact = targets.map((target, r) => {
      const logits = Array.from({ length: vocabulary }, (_, v) =>
        sum(
          Array.from(
            { length: width },
            (_, d) => (h[r * width + d] as number) * (w[v * width + d] as number),
          ),
        ),
      );
      const max = Math.max(...logits);
      return (logits[target] as number) - max - Math.log(sum(logits.map((x) => Math.exp(x - max))));
    });
    const { logps } = tokenLogps(
      tensor(h, [rows, width]),
      new HeadMatrix(tensor(w, [vocabulary, width])),
      tensor(targets, [rows], { dtype: "int64" }),
      { gradient: "none", logits_chunk_size: 1 + random.below(vocabulary) },
    );
    const lists = [exact.slice(0, 2), exact.slice(2, 7), exact.slice(7, 8), exact.slice(8)];
    const pairs = { answers: lists, reference: lists.map((list) => sum(list) - 1) };
    for (const [name, objective, formula] of cases) {
      const reference = needsReference(objective) ? pairs.reference : null;
      const given = { ...completionsOf(lists, reference, 2), logps: ops.to(logps, "float64") };
      const got = evaluateObjective(objective, given, totalsOfPairs(lists)).loss.item();
      const error = Math.abs(got - formula(pairs)) / Math.max(1, Math.abs(formula(pairs)));
      assert.ok(error <= 1e-6, `${name}: ${got}, exactly ${formula(pairs)}`);
      worst = Math.max(worst, error);
    }
  }
  const reached = `${count} heads, largest error ${worst.toExponential(1)}, ${beyond}`;
  figure(
    12,
    "losses over pairs and SFT from float32 hidden states against float64",
    reached,
    "≤ 1e-6",
    worst <= 1e-6,
  );
});

test("DPO at its reference is ln 2", () => {
  let worst = 0;
  for (let i = 0; i < amount(50, 2000); i++) {
    using _ = scope();
    const { answers } = drawn();
    const objective = dpo({ beta: random.next(), label_smoothing: 0, loss_type: "sigmoid" });
    const { loss } = evaluated(objective, { answers, reference: answers.map(sum) });
    worst = Math.max(worst, Math.abs(loss - Math.LN2));
  }
  figure(
    12,
    "DPO where policy and reference are one",
    `|loss − ln 2| ≤ ${worst.toExponential(1)}`,
    "≤ 1e-6",
    worst <= 1e-6,
  );
});
