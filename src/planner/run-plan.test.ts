/** Tests of run-plan.ts and what it is made of: sums, limits, side by side, words. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { input, pair } from "../../test/support/plan-inputs.ts";
import { ConfigError } from "../base/errors.ts";
import { type ComputeType, gpuListedAs, gpuNamed, gpus, usableBytes } from "./devices.ts";
import { componentNames, planMemory } from "./memory.ts";
import { memorySetup } from "./memory-setup.ts";
import { longestPair } from "./plan-input.ts";
import { formatPlan } from "./plan-text.ts";
import { type Plan, planRun } from "./run-plan.ts";

/** Changes of 8B's shape that make it 70B's. */
const big = {
  num_hidden_layers: 80,
  hidden_size: 8192,
  intermediate_size: 28_672,
  num_attention_heads: 64,
};

function methodOf(plan: Plan, method: string): Plan["methods"][number] {
  const found = plan.methods.find((one) => one.method === method);
  assert.ok(found !== undefined);
  return found;
}

test("the components add up to the total", () => {
  for (const changes of [{}, { lora: true }, { run: { gradient_checkpointing: true } }]) {
    const { components, total } = planRun(input(changes)).memory;
    assert.equal(
      componentNames.reduce((sum, name) => sum + components[name], 0),
      total,
    );
  }
});

test("the largest batch fits, and one row more does not", () => {
  const given = input({ lora: true, run: { gradient_checkpointing: true } });
  const { methods } = planRun(given);
  const largest = methods[0]?.largestBatch ?? 0;
  assert.ok(largest > 1 && largest < 1000, `${largest}`);
  const total = (size: number) => planMemory(memorySetup(given), given.workload.microBatch(size)).total;
  const limit = usableBytes(given.device);
  assert.ok(total(largest) <= limit && total(largest + 1) > limit);
});

test("half of the blocks computed again keep about half and cost half; offloading and early updates save more", () => {
  const planned = (run: Record<string, unknown>, lora = true) => planRun(input({ run, lora }));
  const kept = planned({});
  const all = planned({ gradient_checkpointing: true });
  const half = planned({ gradient_checkpointing: true, gradient_checkpointing_blocks: 16 });
  const away = planned({ gradient_checkpointing: true, activation_offloading: true });
  const activations = (plan: Plan) => plan.memory.components.activations;
  const middle = (activations(kept) + activations(all)) / 2;
  assert.ok(Math.abs(activations(half) / middle - 1) < 0.1);
  assert.equal(half.flops.recompute, all.flops.recompute / 2);
  assert.ok(activations(away) < activations(all));
  const checkpointing = { gradient_checkpointing: true, max_grad_norm: 0 };
  const late = planned(checkpointing, false);
  const early = planned({ ...checkpointing, optimizer_in_backward: true }, false);
  assert.ok(early.memory.total < late.memory.total - 2 * 8_030_261_248);
});

test("checkpointing keeps less and costs the blocks' forward pass", () => {
  const kept = planRun(input({ lora: true }));
  const again = planRun(input({ lora: true, run: { gradient_checkpointing: true } }));
  assert.ok(again.memory.components.activations < kept.memory.components.activations / 3);
  const more = (methodOf(again, "slime").flopsPerPair ?? 0) - (methodOf(kept, "slime").flopsPerPair ?? 0);
  assert.equal(more, again.flops.recompute);
});

test("a live reference costs a forward pass a step, a precomputed one a pass over the rows, the others nothing", () => {
  const plan = planRun(input({ lora: true, run: { num_train_epochs: 3 } }));
  const speed = 989e12 * 0.4;
  const { training, reference } = plan.flops;
  assert.equal(methodOf(plan, "dpo-live").flopsPerPair, training + reference);
  assert.equal(methodOf(plan, "dpo-precomputed").flopsPerPair, training);
  const seconds = (method: string) => methodOf(plan, method).runSeconds ?? Number.NaN;
  const close = (a: number, b: number) => assert.ok(Math.abs(a - b) < 1e-9 * b, `${a} and ${b}`);
  close(seconds("slime"), (3000 * training) / speed);
  close(seconds("simpo"), seconds("slime"));
  close(seconds("dpo-precomputed"), (3000 * training + 1000 * reference) / speed);
  close(seconds("dpo-live"), (3000 * (training + reference)) / speed);
  assert.equal(methodOf(plan, "slime").isOwn, true);
});

