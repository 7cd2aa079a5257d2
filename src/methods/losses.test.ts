import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { assertClose, withoutLeaks } from "../../test/support/close.ts";
import {
  completionsOf,
  pairsOf,
  totalsOf,
  totalsOfCompletions,
  withStart,
} from "../../test/support/completion-lists.ts";
import { slimeAuthorsCases } from "../../test/support/fixture-files.ts";
import { scriptValues } from "../../test/support/tiny-training.ts";
import { backward, type Tensor } from "../torch/index.ts";
import { dpo } from "./dpo/loss.ts";
import { dpop } from "./dpop/loss.ts";
import { type PairObjective, pairLogps, takesReferenceTokens } from "./objective.ts";
import { sft } from "./sft/loss.ts";
import { simpo } from "./simpo/loss.ts";
import { slime } from "./slime/loss.ts";
import type { SlimeOptions } from "./slime/settings.ts";

interface Golden {
  name: string;
  hyper: Record<string, number>;
  chosen_token_logps: number[][];
  rejected_token_logps: number[][];
  loss: number;
  grad_chosen: number[][];
  grad_rejected: number[][];
}

interface AuthorsCases {
  cases: Golden[];
  logp_zero_edge: Pick<Golden, "hyper" | "chosen_token_logps" | "rejected_token_logps"> & {
    loss_true_completion_mask: number;
    loss_code_mask_nonzero: number;
  };
}

function optionsOf(hyper: Record<string, number>): SlimeOptions {
  return {
    ...scriptValues,
    lambda_w: hyper["center_lambda_chosen"] as number,
    lambda_l: hyper["center_lambda_rejected"] as number,
    delta: hyper["rejected_penalty_shift"] as number,
    margin_hard: hyper["hard_margin"] as number,
    margin_soft: hyper["soft_margin"] as number,
    lambda_d: hyper["dist_lambda"] as number,
  };
}

/** The start's log-probs that go with these, in stream order. */
function startOf(chosen: number[][], rejected: number[][]): number[] {
  return chosen
    .flatMap((own, i) => [...own, ...(rejected[i] ?? [])])
    .map((logp) => logp + Math.sin(99 * logp));
}

function lossOf(
  objective: PairObjective,
  chosen: number[][],
  rejected: number[][],
  reference: number[] | null = null,
) {
  const plain = pairsOf(chosen, rejected, reference);
  const completions = takesReferenceTokens(objective) ? withStart(plain, startOf(chosen, rejected)) : plain;
  const result = objective.evaluate(pairLogps(completions), totalsOf(chosen, rejected));
  backward([result.loss]);
  return {
    loss: result.loss.item(),
    grad: (completions.logps.grad as Tensor).toNumbers(),
    metrics: result.metrics,
  };
}

test("slime equals the authors' trainer on given log-probs", () => {
  const golden = slimeAuthorsCases<AuthorsCases>();
  for (const c of golden.cases) {
    withoutLeaks(() => {
      const { loss, grad } = lossOf(slime(optionsOf(c.hyper)), c.chosen_token_logps, c.rejected_token_logps);
      assertClose(loss, c.loss, { rtol: 1e-12 });
      const want = c.grad_chosen.flatMap((g, i) => [...g, ...(c.grad_rejected[i] ?? [])]);
      assertClose(grad, want, { atol: 1e-12, rtol: 1e-9 });
    });
  }
  const edge = golden.logp_zero_edge;
  withoutLeaks(() => {
    const by = (compat: boolean) =>
      lossOf(
        slime({ ...optionsOf(edge.hyper), ...(compat ? { preset: "reference-compat" } : {}) }),
        edge.chosen_token_logps,
        edge.rejected_token_logps,
      ).loss;
    assertClose(by(false), edge.loss_true_completion_mask, { rtol: 1e-12 });
    assertClose(by(true), 3 * edge.loss_code_mask_nonzero, { rtol: 1e-12 });
  });
});

