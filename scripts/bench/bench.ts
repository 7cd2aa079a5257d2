/**
 * `npm run bench [-- --model bench|bigvocab --mode full|lora --pairs N --steps N --threads N --peers dpo,dpo_pre,simpo
 * --rounds N --workload FILE --quick]`: our trainer against TRL's, in turn, on the same rows, weights and settings.
 */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { ConfigError, PreftuneError } from "../../src/base/errors.ts";
import type { ModelConfig } from "../../src/formats/model-config.ts";
import { pairFlops } from "../../src/planner/flops.ts";
import { adapterParts, everything, type TrainedParts } from "../../src/planner/trained-parts.ts";
import { stateFolder } from "../../src/setup/places.ts";
import { peersPython, runHere, runOurs, runPeer } from "./processes.ts";
import { figuresOf, figuresTable, ratiosOf, ratiosText, type StepWork } from "./results.ts";
import { lossesAgree, type RunPlan, type RunRecord, spreadOf } from "./run-record.ts";
import { type ModelShape, modelConfigOf, shapes } from "./shapes.ts";
import { generatedRows, readRows, type WorkloadRow } from "./workload.ts";

const peerNames: Record<string, string> = {
  dpo: "TRL DPO, live reference",
  dpo_pre: "TRL DPO, precomputed",
  simpo: "TRL SimPO",
};
const loraRank = 64;
// above this load other programs take time from the runs
const busyLoad = 1.5;

interface Choice {
  model: string;
  shape: ModelShape;
  plan: RunPlan;
  peers: string[];
  rounds: number;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function whole(name: string, text: string, least: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= least) return value;
  throw new ConfigError(`--${name}: expected a whole number of at least ${least}, got "${text}"`);
}

function oneOf(name: string, value: string, known: readonly string[]): string {
  if (known.includes(value)) return value;
  throw new ConfigError(`--${name}: expected one of ${known.join(", ")}; got "${value}"`);
}

function readChoice(): Choice {
  const { values } = parseArgs({
    options: {
      model: { type: "string", default: "bench" },
      mode: { type: "string", default: "full" },
      pairs: { type: "string" },
      steps: { type: "string" },
      threads: { type: "string", default: "1" },
      peers: { type: "string", default: Object.keys(peerNames).join(",") },
      rounds: { type: "string" },
      workload: { type: "string" },
      quick: { type: "boolean", default: false },
    },
  });
  const model = oneOf("model", values.model, Object.keys(shapes));
  const mode = oneOf("mode", values.mode, ["full", "lora"]) as RunPlan["mode"];
  const folder = join(stateFolder(), "bench");
  return {
    model,
    shape: shapes[model] as ModelShape,
    peers: values.peers.split(",").map((peer) => oneOf("peers", peer, Object.keys(peerNames))),
    rounds: whole("rounds", values.rounds ?? (values.quick ? "1" : "3"), 1),
    plan: {
      modelDir: join(folder, model),
      workload: resolve(values.workload ?? join(folder, "workload.jsonl")),
      mode,
      pairs: whole("pairs", values.pairs ?? (model === "bigvocab" ? "1" : "2"), 1),
      // the first step is left out
      steps: whole("steps", values.steps ?? (values.quick ? "3" : "6"), 2),
      threads: whole("threads", values.threads, 1),
    },
  };
}

/** Writes model and rows once; a later run finds them. */
function prepare({ model, plan }: Choice): WorkloadRow[] {
  const folder = join(stateFolder(), "bench");
  mkdirSync(folder, { recursive: true });
  if (!existsSync(plan.modelDir)) runHere("model-child.ts", [model, plan.modelDir], plan.threads);
  if (plan.workload === join(folder, "workload.jsonl")) {
    const lines = generatedRows(0).map((row) => JSON.stringify(row));
    writeFileSync(plan.workload, `${lines.join("\n")}\n`);
  }
  return readRows(plan.workload);
}

/** Adapters of the benchmark's rank on all linears. */
function benchAdapter(model: ModelConfig): TrainedParts {
  const shape = {
    rank: loraRank,
    targetModules: [],
    targets: "all-linear",
    modulesToSave: [],
    rankPattern: {},
  };
  return adapterParts(model, { ...shape, dropout: 0, useDora: false });
}