test("a KL on mismatched rows costs a pass of the model and one of the reference; predicted prompts are work of the head", () => {
  const own = (run: Record<string, unknown>) => {
    const plan = planRun(input({ lora: true, run }));
    return { plan, method: plan.methods.find(({ isOwn }) => isOwn) };
  };
  const plain = own({ objective: "kto", loss_type: "apo_zero_unpaired", precompute_ref_log_probs: false });
  const kl = own({ objective: "kto", precompute_ref_log_probs: false });
  const { flops } = kl.plan;
  assert.equal(kl.method?.flopsPerPair, (plain.method?.flopsPerPair ?? 0) + flops.kl + flops.reference);
  assert.match(formatPlan(kl.plan), /for the KL estimate/);
  const before = own({ objective: "kto", num_train_epochs: 2 });
  const without = own({ objective: "kto", loss_type: "apo_zero_unpaired", num_train_epochs: 2 });
  const more = (before.method?.runSeconds ?? 0) - (without.method?.runSeconds ?? 0);
  const work = (more / 2000) * gpuNamed("h100").peaks.bfloat16 * 0.4;
  assert.ok(Math.abs(work / (flops.kl + flops.reference) - 1) < 1e-9, `${more}`);
  const [paper, trl] = ["paper", "trl"].map(
    (preset) => own({ objective: "orpo", preset }).plan.flops.training,
  );
  assert.equal((trl ?? 0) - (paper ?? 0), 4 * 4096 * 128_256 * (pair.prompt - 1));
});

test("full tuning has no live reference, and the plan says so", () => {
  const plan = planRun(input());
  const live = methodOf(plan, "dpo-live");
  assert.equal(live.flopsPerPair, null);
  assert.match(live.refused ?? "", /full tuning/);
  assert.match(formatPlan(plan), /DPO, live reference: in full tuning/);
});

test("max_steps decides the time; without a number of rows there is none", () => {
  const stepped = planRun(
    input({ lora: true, run: { max_steps: 10, gradient_accumulation_steps: 4 }, pairs: null }),
  );
  const { flopsPerPair, runSeconds } = methodOf(stepped, "slime");
  assert.ok(Math.abs((runSeconds ?? 0) - (80 * (flopsPerPair ?? 0)) / (989e12 * 0.4)) < 1e-6);
  assert.equal(methodOf(planRun(input({ lora: true, pairs: null })), "slime").runSeconds, null);
});

test("70B in full on eight H100: nothing fits, and the plan says what would", () => {
  const plan = planRun(input({ model: big, count: 8 }));
  assert.equal(plan.memory.fits, false);
  assert.ok(plan.methods.every(({ largestBatch }) => largestBatch === 0 || largestBatch === null));
  const fitting = plan.advice.filter(({ fits }) => fits).map(({ change }) => change);
  const smallest = "per_device_train_batch_size: 1, gradient_accumulation_steps: 2";
  assert.ok(fitting.includes(`use_peft: true, gradient_checkpointing: true, ${smallest}`), fitting.join());
  assert.ok(fitting.includes(`${smallest} on 32 such GPUs (--count 32)`), fitting.join());
  const text = formatPlan(plan);
  assert.match(text, /shard: all, keep_gathered: false does not fit: .*; the others need no less\./);
});

test("the fewest H100 for 8B and 70B, in micro-batches of 8 pairs of 1,000 tokens: what docs/distributed.md says", () => {
  const run = { gradient_checkpointing: true, per_device_train_batch_size: 8 };
  const microBatch = (size: number) =>
    Array.from({ length: size }, () => ({ prompt: 400, chosen: 300, rejected: 300 }));
  const fits = (hosts: number[], changes: Parameters<typeof input>[0]) => {
    const given = input({ run, ...changes });
    const workload = { ...given.workload, mean: microBatch(1)[0] ?? pair, own: microBatch(8), microBatch };
    return planRun({ ...given, workload, cluster: { ...given.cluster, hosts } }).memory.fits;
  };
  for (const [least, less, changes] of [
    [[2], [1], {}],
    [[8, 8, 8], [8, 8], { model: big }],
    [[3], [2], { model: big, lora: true, rank: 64 }],
  ] as const) {
    assert.deepEqual(
      [fits([...least], changes), fits([...less], changes)],
      [true, false],
      JSON.stringify(changes),
    );
  }
});

test("a model for no GPU of the table: as many as share it", () => {
  const huge = {
    num_hidden_layers: 120,
    hidden_size: 16_384,
    intermediate_size: 57_344,
    num_attention_heads: 128,
  };
  const plan = planRun(input({ model: huge, lora: true }));
  const shared = plan.advice.find(({ change }) => /on \d+ such GPUs \(--count \d+\)/.test(change));
  assert.ok(shared?.fits === true, JSON.stringify(plan.advice));
});

test("what does not fit because of its batch is told the batch that does", () => {
  const plan = planRun(input({ lora: true, gpu: "rtx4090" }));
  assert.equal(plan.memory.fits, false);
  const [first] = plan.advice;
  assert.ok(first?.fits === true, JSON.stringify(plan.advice));
});