test("dpop: what two passes differ by through rounding decides no penalty; a chosen completion that has fallen has one", () => {
  withoutLeaks(() => {
    const by = (fallen: number) =>
      lossOf(dpop({ beta: 0.1, dpop_lambda: 50 }), [[-100, -200]], [[-150, -160]], [-300 + fallen, -310]);
    const [less, more] = [by(1e-3), by(-1e-3)];
    // of both: the slope of −ln σ(β d) at d = 0
    for (const { grad } of [less, more]) assertClose(grad, [-0.05, -0.05, 0.05, 0.05], { rtol: 1e-3 });
    assert.equal(less.metrics["dpop/frac_penalised"]?.sum.item(), 0);
    const fallen = by(1);
    assert.equal(fallen.metrics["dpop/frac_penalised"]?.sum.item(), 1);
    assert.ok((fallen.grad[0] ?? 0) < -1, String(fallen.grad));
  });
});

test("slime by hand: one pair, every part", () => {
  // l_w = -1, l_l = -2, so Δ = 1: hinge 0.5, gate σ(0) = 0.5. Rejected tokens -1 and -3 with δ = 1:
  // softplus(0) = ln 2, softplus(2) = 2 + ln(1 + e^-2); power 2, λl = 0.1, N_l = 2.
  withoutLeaks(() => {
    const options = { ...scriptValues, lambda_w: 0.2, lambda_l: 0.1, delta: 1, power: 2, lambda_d: 3 };
    const { loss, metrics } = lossOf(slime(options), [[-1, -1]], [[-1, -3]]);
    const penalty = 0.05 * (Math.log(2) ** 2 + (2 + Math.log1p(Math.exp(-2))) ** 2);
    assertClose(loss, 0.2 + 3 * 0.5 * 0.5 + penalty, { rtol: 1e-12 });
    const value = (name: string) => (metrics[name]?.sum.item() ?? Number.NaN) / (metrics[name]?.count ?? 0);
    assertClose(value("slime/anchor_loss"), 0.2, { rtol: 1e-12 });
    assertClose(value("slime/margin_loss"), 0.75, { rtol: 1e-12 });
    assertClose(value("slime/rejected_penalty"), penalty, { rtol: 1e-12 });
    assertClose(value("slime/frac_rejected_tokens_penalised"), 0.5, {});
    assertClose(value("rewards/margins"), 1, {});
  });
});

