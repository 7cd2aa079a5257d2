/**
 * A step over groups of 1, 3 and 4 completions, with a column for each completion (advantages) and one for each token (log-probs
 * of the policy that sampled): its loss and gradients are those of torch's own operators on the model run plainly, and
 * do not depend on how the step is cut.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertClose, withoutLeaks } from "../../test/support/close.ts";
import { pattern } from "../../test/support/patterned.ts";
import { tinyModel } from "../../test/support/tiny-models.ts";
import { tinyTraining } from "../../test/support/tiny-training.ts";
import type { Example } from "../data/example.ts";
import { packExamples } from "../data/packing.ts";
import { type MicroBatch, toDevice } from "../forward/batch.ts";
import {
  type CompletionObjective,
  groupIndex,
  meanOf,
  shareOf,
  sumByCompletion,
} from "../methods/objective.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import type { ParameterSet } from "../nn/parameter-set.ts";
import { AdamW } from "../optim/adamw.ts";
import { backward, ops, scope, type Tensor, tensor } from "../torch/index.ts";
import { trainAll } from "./parameters.ts";
import { type Training, trainStep } from "./step.ts";

const origin = { file: "groups.test.ts", line: 1 };
const examples: Example[] = [
  { origin, promptIds: [3, 7, 1], completions: [{ ids: [12, 5, 2] }] },
  {
    origin,
    promptIds: [8, 4, 30, 6],
    completions: [{ ids: [21] }, { ids: [17, 11, 0, 2], mask: [1, 0, 1, 1] }, { ids: [9, 2] }],
  },
  {
    origin,
    promptIds: [5],
    completions: [{ ids: [14, 2] }, { ids: [1, 1, 6, 2] }, { ids: [28, 2] }, { ids: [19, 3, 2] }],
  },
];
/** Tokens in the loss of each completion of each group. */
const lengths = [[3], [1, 3, 2], [2, 4, 2, 3]];
/** By completion: of its reward over its group's. */
const advantages = [[0.5], [-1, 0.25, 0.75], [1, -0.5, -0.25, -0.25]];
/** By token. Near the log-probs of an untrained model, −ln 32: ratios lie on both sides of the clip. */
const oldLogps = lengths.map((group, g) =>
  pattern(
    `old ${g}`,
    group.reduce((sum, tokens) => sum + tokens),
  ).map((x) => -3.4 + x),
);
const clip = 0.2;

/**
 * A clipped policy gradient: the mean over groups, over a group's completions and over a completion's tokens of
 * −min(ρ A, clip(ρ, 1 ± ε) A) with ρ = exp(logp − oldLogp).
 */
const clipped: CompletionObjective = {
  name: "clipped",
  over: "groups",
  columns: { advantages: "completion", oldLogps: "token" },
  evaluate(completions, totals) {
    const { logps, completion, lengths: tokens, groupSizes, columns } = completions;
    const [advantage, old] = [columns["advantages"] as Tensor, columns["oldLogps"] as Tensor];
    const ratio = ops.exp(ops.sub(logps, old));
    const byToken = ops.indexSelect(advantage, 0, completion);
    const free = ops.mul(ratio, byToken);
    const bound = ops.mul(ops.clamp(ratio, 1 - clip, 1 + clip), byToken);
    const means = ops.div(sumByCompletion(ops.where(ops.lt(bound, free), bound, free), completions), tokens);
    const sizes = tensor(groupSizes, [groupSizes.length], { dtype: "float64" });
    const weighted = ops.div(means, ops.indexSelect(sizes, 0, groupIndex(completions)));
    return {
      loss: ops.mul(ops.sum(weighted), -1 / totals.groups),
      metrics: {
        ratio: meanOf(ratio),
        clip_fraction: shareOf(ops.lt(bound, free)),
        "lengths/completions": meanOf(tokens, totals.micro.completions),
      },
    };
  },
};

function batchOf(groups: readonly number[]): MicroBatch {
  const pick = <T>(values: readonly T[]) => groups.map((g) => values[g] as T);
  return {
    packed: packExamples(pick(examples)),
    indices: groups,
    columns: {
      advantages: pick(advantages).flat(),
      oldLogps: Float32Array.from(pick(oldLogps).flatMap((values) => [...values])),
    },
  };
}

interface Outcome {
  loss: number;
  metrics: Record<string, number>;
  grads: Map<string, number[]>;
}

/** One step, and the gradients that its update was given. */
function stepped(cut: readonly (readonly number[])[], logits_kept_mib: number | null = null): Outcome {
  using _ = scope();
  const model = tinyModel("llama_untied");
  const parameters = trainAll(model);
  const grads = new Map<string, number[]>();
  const optimizer = new AdamW(parameters, {
    adam_beta1: 0.9,
    adam_beta2: 0.999,
    adam_epsilon: 1e-8,
    weight_decay: 0,
  });
  const update = optimizer.step.bind(optimizer);
  optimizer.step = (...given) => {
    for (const { name, tensor: parameter } of parameters) grads.set(name, parameter.grad?.toNumbers() ?? []);
    update(...given);
  };
  const training: Training = {
    ...{ model, adapter: null, parameters, objective: clipped, optimizer },
    numerics: { dtype: "float32", gradient_checkpointing: false, logits_chunk_size: null, logits_kept_mib },
    max_grad_norm: 0,
    reference: null,
  };
  const before = parameters.shards.map(({ tensor: parameter }) => parameter.toNumbers());
  const { loss, metrics, skipped } = trainStep(training, cut.map(batchOf), {
    ...{ learningRate: 1e-2, seed: 1, log_entropy: true },
  });
  assert.equal(skipped, null);
  const moved = parameters.shards.some(({ tensor: parameter }, i) =>
    parameter.toNumbers().some((x, k) => x !== before[i]?.[k]),
  );
  assert.ok(moved, "the step moved the weights");
  return { loss, metrics, grads };
}

