/** What to change when a run does not fit a device's memory: each change tried on the same model of memory. */

import { isCutByTokens } from "../config/step-rows.ts";
import { blockLinears } from "../formats/block-linears.ts";
import type { ModelConfig } from "../formats/model-config.ts";
import { type Device, gpus, usableBytes } from "./devices.ts";
import { type PairLengths, streamTokens } from "./flops.ts";
import { type MemorySetup, planMemory } from "./memory.ts";
import type { PlannedKeys, Workload } from "./plan-input.ts";
import { adapterParts, type TrainedParts } from "./trained-parts.ts";

/** A change and the memory it leads to. */
export interface Advice {
  change: string;
  /** Bytes after the change, with one row a micro-batch where it does not say how many. */
  bytes: number;
  fits: boolean;
}

/** What did not fit. */
export interface Shortage {
  device: Device;
  /** Bytes that may be filled. */
  bytes: number;
  /** The largest batch that fits without a change. */
  largest: number;
  workload: Workload;
  keys: Pick<PlannedKeys, "tokens_per_step" | "max_tokens_per_micro_batch" | "train_batch_size">;
}

const halved = (n: number) => Math.max(1, Math.floor(n / 2));

/** Changes that help, the smallest first; where none is enough, all of them. */
export function adviceFor(setup: MemorySetup, shortage: Shortage): Advice[] {
  const { device, bytes, largest, workload } = shortage;
  const rows = workload.microBatch(Math.max(1, largest));
  if (largest > 0) {
    const fitting = planMemory(setup, rows).total;
    return [{ change: smallerBatch(setup, shortage), bytes: fitting, fits: true }];
  }
  const tried = changesOf(setup, rows).map(({ change, with: changed, rows: after }): Advice => {
    const needed = planMemory(changed, after).total;
    return { change, bytes: needed, fits: needed <= bytes };
  });
  if (device.isGpu) {
    const checkpointing = { ...setup, gradient_checkpointing: true };
    tried.push(...onMore(setup, rows, { device, kind: "" }));
    if (!setup.gradient_checkpointing)
      tried.push(...onMore(checkpointing, rows, { device, kind: "gradient_checkpointing: true " }));
  }
  const enough = tried.filter(({ fits }) => fits);
  if (enough.length > 0) return enough;
  return [...tried, ...otherDevices(setup, rows, device)];
}

/** The key that cuts a step into micro-batches, with the size that fits. */
function smallerBatch({ share_prompt }: MemorySetup, { largest, workload, keys }: Shortage): string {
  if (isCutByTokens(keys)) {
    const rows = workload.microBatch(largest);
    return `max_tokens_per_micro_batch: ${rows.reduce((sum, row) => sum + streamTokens(row, share_prompt), 0)}`;
  }
  const isStepGiven = keys.tokens_per_step !== null || keys.train_batch_size !== null;
  return `per_device_train_batch_size: ${largest}${isStepGiven ? "" : ", with more gradient_accumulation_steps"}`;
}

interface Change {
  change: string;
  with: MemorySetup;
  rows: readonly PairLengths[];
}

function changesOf(setup: MemorySetup, rows: readonly PairLengths[]): Change[] {
  const short = rows.map(({ prompt, chosen, rejected }) => ({
    prompt: halved(prompt),
    chosen: halved(chosen),
    rejected: rejected === 0 ? 0 : halved(rejected),
  }));
  const checkpointing: MemorySetup = { ...setup, gradient_checkpointing: true };
  const adapter: MemorySetup = { ...setup, trained: usualAdapter(setup) };
  const both: MemorySetup = { ...adapter, gradient_checkpointing: true };
  return [
    ...(setup.gradient_checkpointing
      ? []
      : [{ change: "gradient_checkpointing: true", with: checkpointing, rows }]),
    ...(setup.trained.isFull && setup.shards === null && setup.optim !== "adamw_8bit"
      ? [{ change: "optim: adamw_8bit", with: { ...setup, optim: "adamw_8bit" as const }, rows }]
      : []),
    ...(setup.trained.isFull || setup.model.quantisation !== null || setup.shards !== null
      ? []
      : [{ change: "load_in_4bit: true (QLoRA)", with: { ...setup, model: inFourBits(setup.model) }, rows }]),
    { change: "rows of half the length (max_length)", with: setup, rows: short },
    ...(setup.trained.isFull ? [{ change: "use_peft: true (rank 16)", with: adapter, rows }] : []),
    ...(setup.trained.isFull && !setup.gradient_checkpointing
      ? [{ change: "use_peft: true and gradient_checkpointing: true", with: both, rows }]
      : []),
    { change: "all of it: LoRA, gradient_checkpointing, rows of half the length", with: both, rows: short },
  ];
}

/** The model below an adapter as QLoRA holds it. */
function inFourBits(model: ModelConfig): ModelConfig {
  const quantisation = { bits: 4, quantType: "nf4", doubleQuant: false, skipModules: [] } as const;
  return { ...model, quantisation };
}

/** The adapter that a run has by default, without dropout; what is trained already when that is no full tuning. */
function usualAdapter({ model, trained }: MemorySetup): TrainedParts {
  if (!trained.isFull) return trained;
  const names = model.layerKinds.flatMap((_, layer) => blockLinears(model, layer).map(({ name }) => name));
  const targetModules = [...new Set(names)];
  return adapterParts(model, {
    rank: 16,
    targetModules,
    modulesToSave: [],
    rankPattern: {},
    dropout: 0,
    useDora: false,
  });
}

/** The smallest GPU of the table that would do, or as many of this one as share the model. */
function otherDevices(setup: MemorySetup, rows: readonly PairLengths[], device: Device): Advice[] {
  if (!device.isGpu) return [];
  const least: MemorySetup = { ...setup, gradient_checkpointing: true, trained: usualAdapter(setup) };
  const needed = planMemory(least, rows).total;
  const roomy = gpus
    .filter((gpu) => usableBytes(gpu) >= needed)
    .toSorted((a, b) => a.memoryBytes - b.memoryBytes)[0];
  const kind = "LoRA and gradient_checkpointing";
  if (roomy !== undefined)
    return [{ change: `${kind} on ${roomy.name} (--gpu ${roomy.id})`, bytes: needed, fits: true }];
  return onMore(least, rows, { device, kind: `${kind} ` });
}

/** The least number of such GPUs on which ranks share the model and it fits. */
function onMore(
  setup: MemorySetup,
  rows: readonly PairLengths[],
  { device, kind }: { device: Device; kind: string },
): Advice[] {
  if (setup.model.quantisation !== null) return [];
  for (let ranks = 2 * (setup.shards?.ranks ?? 1); ranks <= 1024; ranks *= 2) {
    const { total: bytes } = planMemory({ ...setup, shards: { ranks, keep_gathered: false } }, rows);
    if (bytes > usableBytes(device)) continue;
    return [{ change: `${kind}on ${ranks} such GPUs (--count ${ranks})`, bytes, fits: true }];
  }
  return [];
}