test("slime's anchor to the start by hand: what fell is lifted, and nothing else; a weight for each pair", () => {
  withoutLeaks(() => {
    const [chosen, rejected] = [
      [[-1, -2], [-3]],
      [[-4], [-4, -4]],
    ];
    // in stream order: fell by 0.5, rose by 1 | rejected | fell by 0.25 | rejected, which do not count
    const start = [-0.5, -3, -1, -2.75, -1, -1];
    const off = { ...scriptValues, lambda_l: 0, lambda_d: 0, lambda_w: 0 };
    const at = (options: SlimeOptions, tokens: number[], weights: number[] | null = null) => {
      const completions = withStart(pairsOf(chosen, rejected), tokens, weights);
      const { loss, metrics } = slime(options).evaluate(pairLogps(completions), totalsOf(chosen, rejected));
      backward([loss]);
      const value = (name: string) => (metrics[name]?.sum.item() ?? Number.NaN) / (metrics[name]?.count ?? 0);
      return { loss: loss.item(), grad: (completions.logps.grad as Tensor).toNumbers(), value };
    };
    const plain = at({ ...off, lambda_start: 2 }, start);
    // 2 · ½ · (0.5 / 2 + 0.25)
    assertClose(plain.loss, 0.5, { rtol: 1e-12 });
    assertClose(plain.grad, [-0.5, 0, 0, -1, 0, 0], { atol: 1e-15 });
    assertClose(plain.value("slime/start_anchor_loss"), 0.5, { rtol: 1e-12 });
    assertClose(plain.value("slime/frac_chosen_tokens_fallen"), 0.75, {});
    // ½ · ((−0.5 + 1) / 2 − 0.25)
    assertClose(plain.value("slime/chosen_change"), 0, { atol: 1e-12 });
    // 2 · ½ · ((0.5 + 1.5 + 0.5) / 2 + 0.75): with a margin of 1.5 the token that rose by 1 lacks 0.5
    const higher = at({ ...off, lambda_start: 2, start_margin: 1.5 }, start);
    assertClose(higher.loss, (2 + 0.5) / 2 + 1.75, { rtol: 1e-12 });
    // rounding is no fall
    const rounded = at({ ...off, lambda_start: 2 }, [-1 + 9e-4, -2, -4, -3 - 9e-4, -4, -4]);
    assert.equal(rounded.loss, 0);
    assertClose(rounded.grad, [0, 0, 0, 0, 0, 0], {});
    const weighed = at({ ...off, lambda_w: 9, chosen_floor: 0 }, start, [0.5, 2]);
    // ½ · (0.5 · 1.5 + 2 · 3)
    assertClose(weighed.loss, 3.375, { rtol: 1e-12 });
    assertClose(weighed.value("slime/lambda_w"), 1.25, { rtol: 1e-12 });
    const fixed = at({ ...off, lambda_w: 9, chosen_floor: 0 }, start);
    assertClose([fixed.loss, fixed.value("slime/lambda_w")], [(9 * 4.5) / 2, 9], { rtol: 1e-12 });
    assert.throws(() => at({ ...off, lambda_start: 2 }, start.slice(1)), /size|shape/i);
  });
});

test("slime: beyond the hard margin only the anchor and the stabiliser pull", () => {
  withoutLeaks(() => {
    const { grad } = lossOf(slime({ ...scriptValues, lambda_l: 0 }), [[-0.1, -0.3]], [[-4, -4]]);
    assertClose(grad, [-0.05, -0.05, 0, 0], { atol: 1e-15 });
  });
});

test("dpo: ln 2 at the reference, TRL's numbers by hand elsewhere", () => {
  withoutLeaks(() => {
    const options = { beta: 0.1, label_smoothing: 0, loss_type: "sigmoid" as const };
    assertClose(lossOf(dpo(options), [[-1, -2]], [[-4]], [-3, -4]).loss, Math.LN2, { rtol: 1e-12 });
    // z = 0.1 ((-3 + 5) - (-4 + 3)) = 0.3
    const { loss, grad } = lossOf(dpo(options), [[-1, -2]], [[-4]], [-5, -3]);
    assertClose(loss, Math.log1p(Math.exp(-0.3)), { rtol: 1e-12 });
    const slope = -0.1 / (1 + Math.exp(0.3));
    assertClose(grad, [slope, slope, -slope], { rtol: 1e-12 });
    const smooth = lossOf(dpo({ ...options, label_smoothing: 0.2 }), [[-1, -2]], [[-4]], [-5, -3]).loss;
    assertClose(smooth, 0.8 * Math.log1p(Math.exp(-0.3)) + 0.2 * Math.log1p(Math.exp(0.3)), { rtol: 1e-12 });
    // per token: (2/2) - (-1/1) = 2; (2 - 1/(0.2))² = 9
    assertClose(lossOf(dpo({ ...options, loss_type: "ipo" }), [[-1, -2]], [[-4]], [-5, -3]).loss, 9, {
      rtol: 1e-12,
    });
    const alone: [PairObjective, RegExp][] = [
      [dpo(options), /dpo needs reference/],
      [dpo({ ...options, loss_type: "sigmoid_norm" }), /dpo needs reference/],
      [dpop({ beta: 0.1, dpop_lambda: 5 }), /dpop needs reference/],
    ];
    for (const [objective, said] of alone) assert.throws(() => lossOf(objective, [[-1]], [[-1]]), said);
  });
});

