/** GRPO's bonus for entropy: loss and gradients of the tiny models against plain PyTorch, however step and head are cut. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, test } from "node:test";
import { grpo } from "../../src/methods/grpo/loss.ts";
import { rolloutBatches } from "../../src/online/rollout-batches.ts";
import { AdamW } from "../../src/optim/adamw.ts";
import { readMetrics } from "../../src/runs/metrics.ts";
import { noGrad, ops } from "../../src/torch/index.ts";
import { trainAll } from "../../src/train/parameters.ts";
import { trainStep } from "../../src/train/step.ts";
import { assertClose, withoutLeaks } from "../support/close.ts";
import { fixtureModel } from "../support/fixtures.ts";
import { golden } from "../support/goldens.ts";
import { grpoOptionsOf, onlineBatch, onlineFamilies } from "../support/online-fixtures.ts";
import { onlineFixture } from "../support/online-run.ts";
import { filesOf, runTraining } from "../support/runs.ts";
import { fixtureRollout } from "../support/scored-rollout.ts";

interface Golden {
  families: Record<
    string,
    {
      entropy_coef: number;
      temperature: number;
      loss: number;
      policy_loss: number;
      entropy: number;
      grad_norm: number;
      parameters: Record<string, number>;
    }[]
  >;
}

/** Keeps the norm of each gradient, and updates nothing. */
class Norms extends AdamW {
  readonly found: Record<string, number> = {};
  readonly #parameters: ReturnType<typeof trainAll>;

  constructor(parameters: ReturnType<typeof trainAll>) {
    super([], { adam_beta1: 0, adam_beta2: 0, adam_epsilon: 0, weight_decay: 0 });
    this.#parameters = parameters;
  }

