/**
 * `npm run bench -- gpu [--tables train,generate --model 1b,8b --mode lora,full --pairs N --micro N --steps N --peers simpo,dpo --scale N --recompute --device cuda:0]`:
 * our trainer against TRL's in turn on one GPU, the same rows and settings, weights random: tokens a second, their FLOP/s as a
 * fraction of those of the device's own product, memory. Without peers ours alone.
 */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { at } from "../../src/base/at.ts";
import { PreftuneError } from "../../src/base/errors.ts";
import { pairFlops, streamTokens } from "../../src/planner/flops.ts";
import { adapterParts, everything } from "../../src/planner/trained-parts.ts";
import { textTable } from "../../src/terminal/text-table.ts";
import { tokenizerFiles } from "./bench-tokenizer.ts";
import { compareGeneration } from "./gpu-generate.ts";
import { gpuConfigOf, gpuModelConfig, gpuShapes } from "./gpu-models.ts";
import type { GpuPlan, GpuRecord } from "./gpu-record.ts";
import { benchAdapterConfig } from "./ours-adapter.ts";
import { benchFolder, measureHere, measurePeer, peersPython } from "./processes.ts";
import { listOf, machineText, say, whole } from "./program.ts";
import { spreadOf, spreadText } from "./run-record.ts";
import { generatedRows, type WorkloadRow } from "./workload.ts";

interface Choice {
  tables: string[];
  models: string[];
  modes: GpuPlan["mode"][];
  peers: string[];
  pairs: number;
  micro: number;
  steps: number;
  scale: number;
  recompute: boolean;
  device: string;
}

function readChoice(options: readonly string[]): Choice {
  const { values } = parseArgs({
    args: [...options],
    options: {
      tables: { type: "string", default: "train,generate" },
      model: { type: "string", default: "1b,8b" },
      mode: { type: "string", default: "lora" },
      peers: { type: "string", default: "simpo,dpo" },
      pairs: { type: "string", default: "16" },
      micro: { type: "string" },
      // the first two are left out
      steps: { type: "string", default: "8" },
      scale: { type: "string", default: "1" },
      recompute: { type: "boolean", default: false },
      device: { type: "string", default: "cuda:0" },
    },
  });
  const pairs = whole("pairs", values.pairs, 1);
  const micro = values.micro === undefined ? pairs : whole("micro", values.micro, 1);
  if (pairs % micro !== 0) throw new PreftuneError(`--micro: expected a divisor of ${pairs}, got ${micro}`);
  return {
    tables: listOf("tables", values.tables, ["train", "generate"]),
    models: listOf("model", values.model, Object.keys(gpuShapes)),
    modes: listOf("mode", values.mode, ["lora", "full", "qlora"]),
    peers: values.peers === "" ? [] : listOf("peers", values.peers, ["simpo", "dpo"]),
    ...{ pairs, micro, steps: whole("steps", values.steps, 3) },
    scale: whole("scale", values.scale, 1),
    ...{ recompute: values.recompute, device: values.device },
  };
}

/** The rows of the other benchmarks, `scale` times as long. */
function rowsOf(scale: number): WorkloadRow[] {
  const repeated = (ids: number[]) => Array.from({ length: scale }, () => ids).flat();
  return generatedRows(0).map(({ prompt_ids, chosen_ids, rejected_ids }) => ({
    prompt_ids: repeated(prompt_ids),
    chosen_ids: repeated(chosen_ids),
    rejected_ids: repeated(rejected_ids),
  }));
}

/** A directory with what a peer needs besides weights. */
function prepare(name: string): string {
  const dir = join(benchFolder, `gpu-${name}`);
  mkdirSync(dir, { recursive: true });
  const files = { "config.json": gpuConfigOf(name), ...tokenizerFiles };
  for (const [file, value] of Object.entries(files)) writeFileSync(join(dir, file), JSON.stringify(value));
  return dir;
}

interface Figures {
  name: string;
  record: GpuRecord;
}

