/** Tests of importance-sampling.ts: weights of tokens and completions, truncated and masked, in the objectives that take them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertClose } from "../../test/support/close.ts";
import { assertSameInEveryCut, type RolloutLists, rolloutStep } from "../../test/support/rollout-steps.ts";
import { loadMethod } from "../config/load-config.ts";
import { grpo } from "./grpo/loss.ts";
import { canBeCorrected, corrected, type ImportanceSampling } from "./importance-sampling.ts";
import type { SettingsOf } from "./index.ts";
import { ppo } from "./ppo/loss.ts";
import { raft } from "./raft/loss.ts";
import { rloo } from "./rloo/loss.ts";

const options = <Name extends "grpo" | "rloo" | "ppo" | "raft">(objective: Name) =>
  loadMethod({ objective }) as SettingsOf<Name>;

type Mode = ImportanceSampling["importance_sampling_mode"];
const bounded = (importance_sampling_mode: Mode, min: number | null, max: number | null) => ({
  ...{ importance_sampling_mode, importance_sampling_clip_min: min, importance_sampling_clip_max: max },
});

/** exp(old − sampler) of each token; of the completions 8 and 0.5. */
const ratios = [
  [2, 4],
  [0.5, 1],
];
const old = [
  [-2, -3],
  [-1, -2.5],
];
const advantages = [1, -1];
const samplerLogps = old.map((logps, i) => logps.map((logp, t) => logp - Math.log(ratios[i]?.[t] ?? 0)));

/** At the first update, whose log-probs are the old ones; or at a later one. */
function lists(isFirst: boolean, byToken = false): RolloutLists {
  return {
    groupSizes: [2],
    logps: isFirst ? old : old.map((logps) => logps.map((logp) => logp + 0.05)),
    columns: {
      advantages: byToken ? advantages.map((advantage) => [advantage, advantage]) : advantages,
      samplerLogps,
      ...(isFirst ? {} : { oldLogps: old }),
    },
  };
}

const cases: [Mode, number | null, number | null, number[][], number][] = [
  [
    "token_truncate",
    0.6,
    3,
    [
      [2, 3],
      [0.6, 1],
    ],
    0.5,
  ],
  [
    "token_mask",
    0.6,
    3,
    [
      [2, 0],
      [0, 1],
    ],
    0.5,
  ],
  [
    "sequence_truncate",
    0.6,
    3,
    [
      [3, 3],
      [0.6, 0.6],
    ],
    1,
  ],
  [
    "sequence_mask",
    null,
    3,
    [
      [0, 0],
      [0.5, 0.5],
    ],
    0.5,
  ],
  [
    "sequence_mask",
    null,
    9,
    [
      [8, 8],
      [0.5, 0.5],
    ],
    0,
  ],
];

for (const [mode, min, max, weights, share] of cases) {
  for (const isFirst of [true, false]) {
    test(`${mode} in [${min}, ${max}], ${isFirst ? "first" : "later"} update: a token's gradient is its weight's times`, () => {
      const plain = grpo(options("grpo"));
      const { samplerLogps: _, ...columns } = lists(isFirst).columns;
      const without = rolloutStep(plain, { ...lists(isFirst), columns });
      const { grads, metrics } = rolloutStep(corrected(plain, bounded(mode, min, max)), lists(isFirst));
      const want = without.grads.map((own, i) => own.map((grad, t) => grad * (weights[i]?.[t] ?? 0)));
      for (const [i, own] of grads.entries()) assertClose(own, want[i] ?? [], { atol: 1e-12 });
      const name = "sampling/importance_sampling_ratio";
      const flat = mode.startsWith("token") ? weights.flat() : weights.map(([first = 0]) => first);
      const mean = flat.reduce((sum, weight) => sum + weight, 0) / flat.length;
      assertClose([metrics[`${name}/mean`] ?? 0], [mean], { atol: 1e-12 });
      assertClose([metrics[`${name}/min`] ?? 0], [Math.min(...flat)], { atol: 1e-12 });
      assertClose([metrics[`${name}/max`] ?? 0], [Math.max(...flat)], { atol: 1e-12 });
      assert.equal(metrics[`${name}/frac_bounded`], share);
    });
  }
}

test("rloo and ppo weight their terms alike; nothing depends on the cut", () => {
  const mode = bounded("sequence_truncate", 0.6, 3);
  for (const [objective, byToken] of [
    [rloo(options("rloo")), false],
    [ppo(options("ppo")), true],
    [grpo(options("grpo")), false],
  ] as const) {
    const { samplerLogps: _, ...columns } = lists(false, byToken).columns;
    const without = rolloutStep(objective, { ...lists(false, byToken), columns });
    const whole = rolloutStep(corrected(objective, mode), lists(false, byToken));
    for (const [i, own] of whole.grads.entries()) {
      const want = without.grads[i]?.map((grad) => grad * (i === 0 ? 3 : 0.6)) ?? [];
      assertClose(own, want, { atol: 1e-12 });
    }
    assertSameInEveryCut(corrected(objective, mode), lists(false, byToken), whole);
  }
});

test("the KL to the reference is not weighted", () => {
  const objective = grpo({ ...options("grpo"), beta: 0.1 });
  const reference = old.map((logps) => logps.map((logp) => logp - 0.3));
  const given = lists(true);
  const all = { ...given, columns: { ...given.columns, referenceTokenLogps: reference, advantages: [0, 0] } };
  const masked = rolloutStep(corrected(objective, bounded("sequence_mask", 100, 200)), all);
  const plain = rolloutStep(objective, all);
  assertClose([masked.loss], [plain.loss], { atol: 1e-15 });
});

test("an objective without a ratio takes no weights", () => {
  assert.ok(canBeCorrected(ppo(options("ppo"))));
  assert.ok(!canBeCorrected(raft(options("raft"))));
});

test("a masked completion is in no mean of ratios, of their bounds, or of weights", () => {
  const mode = bounded("sequence_truncate", 0.6, 3);
  for (const objective of [
    rloo(options("rloo")),
    grpo({ ...options("grpo"), importance_sampling_level: "sequence" }),
    grpo(options("grpo")),
  ]) {
    const given = lists(false);
    const alone = rolloutStep(corrected(objective, mode), given);
    // as many completions as tokens: they are not taken for each other
    const columns = Object.entries(given.columns).map(([name, values]) => [
      name,
      [...values, ...(name === "advantages" ? [1, -1] : [[], []])],
    ]);
    const masked = { groupSizes: [4], logps: [...given.logps, [], []], columns: Object.fromEntries(columns) };
    const step = rolloutStep(corrected(objective, mode), masked);
    assert.deepEqual(Object.keys(step.metrics), Object.keys(alone.metrics));
    for (const [name, value] of Object.entries(alone.metrics)) {
      if (!/^(ratio|clip_ratio|sampling)\//.test(name)) continue;
      assertClose([step.metrics[name] ?? Number.NaN], [value], { atol: 1e-12 });
    }
    assert.ok("ratio/mean" in step.metrics && "clip_ratio/low_min" in step.metrics);
    assertSameInEveryCut(corrected(objective, mode), masked, step);
  }
});

test("clip_ratio/low_min is the least of the completions with tokens", () => {
  const far = { logps: [[-9, -9], []], columns: { advantages: [-1, -1], oldLogps: [[-1, -1], []] } };
  const { metrics } = rolloutStep(grpo(options("grpo")), { groupSizes: [2], ...far });
  assert.equal(metrics["clip_ratio/low_min"], 1);
});