  override step(): void {
    noGrad(() => {
      for (const { name, tensor } of this.#parameters)
        if (tensor.grad !== null) this.found[name] = Math.hypot(...tensor.grad.toNumbers());
    });
  }
}

for (const family of onlineFamilies) {
  test(`${family}: loss, policy_loss, entropy and gradients are plain PyTorch's`, () => {
    withoutLeaks(() => {
      const model = fixtureModel(family);
      const parameters = trainAll(model);
      const { prompts } = onlineBatch(family);
      const groups = prompts.map(({ prompt_ids, completions }, index) => ({
        index,
        example: { origin: { file: family, line: index + 1 }, promptIds: prompt_ids, completions: [] },
        completions: completions.map(({ ids, ended, given_old_logps }) => ({
          ...{ ids, ended, logps: Float32Array.from(given_old_logps), kept: null },
        })),
      }));
      const oldLogps = groups.flatMap(({ completions }) => completions.map(({ logps }) => logps));
      for (const one of golden<Golden>("entropy-bonus").families[family] ?? assert.fail()) {
        const { entropy_coef, temperature } = one;
        const options = { ...grpoOptionsOf({ config: { loss_type: "dapo" }, beta: 0 }), entropy_coef };
        const objective = grpo(options);
        const { columns } = objective.prepare?.(fixtureRollout(family)) ?? assert.fail();
        for (const [size, mib, chunk] of [
          [12, null, null],
          [12, 1e-4, 7],
          [5, 1e-3, 16],
        ] as const) {
          const packing = { per_device_train_batch_size: size, max_tokens_per_micro_batch: null };
          const batches = rolloutBatches(
            groups,
            0,
            { ...columns, oldLogps },
            { ...packing, share_prompt: true, mayCutGroups: true, mask_truncated_completions: false },
          );
          const optimizer = new Norms(parameters);
          const numerics = {
            ...({ dtype: "float32", gradient_checkpointing: false, temperature } as const),
            ...{ logits_chunk_size: chunk, logits_kept_mib: mib },
          };
          const training = { model, adapter: null, parameters, objective, optimizer, numerics };
          const { loss, gradNorm, metrics } = trainStep(
            { ...training, max_grad_norm: 0, reference: null },
            batches,
            { learningRate: 0, seed: 1, log_entropy: false },
          );
          assertClose(loss, one.loss, { atol: 1e-6, rtol: 5e-5 });
          assertClose(metrics["policy_loss"] ?? 0, one.policy_loss, { atol: 1e-6, rtol: 5e-5 });
          assertClose(metrics["entropy"] ?? 0, one.entropy, { rtol: 1e-5 });
          assertClose(metrics["entropy_coef"] ?? 0, entropy_coef, { rtol: 1e-6 });
          assertClose(gradNorm, one.grad_norm, { rtol: 1e-4 });
          for (const [name, norm] of Object.entries(one.parameters))
            assertClose(optimizer.found[name] ?? assert.fail(name), norm, { rtol: 1e-4, atol: 1e-6 });
        }
      }
    });
  });
}

test("without entropies beside the log-probs the objective says what it needs", () => {
  const options = { ...grpoOptionsOf({ config: { loss_type: "dapo" }, beta: 0 }), entropy_coef: 0.1 };
  const logps = ops.zeros([1]);
  const completions = {
    ...{ logps, completion: ops.to(ops.zeros([1]), "int64"), lengths: ops.ones([1]), groupSizes: [1] },
    columns: { advantages: ops.ones([1]) },
  };
  const counts = {
    groups: 1,
    completions: 1,
    tokens: 1,
    tokensByRole: { chosen: 0, rejected: 0, completion: 1 },
  };
  assert.throws(
    () => grpo(options).evaluate(completions, { ...counts, micro: counts }),
    /entropy_coef needs the entropies of tokens/,
  );
});

const fixture = onlineFixture();
after(() => fixture[Symbol.dispose]());

test("an objective of entropies alone trains as one with 0 times the log-probs beside them", async () => {
  const own = grpo({ ...grpoOptionsOf({ config: { loss_type: "dapo" }, beta: 0 }), entropy_coef: 1 });
  const run = async (name: string, times: number | null) => {
    const evaluate: typeof own.evaluate = ({ entropies, logps }) => {
      const loss = ops.neg(ops.sum(entropies ?? assert.fail()));
      return { loss: times === null ? loss : ops.add(loss, ops.mul(ops.sum(logps), times)), metrics: {} };
    };
    const values = { ...fixture.online, output_dir: fixture.path(name), max_steps: 2 };
    await runTraining(values, { objective: { ...own, evaluate } });
    return filesOf(join(values.output_dir, "model"));
  };
  assert.deepEqual(await run("alone", null), await run("beside", 0));
});

for (const [kind, values] of Object.entries({ full: {}, lora: { use_peft: true, lora_r: 4 } })) {
  test(`${kind}: a large bonus raises the entropy of a run, a penalty lowers it`, async () => {
    const last = async (entropy_coef: number) => {
      const outputDir = fixture.path(`${kind}${entropy_coef}`);
      const run = {
        ...fixture.online,
        ...values,
        entropy_coef,
        output_dir: outputDir,
        max_steps: 6,
        learning_rate: 0.02,
      };
      await runTraining({ ...run, log_entropy: true });
      return readMetrics(join(outputDir, "metrics.jsonl")).at(-1) as unknown as Record<string, number>;
    };
    const [bonus, none, penalty] = [await last(5), await last(0), await last(-5)];
    assert.ok(Number(bonus?.["entropy"]) > Number(none?.["entropy"]), JSON.stringify([bonus, none]));
    assert.ok(Number(penalty?.["entropy"]) < Number(none?.["entropy"]), JSON.stringify([penalty, none]));
    assert.equal(bonus?.["entropy_coef"], 5);
    assert.equal(none?.["entropy_coef"], undefined);
    const loss = Number(bonus?.["policy_loss"]) - 5 * Number(bonus?.["entropy"]);
    assert.ok(Math.abs(loss - Number(bonus?.["loss"])) < 1e-5);
  });
}