function rowsOfTable(figures: readonly Figures[], plan: GpuPlan, rows: readonly WorkloadRow[]): string[][] {
  const model = gpuModelConfig(plan.model);
  const trained =
    plan.mode === "full" ? everything : adapterParts(model, { ...benchAdapterConfig, targets: "all-linear" });
  const steps = Array.from({ length: plan.steps }, (_, step) => {
    const pairs = Array.from({ length: plan.pairs }, (_, i) => {
      const row = at(rows, (step * plan.pairs + i) % rows.length);
      const [prompt, chosen, rejected] = [row.prompt_ids, row.chosen_ids, row.rejected_ids].map(
        (x) => x.length,
      );
      return { prompt: prompt ?? 0, chosen: chosen ?? 0, rejected: rejected ?? 0 };
    });
    const sum = (of: (pair: (typeof pairs)[number]) => number) => pairs.map(of).reduce((a, b) => a + b, 0);
    return {
      tokens: sum((pair) => streamTokens(pair)),
      flops: sum((pair) => pairFlops(model, pair, { trained, share_prompt: true, recomputed: 0 }).training),
    };
  });
  const rate = (record: GpuRecord, of: (step: number) => number) =>
    spreadOf(record.seconds.slice(2).map((seconds, i) => of(i + 2) / seconds));
  return figures.map(({ name, record }) => [
    name,
    spreadText(
      rate(record, () => plan.pairs),
      2,
    ),
    spreadText(
      rate(record, (step) => at(steps, step).tokens),
      0,
    ),
    spreadText(
      rate(record, (step) => at(steps, step).flops / (record.tflops * 1e12)),
      1,
      100,
    ),
    `${Math.round(record.peakMb)}`,
  ]);
}

function compareTraining(plan: GpuPlan, asked: readonly string[], rows: readonly WorkloadRow[]): unknown {
  const python = asked.length === 0 ? null : peersPython();
  // DPO's reference beside full tuning would be a second model from a file, and there is none; 4 bits take bitsandbytes
  const peers = { full: asked.filter((peer) => peer !== "dpo"), lora: asked, qlora: [] }[plan.mode];
  const run = (name: string, measure: () => GpuRecord): Figures[] => {
    try {
      const record = measure();
      say(`${name}: ${record.seconds.map((s) => s.toFixed(3)).join(" ")} s, loss ${record.losses[0]}`);
      return [{ name, record }];
    } catch (error) {
      say(`${name}: ${error instanceof Error ? error.message : String(error)}`);
      return [];
    }
  };
  say(
    `\n${plan.model}, ${plan.mode}, ${plan.pairs} pairs a step, ${plan.micro} a micro-batch${plan.recompute ? ", recomputed" : ""}`,
  );
  const settings = { ...plan, threads: 4 };
  const figures = [
    ...run("preftune SLIME", () =>
      measureHere<GpuRecord>("gpu-child.ts", { ...settings, objective: "slime" } as GpuPlan & {
        threads: number;
      }),
    ),
    ...(python === null ? [] : peers).flatMap((peer) =>
      run(`TRL ${peer}`, () =>
        measurePeer<GpuRecord>(python as string, "peer_gpu.py", {
          ...settings,
          objective: peer,
        } as GpuPlan & { threads: number }),
      ),
    ),
  ];
  const columns = [
    "min / median / max",
    "pairs/s",
    "tokens/s, prompts once",
    "% of the product 8192³",
    "MB at the peak",
  ];
  say(`\n${textTable(columns, rowsOfTable(figures, plan, rows))}`);
  for (const { name, record } of figures) say(`${name}: product ${record.tflops.toFixed(0)} TFLOP/s`);
  return { plan, figures };
}

/** The program. */
export function compareOnGpu(options: readonly string[]): void {
  const choice = readChoice(options);
  mkdirSync(benchFolder, { recursive: true });
  const rows = rowsOf(choice.scale);
  const workload = join(benchFolder, `gpu-rows-${choice.scale}.jsonl`);
  if (!existsSync(workload)) writeFileSync(workload, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  say(machineText());
  const { pairs, micro, steps, recompute, device } = choice;
  const has = (table: string) => choice.tables.includes(table);
  const results = choice.models.flatMap((model) => {
    const modelDir = prepare(model);
    const plan = { model, modelDir, workload, objective: "", pairs, micro, steps, device, recompute };
    const modes = has("train") ? choice.modes : [];
    return [
      ...modes.map((mode) => compareTraining({ ...plan, mode }, choice.peers, rows)),
      ...(has("generate") ? [compareGeneration(plan, choice.peers.length === 0 ? null : peersPython())] : []),
    ];
  });
  const file = join(benchFolder, `gpu-${Date.now()}.json`);
  writeFileSync(file, `${JSON.stringify(results, null, 2)}\n`);
  say(`\nwritten: ${file}`);
}
