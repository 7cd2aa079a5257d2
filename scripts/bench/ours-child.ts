/**
 * Child program: one run of our trainer on the benchmark's rows, one JSON line (`RunRecord`). A process of its own, so
 * that its memory is its own. Takes a `RunPlan` with `objective` as JSON in its only argument.
 */
import { packExamples } from "../../src/data/packing.ts";
import { type Adapter, addAdapter } from "../../src/models/adapt.ts";
import type { CausalLM } from "../../src/models/causal-lm.ts";
import { loadModel } from "../../src/models/load.ts";
import { dpo } from "../../src/objectives/dpo.ts";
import type { Objective } from "../../src/objectives/objective.ts";
import { simpo } from "../../src/objectives/simpo.ts";
import { slime } from "../../src/objectives/slime.ts";
import { AdamW, type NamedParameter } from "../../src/optim/adamw.ts";
import { noGrad, ops, scope, setThreads } from "../../src/torch/index.ts";
import { adapterParameters, trainAll } from "../../src/train/parameters.ts";
import { scoreBatch } from "../../src/train/score.ts";
import { type MicroBatch, type Numerics, type Training, trainStep } from "../../src/train/step.ts";
import type { RunPlan, RunRecord } from "./run-record.ts";
import { readRows, type WorkloadRow } from "./workload.ts";

const objectives: Record<string, () => Objective> = {
  slime: () =>
    slime({
      lambdaW: 0.1,
      lambdaL: 0.0005,
      delta: 1.25,
      marginHard: 1.5,
      marginSoft: 1,
      kappa: 2.5,
      power: 2.5,
      lambdaD: 1,
    }),
  dpo: () => dpo({ beta: 0.1, labelSmoothing: 0, lossType: "sigmoid" }),
  simpo: () => simpo({ beta: 2, simpoGamma: 1, labelSmoothing: 0, cpoAlpha: 0 }),
};

const adapterConfig = {
  rank: 64,
  alpha: 128,
  dropout: 0,
  targetModules: ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
  useRslora: false,
  useDora: false,
  modulesToSave: [],
  baseModel: null,
  bias: "none" as const,
  rankPattern: {},
  alphaPattern: {},
  raw: {},
};

const numerics: Numerics = { dtype: "float32", recompute: false, chunkColumns: null };

function peakMb(): number {
  return process.resourceUsage().maxRSS / 1024;
}

function square(side: number): ReturnType<typeof ops.zeros> {
  return ops.normal_(ops.zeros([side, side], { dtype: "float32" }), 0, 1);
}

/** GFLOP/s of a product of two 1536 × 1536 matrices, best of five. */
function gemmGflops(): number {
  using _ = scope();
  const [a, b] = [square(1536), square(1536)];
  const once = () => {
    using _ = scope();
    const start = performance.now();
    ops.matmul(a, b);
    return (performance.now() - start) / 1000;
  };
  return noGrad(() => (2 * 1536 ** 3) / Math.min(...Array.from({ length: 5 }, once)) / 1e9);
}

/** Rows `first` … of the workload, which starts again when it ends, as one packed batch. */
function batchOf(rows: readonly WorkloadRow[], first: number, count: number): MicroBatch {
  const indices = Array.from({ length: count }, (_, i) => first + i);
  const examples = indices.map((index) => {
    const row = rows[index % rows.length] as WorkloadRow;
    return {
      origin: { file: "workload", line: index + 1 },
      promptIds: row.prompt_ids,
      completions: [{ ids: row.chosen_ids }, { ids: row.rejected_ids }],
    };
  });
  return { packed: packExamples(examples), indices };
}

function trainable(
  model: CausalLM,
  mode: RunPlan["mode"],
): { adapter: Adapter | null; parameters: NamedParameter[] } {
  if (mode === "full") return { adapter: null, parameters: trainAll(model) };
  return { adapter: addAdapter(model, adapterConfig), parameters: adapterParameters(model) };
}

/** Reference sums of all steps' answers, from the model before it is trained. */
function referenceOf(
  model: CausalLM,
  batches: readonly MicroBatch[],
): (batch: MicroBatch) => readonly number[] {
  const sums = new Map(
    batches.map((batch) => [batch.indices[0], scoreBatch(model, batch, numerics).map((s) => s.sum)]),
  );
  return (batch) => sums.get(batch.indices[0]) ?? [];
}

function run(plan: RunPlan & { objective: string }): RunRecord {
  setThreads(plan.threads);
  {
    using _ = scope();
    const small = square(2);
    ops.matmul(small, small);
  }
  const bareMb = peakMb();
  const rows = readRows(plan.workload);
  const model = loadModel(plan.modelDir, { copy: true });
  const { adapter, parameters } = trainable(model, plan.mode);
  const objective = (objectives[plan.objective] as () => Objective)();
  const batch = (step: number) => batchOf(rows, step * plan.pairs, plan.pairs);
  const all = () => Array.from({ length: plan.steps }, (_, step) => batch(step));
  const training: Training = {
    model,
    adapter,
    parameters,
    objective,
    optimizer: new AdamW(parameters, { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 }),
    numerics,
    maxGradNorm: 1,
    reference: objective.needsReference ? referenceOf(model, all()) : null,
  };
  const record: RunRecord = { losses: [], seconds: [], cpuSeconds: [], peakMb: 0, bareMb };
  for (let step = 0; step < plan.steps; step++) {
    const cpu = process.cpuUsage();
    const start = performance.now();
    const result = trainStep(training, [batch(step)], { learningRate: 1e-5, entropies: false });
    record.seconds.push((performance.now() - start) / 1000);
    const { user, system } = process.cpuUsage(cpu);
    record.cpuSeconds.push((user + system) / 1e6);
    record.losses.push(result.loss);
  }
  record.peakMb = peakMb();
  return { ...record, gemmGflops: gemmGflops() };
}

process.stdout.write(`${JSON.stringify(run(JSON.parse(process.argv[2] ?? "{}")))}\n`);