test("simpo by hand, and unchanged by repeating tokens at an equal mean", () => {
  withoutLeaks(() => {
    const options = { beta: 2, simpo_gamma: 1, label_smoothing: 0, cpo_alpha: 0 };
    const once = lossOf(simpo(options), [[-1, -2]], [[-3]]).loss;
    assertClose(once, Math.log1p(Math.exp(-(2 * 1.5 - 1))), { rtol: 1e-12 });
    assertClose(lossOf(simpo(options), [[-1, -2, -1, -2]], [[-3, -3]]).loss, once, { rtol: 1e-12 });
    const cpo = lossOf(simpo({ ...options, cpo_alpha: 0.5 }), [[-1, -2]], [[-3]]).loss;
    assertClose(cpo, once + 0.5 * 1.5, { rtol: 1e-12 });
  });
});

test("sft is the mean negative log-likelihood per token of the step", () => {
  withoutLeaks(() => {
    const lists = [[-1, -2], [-6]];
    const { loss } = sft().evaluate(completionsOf(lists), totalsOfCompletions(lists));
    assertClose(loss.item(), 3, { rtol: 1e-12 });
  });
});

const lists = fc.array(
  fc.tuple(
    fc.array(fc.double({ min: -9, max: -0.01, noNaN: true }), { minLength: 1, maxLength: 6 }),
    fc.array(fc.double({ min: -9, max: -0.01, noNaN: true }), { minLength: 1, maxLength: 6 }),
  ),
  { minLength: 2, maxLength: 5 },
);

test("property: however a step is cut into micro-batches, its loss and gradient are the same", () => {
  const objectives = [
    slime(scriptValues),
    slime({ ...scriptValues, lambda_start: 2, start_margin: 0.2 }),
    simpo({ beta: 2, simpo_gamma: 1, label_smoothing: 0.1, cpo_alpha: 0.3 }),
  ];
  fc.assert(
    fc.property(lists, (pairs) => {
      for (const objective of objectives) {
        withoutLeaks(() => {
          const chosen = pairs.map((p) => p[0]);
          const rejected = pairs.map((p) => p[1]);
          const whole = lossOf(objective, chosen, rejected);
          const totals = totalsOf(chosen, rejected);
          const cut = pairs.map(([c, r]) => {
            const plain = pairsOf([c], [r]);
            const completions = takesReferenceTokens(objective) ? withStart(plain, startOf([c], [r])) : plain;
            const { loss } = objective.evaluate(pairLogps(completions), {
              ...totals,
              micro: totalsOf([c], [r]),
            });
            backward([loss]);
            return { loss: loss.item(), grad: (completions.logps.grad as Tensor).toNumbers() };
          });
          assertClose(
            cut.reduce((sum, part) => sum + part.loss, 0),
            whole.loss,
            { rtol: 1e-12, atol: 1e-12 },
          );
          assertClose(
            cut.flatMap((part) => part.grad),
            whole.grad,
            { rtol: 1e-12, atol: 1e-15 },
          );
        });
      }
    }),
    { numRuns: 30 },
  );
});

test("property: swapping chosen and rejected negates the margin; β → 0 gives ln 2", () => {
  fc.assert(
    fc.property(lists, (pairs) => {
      withoutLeaks(() => {
        const chosen = pairs.map((p) => p[0]);
        const rejected = pairs.map((p) => p[1]);
        const margin = (c: number[][], r: number[][]) =>
          lossOf(slime(scriptValues), c, r).metrics["rewards/margins"]?.sum.item() ?? Number.NaN;
        assertClose(margin(chosen, rejected), -margin(rejected, chosen), { atol: 1e-9 });
        const tiny = dpo({ beta: 1e-12, label_smoothing: 0, loss_type: "sigmoid" });
        const reference = pairs.flatMap(() => [-1, -1]);
        assertClose(lossOf(tiny, chosen, rejected, reference).loss, Math.LN2, { atol: 1e-9 });
      });
    }),
    { numRuns: 20 },
  );
});