test("supervised rows are planned alone", () => {
  const plan = planRun(input({ lora: true, run: { objective: "sft" } }));
  assert.deepEqual(
    plan.methods.map(({ method, isOwn }) => [method, isOwn]),
    [["sft", true]],
  );
});

test("the longest row has the data's proportions and max_length tokens", () => {
  const longest = longestPair({ prompt: 100, chosen: 300, rejected: 200 }, 1024);
  assert.deepEqual(longest, { prompt: 256, chosen: 768, rejected: 768 });
});

test("an unknown GPU is refused with the nearest name", () => {
  assert.throws(
    () => gpuNamed("h1000"),
    (error) => error instanceof ConfigError && /Did you mean "h100"/.test(error.message),
  );
  assert.equal(gpuNamed("A100").id, "a100-80g");
});

test("GPUs as nvidia-smi lists them", () => {
  assert.equal(gpuListedAs("NVIDIA A100-SXM4-40GB", 40_960)?.id, "a100-40g");
  assert.equal(gpuListedAs("NVIDIA A100-SXM4-80GB", 81_920)?.id, "a100-80g");
  assert.equal(gpuListedAs("NVIDIA H200", 143_771)?.id, "h200");
  assert.equal(gpuListedAs("NVIDIA GeForce RTX 4090", 24_564)?.id, "rtx4090");
  assert.equal(gpuListedAs("NVIDIA L40S", 46_068)?.id, "l40s");
  assert.equal(gpuListedAs("NVIDIA H100 80GB HBM3", 81_559)?.id, "h100");
  assert.equal(gpuListedAs("NVIDIA H100 PCIe", 81_559)?.id, "h100-pcie");
  assert.equal(gpuListedAs("NVIDIA RTX 6000 Ada Generation", 49_140)?.id, "rtx6000-ada");
  assert.equal(gpuListedAs("NVIDIA A100-SXM4-80GB", null)?.memoryBytes, 40_960 * 2 ** 20);
  for (const other of [
    ...["Tesla T4", "NVIDIA A10G", "NVIDIA H100 NVL", "NVIDIA RTX PRO 6000 Blackwell Server Edition"],
    ...["Quadro RTX 6000", "NVIDIA GeForce RTX 4090 Laptop GPU", "NVIDIA GeForce RTX 4090 D"],
  ])
    assert.equal(gpuListedAs(other, 15_360), null, other);
});

test("float32 on a GPU is planned at float32's peak, a small part of bfloat16's", () => {
  const seconds = (dtype: ComputeType) =>
    methodOf(planRun(input({ lora: true, dtype })), "slime").runSeconds ?? Number.NaN;
  assert.ok(Math.abs(seconds("float32") / seconds("bfloat16") / (989 / 67) - 1) < 1e-9);
  assert.equal(planRun(input({ dtype: "float32" })).device.peakFlops, 67e12);
  assert.equal(planRun(input({ dtype: "float32", gpu: "a100" })).device.peakFlops, 19.5e12);
  assert.equal(planRun(input({ dtype: "float32", gpu: "rtx4090" })).device.peakFlops, 82.6e12);
  for (const { peaks, id } of gpus) assert.ok(peaks.float32 < peaks.bfloat16, id);
});

const small = {
  num_hidden_layers: 30,
  hidden_size: 576,
  intermediate_size: 1536,
  num_attention_heads: 9,
  num_key_value_heads: 3,
  vocab_size: 49_152,
};

test("a small micro-batch of a small model waits for its kernels to be launched, and the plan says so", () => {
  const given = { ...input({ model: small, lora: true, pairs: 13 }), isUtilisationGiven: false };
  const plan = planRun(given);
  assert.equal(plan.launchSeconds, 30 * 150 * 5e-6);
  const slime = methodOf(plan, "slime");
  // two rows a micro-batch
  assert.equal(slime.pairsPerSecond, 2 / plan.launchSeconds);
  assert.ok(plan.reachedShare < 0.4);
  const text = formatPlan(plan);
  assert.match(
    text,
    /A micro-batch of 1,556 tokens is too small, in a model of this size, for 40 % of this GPU's peak.*assumption 23 ms \(5 µs each\)/,
  );
  assert.match(text, /--mfu takes a measured share/);
  // a larger one does not
  const size = 1000;
  const many = { ...given, workload: { ...given.workload, own: given.workload.microBatch(size) } };
  const full = planRun(many);
  assert.equal(
    methodOf(full, "slime").pairsPerSecond,
    (989e12 * 0.4) / (methodOf(full, "slime").flopsPerPair ?? 0),
  );
  assert.doesNotMatch(formatPlan(full), /is too small/);
  // nor one whose share was measured
  assert.equal(planRun({ ...given, isUtilisationGiven: true }).launchSeconds, 0);
});