function workOf(rows: readonly WorkloadRow[], { plan, shape }: Choice): StepWork[] {
  const model = modelConfigOf(shape);
  const trained = plan.mode === "lora" ? benchAdapter(model) : everything;
  const options = { trained, sharePrompt: true, recomputed: 0 };
  const sum = (values: number[]) => values.reduce((a, b) => a + b, 0);
  return Array.from({ length: plan.steps }, (_, step) => {
    const pairs = Array.from({ length: plan.pairs }, (_, i) => {
      const row = rows[(step * plan.pairs + i) % rows.length] as WorkloadRow;
      return {
        prompt: row.prompt_ids.length,
        chosen: row.chosen_ids.length,
        rejected: row.rejected_ids.length,
      };
    });
    return {
      pairs: plan.pairs,
      tokens: sum(pairs.map((p) => p.prompt + p.chosen + p.rejected)),
      flops: sum(pairs.map((p) => pairFlops(model, p, options).training)),
    };
  });
}

/**
 * Compares the losses of the first step with our trainer on the peer's own objective.
 *
 * @throws {PreftuneError} with both numbers if they differ
 */
function checkAgreement(plan: RunPlan, peer: string, record: RunRecord): void {
  const objective = peer === "simpo" ? "simpo" : "dpo";
  const ours = runOurs({ ...plan, steps: 1 }, objective).losses[0] ?? Number.NaN;
  const theirs = record.losses[0] ?? Number.NaN;
  if (lossesAgree(ours, theirs)) {
    say(`step 0, ${peer}: loss ${ours} here, ${theirs} there: the same`);
    return;
  }
  throw new PreftuneError(
    `No comparison with ${peerNames[peer]}: the losses of the first step differ, ${ours} here and ${theirs} there ` +
      "(at most 1e-4 of the value is allowed). One of the two does not compute what it says; find out which first",
  );
}

/** Records by trainer: ours under "ours", peers under their short names. Runs alternate. */
function measure({ plan, rounds, peers }: Choice, python: string | null): Map<string, RunRecord[]> {
  const records = new Map<string, RunRecord[]>();
  const note = (name: string, record: RunRecord) => {
    records.set(name, [...(records.get(name) ?? []), record]);
    const seconds = (values: number[]) => values.map((s) => s.toFixed(2)).join(" ");
    say(`${name}: ${seconds(record.seconds)} s (CPU ${seconds(record.cpuSeconds)}), ${record.peakMb | 0} MB`);
  };
  for (let round = 0; round < rounds; round++) {
    for (const peer of python === null ? [] : peers) {
      note("ours", runOurs(plan, "slime"));
      const record = runPeer(python as string, plan, peer);
      note(peer, record);
      if (round === 0) checkAgreement(plan, peer, record);
    }
    if (python === null) note("ours", runOurs(plan, "slime"));
  }
  return records;
}

function main(): void {
  const choice = readChoice();
  const { plan, model, rounds } = choice;
  const python = peersPython();
  const rows = prepare(choice);
  const loads = [loadavg()[0] ?? 0];
  say(
    `${model}, ${plan.mode}, ${plan.pairs} pairs a step, ${plan.steps} steps, ${rounds} rounds, ` +
      `${plan.threads} threads, ${cpus()[0]?.model ?? "?"} (${cpus().length} CPUs), load ${loads[0]?.toFixed(1)}`,
  );
  if (python === null) say("No peers: `npm run bench:peers` installs them. Our own trainer alone:");
  const records = measure(choice, python);
  loads.push(loadavg()[0] ?? 0);
  const ours = records.get("ours") ?? [];
  const gemm = 1e9 * spreadOf(ours.map((r) => r.gemmGflops ?? 0)).max;
  const work = workOf(rows, choice);
  const trainers = [...records].map(([name, of]) =>
    figuresOf(peerNames[name] ?? "preftune SLIME", of, work, { gemm, threads: plan.threads }),
  );
  const [first, ...others] = trainers;
  const ratios = first === undefined ? [] : ratiosOf(first, others);
  // a run's own threads count into the load
  const busy = Math.max(...loads) > busyLoad + plan.threads - 1;
  say(`\n${figuresTable(trainers, busy)}\n`);
  if (ratios.length > 0) say(`${ratiosText(ratios, busy)}\n`);
  say(
    `GEMM ${(gemm / 1e9).toFixed(1)} GFLOP/s; load ${loads.map((l) => l.toFixed(1)).join(" before, ")} after`,
  );
  const file = join(stateFolder(), "bench", `results-${model}-${plan.mode}-${Date.now()}.json`);
  const results = {
    plan,
    model,
    rounds,
    loads,
    gemm,
    trainers,
    ratios,
    records: Object.fromEntries(records),
  };
  writeFileSync(file, `${JSON.stringify(results, null, 2)}\n`);
  say(`written: ${file}`);
}

try {
  main();
} catch (error) {
  if (!(error instanceof PreftuneError)) throw error;
  process.stderr.write(`preftune: ${error.message}\n`);
  process.exitCode = error.exitCode;
}
