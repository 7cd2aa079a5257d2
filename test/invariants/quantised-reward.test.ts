/** Reward and value models on weights in fewer bits: their linears are held as asked for wherever such a model is loaded. */
import assert from "node:assert/strict";
import { cpSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { loadModel } from "../../src/models/load.ts";
import { loadRewardModel } from "../../src/models/load-reward-model.ts";
import { namedModules } from "../../src/nn/module.ts";
import { EightBitLinear, FourBitLinear } from "../../src/nn/quantised-linear.ts";
import { merge } from "../../src/recipes/merge.ts";
import { scoreRewards } from "../../src/recipes/score-rewards.ts";
import { scope } from "../../src/torch/index.ts";
import { fixturePath } from "../support/fixture-files.ts";
import { onlineFixture } from "../support/online-run.ts";
import { runTraining, type Values } from "../support/runs.ts";
import { pairRows, writeRows } from "../support/tiny-model.ts";

const fixture = onlineFixture();
after(() => fixture[Symbol.dispose]());
const base = String(fixture.values["model_name_or_path"]);
const pairs = writeRows(fixture.path("pairs.jsonl"), pairRows(8));
const machine = { device: "cpu", dtype: "float32", threads: 1 } as const;
const quantise = { bits: 4, quantType: "nf4", doubleQuant: false, skipModules: [] } as const;

/** How many modules of the class a model has. */
function count(model: object, kind: typeof FourBitLinear | typeof EightBitLinear): number {
  return [...namedModules(model)].filter(({ module }) => module instanceof kind).length;
}

/** What `work` gives, and how many matrices in 4 bits computed in it. */
async function fourBitsIn<T>(work: () => Promise<T>): Promise<{ result: T; matrices: number }> {
  const seen = new Set<object>();
  const { forward } = FourBitLinear.prototype;
  FourBitLinear.prototype.forward = function (x) {
    seen.add(this.codes);
    return forward.call(this, x);
  };
  try {
    return { result: await work(), matrices: seen.size };
  } finally {
    Reflect.deleteProperty(FourBitLinear.prototype, "forward");
  }
}

const linears = (() => {
  using _ = scope();
  return count(loadModel(base, { quantise }), FourBitLinear);
})();

test("a language model, and a reward model, become one with linears in few bits", () => {
  using _ = scope();
  assert.ok(linears > 0);
  const fresh = loadRewardModel(base, { quantise, newScore: "zero" });
  assert.equal(count(fresh, FourBitLinear), linears);
  const eight = loadRewardModel(base, { quantise: { bits: 8, skipModules: [] }, newScore: "normal" });
  assert.equal(count(eight, EightBitLinear), linears);
});

test("a directory that bitsandbytes saved stays as it is stored", () => {
  using _ = scope();
  const dir = fixture.path("nf4");
  cpSync(fixturePath("qwen3", "model"), dir, { recursive: true });
  cpSync(join(import.meta.dirname, "../fixtures/bitsandbytes/nf4"), dir, { recursive: true });
  const stored = count(loadModel(dir), FourBitLinear);
  assert.ok(stored > 0);
  assert.equal(count(loadRewardModel(dir, { newScore: "zero" }), FourBitLinear), stored);
});

const lora: Values = { use_peft: true, lora_r: 4, load_in_4bit: true, learning_rate: 1e-2, max_steps: 2 };

test("objective: reward with load_in_4bit; its adapter is scored and merged on the same weights", async () => {
  const dir = fixture.path("reward");
  const reward = {
    ...fixture.values,
    objective: "reward",
    train_data: pairs,
    per_device_train_batch_size: 4,
  };
  const trained = await fourBitsIn(() => runTraining({ ...reward, ...lora, output_dir: dir }));
  // those of the training and those of the check of the export
  assert.equal(trained.matrices, 2 * linears);
  const adapter = join(dir, "adapter");
  const rewards = async (held: typeof quantise | null) =>
    fourBitsIn(() => scoreRewards({ ...machine, model: base, adapter, data: pairs, quantise: held }));
  const onBits = await rewards(quantise);
  assert.equal(onBits.matrices, linears);
  assert.notDeepEqual((await rewards(null)).result.rows, onBits.result.rows);
  const output = fixture.path("merged");
  const { threads, device } = machine;
  const files = { threads, device, model: base, adapter, output, quantise, exportDtype: "float32" } as const;
  const merged = await merge(files);
  assert.ok(merged.fromFewerBits !== null && merged.fromFewerBits.held < merged.fromFewerBits.written);
  const again = await scoreRewards({ ...machine, model: output, data: pairs });
  for (const [i, row] of again.rows.entries()) {
    const want = onBits.result.rows[i]?.["reward/chosen"] ?? Number.NaN;
    assert.ok(Math.abs(row["reward/chosen"] - want) < 1e-4);
  }
  assert.equal(readFileSync(join(output, "config.json"), "utf8").includes("quantization_config"), false);
});

test("PPO's value model is held as the policy is", async () => {
  const ppo: Values = { ...fixture.online, objective: "ppo", num_ppo_epochs: 1, num_mini_batches: 1 };
  const run = (objective: Values, output_dir: string) =>
    fourBitsIn(() =>
      runTraining({ ...objective, ...lora, max_steps: 1, output_dir: fixture.path(output_dir) }),
    );
  const { matrices: ofPolicy } = await run(fixture.online, "grpo");
  const { matrices } = await run(ppo, "ppo");
  assert.ok(ofPolicy >= linears);
  assert.equal(matrices, ofPolicy + 2 * linears);
});