test("small numbers are told in units that people read", () => {
  const text = formatPlan(planRun(input({ model: small, lora: true, pairs: 1 })));
  assert.match(text, /SLIME .* ms +under 0\.01$/m);
  assert.doesNotMatch(text, /\b0\.0 s|\de-\d|0\.000/);
});

test("an on-policy run has the cache of its rollout, or a step, whichever is more, and a second model where it needs one", () => {
  const rollouts = {
    ...{ objective: "grpo", reward_funcs: ["exact"], num_generations: 8, per_device_train_batch_size: 8 },
    ...{ gradient_accumulation_steps: 16, max_completion_length: 4096 },
  };
  const cached = (run: Record<string, unknown>) => {
    const given = input({ lora: true, run: { ...rollouts, ...run } });
    const row = { prompt: 25, chosen: 4096, rejected: 0 };
    const own = given.workload;
    return planRun({
      ...given,
      workload: { ...own, mean: row, own: [row], microBatch: (n) => Array(n).fill(row) },
    });
  };
  const { memory, rows } = cached({});
  // 16 prompts of 200 tokens with 8 completions each; keys and values of 32 layers with 8 heads of 128 in bfloat16
  assert.equal(memory.moment, "sampling a rollout");
  assert.equal(memory.components.cache, 2 * 32 * 8 * 128 * 2 * (16 * 200 + 128 * 4096));
  assert.equal(memory.components.reference, 0);
  assert.ok(rows.ofRollout);
  assert.equal(cached({ max_completion_length: 16 }).memory.components.cache, 0);
  // whatever scores them
  assert.equal(
    cached({ reward_funcs: null, reward_model: "rm" }).memory.components.cache,
    memory.components.cache,
  );
  const mini = { ...{ objective: "ppo", num_mini_batches: 2 }, gradient_accumulation_steps: 4 };
  assert.equal(cached(mini).memory.components.cache, 2 * 32 * 8 * 128 * 2 * (8 * 200 + 64 * 4096));
  const full = planRun(input({ run: { ...rollouts, beta: 0.1 } }));
  // all weights in float32, as what is trained has them, and copies of the matrices in bfloat16
  const copied = 32 * (2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 14336) + 128_256 * 4096;
  assert.equal(full.memory.components.reference, 4 * 8_030_261_248 + 2 * copied);
  assert.equal(planRun(input({ run: rollouts })).memory.components.reference, 0);
  // ahead, another process holds the cache, and weights of its own
  const ahead = cached({ max_staleness: 1 }).memory;
  assert.equal(ahead.components.cache, 0);
  const { process, weights } = ahead.components;
  assert.ok(ahead.components.sampler > process + weights + memory.components.cache);
  assert.equal(memory.components.sampler, 0);
  assert.match(
    formatPlan(full),
    /On-policy: a row is a completion .* how long sampling and scoring take is not known/,
  );
});

test("PPO has a value model beside the policy: the layers again with a row of weights, trained as the policy is; and what scores", () => {
  const run = {
    objective: "ppo",
    reward_funcs: ["exact"],
    num_generations: 8,
    per_device_train_batch_size: 8,
  };
  const embedding = 128_256 * 4096;
  const blocks = 32 * (2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 14336);
  const layers = 8_030_261_248 - embedding;
  const full = planRun(input({ run })).memory.components;
  // float32, two averages, copies of the blocks' matrices in bfloat16: the embedding is looked up alone
  assert.equal(full.valueModel, (4 + 8) * (layers + 4096) + 2 * blocks);
  assert.equal(full.rewardModel, 0);
  assert.ok(full.reference > 0);
  assert.equal(planRun(input({ run: { ...run, kl_coef: 0 } })).memory.components.reference, 0);

  const given = input({ lora: true, run });
  const lora = planRun({ ...given, rewardModel: given.model }).memory.components;
  const { adapter } = planRun(given).parameters;
  // frozen layers in bfloat16; adapter and value head in float32 with bfloat16 copies and two averages
  assert.equal(lora.valueModel, 2 * layers + (4 + 2 + 8) * (adapter + 4096));
  assert.equal(lora.rewardModel, 2 * (layers + 4096));
  assert.equal(lora.reference, 0);
  const continued = planRun({ ...given, keys: { ...given.keys, adapter_name_or_path: "a" } }).memory
    .components;
  assert.equal(continued.reference, 2 * 8_030_261_248 + (4 + 2) * adapter);
  assert.equal(
    planRun(input({ lora: true, run: { ...run, objective: "grpo" } })).memory.components.valueModel,
    0,
  );
});
