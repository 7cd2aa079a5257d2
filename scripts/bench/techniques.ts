/** The second table: our trainer with one technique at a time left out or put in, and what that does to time and memory. */
import { textTable } from "../../src/terminal/text-table.ts";
import { runOurs } from "./processes.ts";
import { type RunPlan, spreadOf, type Variant } from "./run-record.ts";

/** A row of the table. */
export interface Technique {
  name: string;
  variant: Variant;
  mode?: RunPlan["mode"];
  /** What the row's ratios are against; default: the first row. */
  against?: string;
}

const unshared = "prompt computed for each answer";
const adapter = "LoRA, rank 64";
const unclipped = "no clipping of gradients";

/** Rows in the order in which they are shown. */
export const techniques: readonly Technique[] = [
  { name: "as in training", variant: {} },
  { name: unshared, variant: { share_prompt: false } },
  { name: "… and padded to a rectangle", variant: { share_prompt: false, pads: true }, against: unshared },
  {
    name: "… and head on the prompt too",
    variant: { share_prompt: false, headOnPrompt: true },
    against: unshared,
  },
  { name: "each pair a micro-batch, not packed", variant: { pairByPair: true } },
  { name: "head: 512 entries of the vocabulary at once", variant: { logits_chunk_size: 512 } },
  { name: "head: the whole vocabulary at once", variant: { logits_chunk_size: 2 ** 30 } },
  { name: "head: probabilities not kept, computed again", variant: { logits_kept_mib: 0 } },
  { name: "all blocks recomputed", variant: { gradient_checkpointing: true } },
  {
    name: "half of the blocks recomputed",
    variant: { gradient_checkpointing: true, gradient_checkpointing_blocks: 5 },
  },
  {
    name: "recomputed, inputs copied away and back",
    variant: { gradient_checkpointing: true, activation_offloading: true },
    against: "all blocks recomputed",
  },
  { name: unclipped, variant: { max_grad_norm: 0 } },
  {
    name: "… and weights updated in backward",
    variant: { max_grad_norm: 0, optimizer_in_backward: true },
    against: unclipped,
  },
  { name: "averages in 8 bits (optim: adamw_8bit)", variant: { optim: "adamw_8bit" } },
  { name: "averages in bfloat16 (optim: adamw_bf16)", variant: { optim: "adamw_bf16" } },
  { name: "activations in bfloat16 (dtype)", variant: { dtype: "bfloat16" } },
  { name: adapter, variant: {}, mode: "lora" },
  {
    name: "… frozen weights in 4 bits (load_in_4bit)",
    variant: { load_in_4bit: true },
    mode: "lora",
    against: adapter,
  },
  {
    name: "… frozen weights in 8 bits (load_in_8bit)",
    variant: { load_in_8bit: true },
    mode: "lora",
    against: adapter,
  },
  {
    name: "… activations and frozen weights in bfloat16 (dtype)",
    variant: { dtype: "bfloat16" },
    mode: "lora",
    against: adapter,
  },
];

/** A measured row. */
export interface TechniqueFigures {
  name: string;
  against: string;
  pairsPerSecond: { min: number; median: number; max: number };
  /** Median; what other programs take does not show in it. */
  pairsPerCpuSecond: number;
  memoryMb: number;
  /** Of medians, against the row named. */
  speed: number;
  cpuSpeed: number;
  memory: number;
}

/** Runs every row in turn and prints the table. */
export function measureTechniques(plan: RunPlan, say: (line: string) => void): TechniqueFigures[] {
  say(`\nOne technique at a time: ${plan.pairs} pairs a step, ${plan.steps} steps, ${plan.threads} threads`);
  const figures = new Map<string, TechniqueFigures>();
  for (const { name, variant, mode = "full", against = "as in training" } of techniques) {
    const record = runOurs({ ...plan, mode, objective: "slime", variant });
    // steps hold the same rows in every row of the table
    const pairsPerSecond = spreadOf(record.seconds.slice(1).map((s) => plan.pairs / s));
    const pairsPerCpuSecond = spreadOf(record.cpuSeconds.slice(1).map((s) => plan.pairs / s)).median;
    const memoryMb = record.peakMb - record.bareMb;
    const base = figures.get(against);
    figures.set(name, {
      ...{ name, against, pairsPerSecond, pairsPerCpuSecond, memoryMb },
      speed: pairsPerSecond.median / (base?.pairsPerSecond.median ?? pairsPerSecond.median),
      cpuSpeed: pairsPerCpuSecond / (base?.pairsPerCpuSecond ?? pairsPerCpuSecond),
      memory: memoryMb / (base?.memoryMb ?? memoryMb),
    });
    say(`${name}: ${pairsPerSecond.median.toFixed(3)} pairs/s, ${memoryMb.toFixed(0)} MB`);
  }
  const all = [...figures.values()];
  say(`\n${techniquesTable(all)}`);
  return all;
}

/** The rows as a table. */
function techniquesTable(rows: readonly TechniqueFigures[]): string {
  return textTable(
    [
      "one thing at a time",
      "pairs/s\nmin / median / max",
      "speed",
      "by CPU\ntime",
      "MB above\nbare",
      "memory",
    ],
    rows.map(({ name, pairsPerSecond: { min, median, max }, speed, cpuSpeed, memoryMb, memory }) => [
      name,
      [min, median, max].map((x) => x.toFixed(3)).join(" / "),
      `${speed.toFixed(2)}×`,
      `${cpuSpeed.toFixed(2)}×`,
      memoryMb.toFixed(0),
      `${memory.toFixed(2)}×`,
    ]),
  );
}
