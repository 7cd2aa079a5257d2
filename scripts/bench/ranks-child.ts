/** Child program, `ranks-child.ts PLAN`: one rank of our trainer on the benchmark's rows; one JSON line (`RankRecord`). */
import { readFileSync } from "node:fs";
import { at } from "../../src/base/at.ts";
import { planEpoch } from "../../src/data/batches.ts";
import type { Example } from "../../src/data/example.ts";
import { packExamples } from "../../src/data/packing.ts";
import { readLaunch } from "../../src/distributed/launch.ts";
import { RankGroup } from "../../src/distributed/rank-group.ts";
import { readModelConfig } from "../../src/formats/hf-config.ts";
import type { MicroBatch } from "../../src/forward/batch.ts";
import { simpo } from "../../src/methods/simpo/loss.ts";
import { loadModel } from "../../src/models/load.ts";
import { AdamW } from "../../src/optim/adamw.ts";
import { everything } from "../../src/planner/trained-parts.ts";
import { rowCost } from "../../src/recipes/row-cost.ts";
import { setThreads } from "../../src/torch/index.ts";
import { trainAll } from "../../src/train/parameters.ts";
import { prepareSharded } from "../../src/train/prepare-sharded.ts";
import { rankLayout } from "../../src/train/rank-layout.ts";
import { RankMeter } from "../../src/train/rank-meter.ts";
import { type Training, trainStep } from "../../src/train/step.ts";
import { barePeakMb, peakMb } from "./peak.ts";
import type { RankPlan, RankRecord } from "./rank-record.ts";
import { readRows } from "./workload.ts";

/** Bytes received on the loopback interface so far. */
function loopbackBytes(): number {
  return Number(/^\s*lo:\s*(\d+)/m.exec(readFileSync("/proc/net/dev", "utf8"))?.[1] ?? 0);
}

/** The model and its training, in full, as the ranks share it. */
function trainingOf({ modelDir, way }: RankPlan, group: RankGroup | null): Training {
  const settings = { adam_beta1: 0.9, adam_beta2: 0.999, adam_epsilon: 1e-8, weight_decay: 0 };
  const numerics = { dtype: "float32", gradient_checkpointing: false, logits_chunk_size: null } as const;
  const objective = simpo({ beta: 2, simpo_gamma: 1, label_smoothing: 0, cpo_alpha: 0 });
  const rest = { adapter: null, objective, numerics, max_grad_norm: 1, reference: null };
  const layout =
    group === null ? null : rankLayout(group, way === "none" ? "none" : "all", new DisposableStack());
  const ranks =
    group === null || layout === null
      ? null
      : { group, replicas: layout.replicas, sharers: layout.once, meter: new RankMeter(group) };
  if (ranks === null || layout?.sharers == null) {
    const model = loadModel(modelDir, { copy: true });
    const parameters = trainAll(model);
    const optimizer = new AdamW(parameters, settings);
    return {
      ...rest,
      model,
      parameters,
      optimizer,
      ranks: ranks === null ? null : { ...ranks, sharded: null },
    };
  }
  const environment = { device: "cpu", dtype: "float32", threads: 1, matmul: "torch" } as const;
  const selection = { ...fullTuning, model_name_or_path: modelDir, baseModel: modelDir };
  const shared = { group: layout.sharers, keep_gathered: way === "all-kept" };
  const { model, parameters, sharded } = prepareSharded(selection, environment, shared);
  const optimizer = new AdamW(parameters, settings);
  return { ...rest, model, parameters, optimizer, ranks: { ...ranks, sharded } };
}

const fullTuning = {
  ...{ use_peft: false, lora_r: 16, lora_alpha: 16, lora_dropout: 0, use_rslora: false, use_dora: false },
  ...{ lora_target_modules: "all-linear" as const, lora_modules_to_save: [], disable_dropout: false },
  adapter_name_or_path: null,
};

/** The micro-batches of each rank, by step. */
function stepsOf(plan: RankPlan, ranks: number): MicroBatch[][][] {
  const rows = readRows(plan.workload);
  const examples = Array.from({ length: plan.steps * plan.pairs }, (_, line): Example => {
    const { prompt_ids, chosen_ids, rejected_ids } = at(rows, line % rows.length);
    return {
      origin: { file: plan.workload, line: line + 1 },
      promptIds: prompt_ids,
      completions: [{ ids: chosen_ids }, { ids: rejected_ids }],
    };
  });
  const cost = rowCost(examples, readModelConfig(plan.modelDir), { trained: everything, share_prompt: true });
  const sizes = { train_batch_size: plan.pairs, per_device_train_batch_size: plan.microBatch };
  const steps = planEpoch(examples, examples.keys(), {
    ...sizes,
    gradient_accumulation_steps: 1,
    ranks,
    cost,
  });
  return steps.map((step) =>
    step
      .byRank()
      .map((own) =>
        own.map((indices) => ({ packed: packExamples(indices.map((i) => at(examples, i))), indices })),
      ),
  );
}

async function run(plan: RankPlan): Promise<RankRecord> {
  setThreads(plan.threads);
  const bareMb = barePeakMb();
  const launch = readLaunch();
  const group =
    launch === null ? null : await RankGroup.join(launch, { rank_start_timeout: 300, rank_timeout: 120 });
  const rank = group?.rank ?? 0;
  const training = trainingOf(plan, group);
  const record: RankRecord = { rank, losses: [], cpuSeconds: [], seconds: [], bytes: [], peakMb: 0, bareMb };
  for (const byRank of stepsOf(plan, group?.size ?? 1)) {
    group?.barrier();
    const bytes = loopbackBytes();
    const [cpu, began] = [process.cpuUsage(), performance.now()];
    const how = { learningRate: 1e-5, seed: 1, log_entropy: false, all: byRank.flat() };
    const { loss } = trainStep(training, at(byRank, rank), how);
    group?.barrier();
    const { user, system } = process.cpuUsage(cpu);
    record.losses.push(loss);
    record.cpuSeconds.push((user + system) / 1e6);
    record.seconds.push((performance.now() - began) / 1000);
    record.bytes.push(loopbackBytes() - bytes);
  }
  record.peakMb = peakMb();
  group?.[Symbol.dispose]();
  return record;
}

const record = await run(JSON.parse(process.argv[2] ?? "{}"));
process.stdout.write(`${JSON.stringify(record)}\n`);