/** The same by autograd through the model run plainly, each completion in a loop of its own. */
function plain(): Outcome {
  using _ = scope();
  const model = tinyModel("llama_untied");
  const parameters = trainAll(model);
  const terms = examples.flatMap((example, g) => groupTerms(model, example, g));
  const total = ops.sum(ops.stack(terms));
  backward([total]);
  return { loss: total.item(), metrics: {}, grads: gradsOf(parameters) };
}

function gradsOf(parameters: ParameterSet): Map<string, number[]> {
  return new Map(
    parameters.shards.map(({ name, tensor: parameter }) => {
      const grad = parameter.grad?.toNumbers() ?? [];
      parameter.grad = null;
      return [name, grad];
    }),
  );
}

/** The terms of one group's completions, each behind a copy of its prompt. */
function groupTerms(model: CausalLM, example: Example, g: number): Tensor[] {
  let first = 0;
  return example.completions.map((completion, c) => {
    const batch = toDevice(packExamples([{ ...example, completions: [completion] }]), "cpu");
    const rows = ops.indexSelect(model.hiddenStates(batch, "float32"), 0, batch.predictors);
    const logits = ops.linear(rows, model.lm_head.weight);
    const picked = ops.squeeze(ops.gather(logits, 1, ops.unsqueeze(batch.targets, 1)), 1);
    const logps = ops.sub(picked, ops.logsumexp(logits, [1]));
    const tokens = lengths[g]?.[c] ?? 0;
    assert.equal(logps.numel, tokens);
    const old = tensor(Float32Array.from(oldLogps[g]?.slice(first, first + tokens) ?? []));
    first += tokens;
    const advantage = advantages[g]?.[c] ?? Number.NaN;
    const ratio = ops.exp(ops.sub(logps, old));
    const free = ops.mul(ratio, advantage);
    const bound = ops.mul(ops.clamp(ratio, 1 - clip, 1 + clip), advantage);
    const excess = ops.relu(ops.sub(free, bound));
    return ops.div(ops.neg(ops.mean(ops.sub(free, excess))), examples.length * example.completions.length);
  });
}

const size = (values: readonly number[]) => Math.sqrt(values.reduce((sum, x) => sum + x * x, 0));

function assertSame(got: Outcome, want: Outcome): void {
  assertClose(got.loss, want.loss, { rtol: 1e-5, atol: 1e-7 });
  assert.deepEqual([...got.grads.keys()], [...want.grads.keys()]);
  for (const [name, grad] of want.grads) {
    assert.ok(size(grad) > 0, `${name}: the test would see nothing`);
    assertClose(got.grads.get(name) ?? [], grad, { atol: 2e-5 * size(grad) });
  }
}

test("loss and gradients are those of plain autograd", () => {
  withoutLeaks(() => assertSame(stepped([[0, 1, 2]]), plain()));
});

test("the step is the same however it is cut", () => {
  withoutLeaks(() => {
    const once = stepped([[0, 1, 2]]);
    assert.equal(once.metrics["lengths/completions"], 20 / 8);
    assert.ok((once.metrics["clip_fraction"] ?? 0) > 0 && (once.metrics["clip_fraction"] ?? 1) < 1);
    for (const cut of [
      [[0], [1], [2]],
      [[2, 0], [1]],
      [[1, 2], [0]],
    ]) {
      const parts = stepped(cut);
      assertSame(parts, once);
      for (const [name, value] of Object.entries(once.metrics)) {
        assertClose(parts.metrics[name] ?? Number.NaN, value, { rtol: 1e-5 });
      }
    }
    // a trained head that keeps the probabilities of a few rows at a time cuts between groups, never in one
    assertSame(stepped([[0, 1, 2]], (7 * 4 * 32) / 2 ** 20), once);
  });
});

test("a column that is missing or of another length is refused by name", () => {
  withoutLeaks(() => {
    using _ = scope();
    const training = tinyTraining("llama_untied", "full", clipped);
    const run = (columns: MicroBatch["columns"]) =>
      trainStep(training, [{ ...batchOf([1]), columns: columns ?? {} }], {
        ...{ learningRate: 0, seed: 1, log_entropy: false },
      });
    const advantage = [1, 2, 3];
    assert.throws(
      () => run({ advantages: advantage }),
      /clipped needs the column "oldLogps", 6 numbers.*got none/,
    );
    assert.throws(
      () => run({ advantages: [1, 2], oldLogps: new Float32Array(6) }),
      /"advantages", 3 numbers, one for each completion, and got 2/,
    );
  });
});
