/** What to change when a run does not fit a device's memory: each change is keys, tried on the same plan as the run's own. */
import { at } from "../base/at.ts";
import { checkConfig } from "../config/checks.ts";
import { isOnPolicy } from "../config/online-keys.ts";
import { ranksRefused } from "../config/ranks-refused.ts";
import { accumulationOf, isCutByTokens, rowsPerStep } from "../config/step-rows.ts";
import { gpus, usableBytes } from "./devices.ts";
import { ranksOf } from "./layout.ts";
import { tokensOf } from "./memory-setup.ts";
import { type PlanInput, type PlannedKeys, rowUnit } from "./plan-input.ts";
import { canShare } from "./ranks-plan.ts";
import { withKeys } from "./with-keys.ts";

/** A change and the memory it leads to. */
export interface Advice {
  /** The keys in words, and what else is another. */
  change: string;
  keys: Partial<PlannedKeys>;
  /** Bytes after the change. */
  bytes: number;
  fits: boolean;
}

/** Bytes of a run's memory as it is planned. */
type MemoryOf = (input: PlanInput) => number;

/** Keys, and the run as it is with them. */
interface Tried {
  keys: Partial<PlannedKeys>;
  input: PlanInput;
}

const halved = (n: number) => Math.max(1, Math.floor(n / 2));

/** Changes that help, the smallest first; where none is enough, all of them. With micro-batches as small as they can be. */
export function adviceFor(input: PlanInput, memoryOf: MemoryOf): Advice[] {
  const usable = usableBytes(input.device);
  const smaller = smallerBatch(input, (tried) => memoryOf(tried.input) <= usable);
  if (smaller !== null) return [adviceOf(smaller, memoryOf)];
  const least = smallest(input, {});
  const most = least === null ? Number.POSITIVE_INFINITY : memoryOf(least.input);
  const tried = changesOf(input)
    .map((keys) => smallest(input, keys))
    .filter((change) => change !== null)
    .map((change) => adviceOf(change, memoryOf))
    .filter(({ bytes }) => bytes < most);
  const checkpointing = checkpointingOf(input);
  tried.push(...onMore(input, {}, memoryOf));
  if (Object.keys(checkpointing).length > 0) tried.push(...onMore(input, checkpointing, memoryOf));
  const enough = tried.filter(({ fits }) => fits);
  return enough.length > 0 ? enough : [...tried, ...otherDevices(input, memoryOf)];
}

function adviceOf({ keys, input }: Tried, memoryOf: MemoryOf, where: string = ""): Advice {
  const bytes = memoryOf(input);
  const ofKeys = Object.entries(keys).map(([key, value]) => `${key}: ${value}`);
  const change = [ofKeys.join(", "), where].filter((part) => part !== "").join(" ");
  return { change, keys, bytes, fits: bytes <= usableBytes(input.device) };
}

/** Whether nothing is wrong with the keys that was not wrong before. */
function isAccepted({ keys: before }: PlanInput, keys: Partial<PlannedKeys>): boolean {
  const errorsOf = (changed: PlannedKeys) =>
    checkConfig({ ...changed, output_dir: "", train_data: [] })
      .filter(({ severity }) => severity === "error")
      .map(({ key }) => key);
  const known = new Set(errorsOf(before));
  return errorsOf({ ...before, ...keys }).every((key) => known.has(key));
}

/** The keys that cut a step into micro-batches of `size` rows, and what is measured after the last step into batches of as many. */
function batchKeys(input: PlanInput, size: number): Partial<PlannedKeys> {
  const { final_scale, per_device_eval_batch_size: measured } = input.keys;
  const isCut = final_scale === "auto" && measured > size;
  return { ...stepKeys(input, size), ...(isCut ? { per_device_eval_batch_size: size } : {}) };
}

function stepKeys({ keys, workload }: PlanInput, size: number): Partial<PlannedKeys> {
  if (size >= workload.own.length) return {};
  if (isCutByTokens(keys)) return { max_tokens_per_micro_batch: tokensOf(workload.microBatch(size), keys) };
  const isStepGiven = keys.train_batch_size !== null;
  const rows = { per_device_train_batch_size: size };
  if (keys.optimizer_in_backward) return { ...rows, ...(isStepGiven ? { train_batch_size: size } : {}) };
  if (isStepGiven || keys.tokens_per_step !== null) return rows;
  return { ...rows, gradient_accumulation_steps: accumulationOf(rowsPerStep(keys), rows) };
}

/** The run with `keys`, in micro-batches of `size` rows. */
function cutInto(input: PlanInput, keys: Partial<PlannedKeys>, size: number): Tried {
  const changed = withKeys(input, keys);
  const cut = batchKeys(changed, size);
  return { keys: { ...keys, ...cut }, input: withKeys(changed, cut, size) };
}

/** Sizes of micro-batches, from the smallest on, with which the run with `keys` is accepted. */
function* sizesOf(input: PlanInput, keys: Partial<PlannedKeys>): Generator<number> {
  const changed = withKeys(input, keys);
  const unit = rowUnit(changed.keys);
  const most = Math.max(1, changed.workload.own.length);
  // a cap in tokens may be of any size
  const cut = (size: number) => (isCutByTokens(changed.keys) ? {} : batchKeys(changed, size));
  for (let size = unit; size < most + unit; size += unit)
    if (isAccepted(input, { ...keys, ...cut(size) })) yield size;
}

/** The run with `keys`, in micro-batches as small as they can be; null where it would be refused. */
function smallest(input: PlanInput, keys: Partial<PlannedKeys>): Tried | null {
  const [size] = sizesOf(input, keys);
  return size === undefined ? null : cutInto(input, keys, size);
}

/** The run in the largest batches that fit, of fewer rows than its own; null where none do. */
function smallerBatch(input: PlanInput, fits: (tried: Tried) => boolean): Tried | null {
  const sizes = [...sizesOf(input, {})].filter((size) => Object.keys(batchKeys(input, size)).length > 0);
  let largest: Tried | null = null;
  let low = 0;
  let high = sizes.length;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const tried = cutInto(input, {}, at(sizes, middle));
    if (fits(tried)) [largest, low] = [tried, middle + 1];
    else high = middle;
  }
  return largest;
}

function checkpointingOf({ keys }: PlanInput): Partial<PlannedKeys> {
  return keys.gradient_checkpointing ? {} : { gradient_checkpointing: true };
}

/** What can be changed, each change once. */
function changesOf(input: PlanInput): Partial<PlannedKeys>[] {
  const { keys, trained, model, workload } = input;
  const checkpointing = checkpointingOf(input);
  const adapter: Partial<PlannedKeys> = trained.isFull ? { use_peft: true } : {};
  const longest = Math.max(1, ...workload.own.map((row) => row.prompt + Math.max(row.chosen, row.rejected)));
  const short: Partial<PlannedKeys> = isOnPolicy(keys)
    ? { max_completion_length: halved(keys.max_completion_length) }
    : {
        max_length: Math.max(8, halved(Math.min(keys.max_length, Math.floor(longest)))),
        ...(keys.overflow === "truncate" ? {} : { overflow: "truncate" }),
      };
  const few: Partial<PlannedKeys> = trained.isFull ? { optim: "adamw_8bit" } : { load_in_4bit: true };
  const isFew = trained.isFull ? keys.optim === "adamw_8bit" : model.quantisation !== null;
  // what the keys alone refuse is left out where sizes are tried
  const canOffload = input.device.isGpu && !trained.trainsEmbedding && !model.tieWordEmbeddings;
  const changes: Partial<PlannedKeys>[] = [
    checkpointing,
    ...(isFew ? [] : [few]),
    ...(canOffload && !keys.offload_embedding ? [{ offload_embedding: true }] : []),
    short,
    ...(isOnPolicy(keys) ? [{ num_generations: halved(keys.num_generations) }] : []),
    adapter,
    { ...adapter, ...checkpointing },
    { ...adapter, ...checkpointing, ...short },
  ];
  const texts = changes.map((change) => JSON.stringify(change));
  return changes.filter((change, i) => Object.keys(change).length > 0 && texts.indexOf(texts[i] ?? "") === i);
}

/** An adapter and checkpointing on the smallest GPU of the table that would do, or on as many of this one as share the model. */
function otherDevices(input: PlanInput, memoryOf: MemoryOf): Advice[] {
  if (!input.device.isGpu) return [];
  const keys = { ...(input.trained.isFull ? { use_peft: true } : {}), ...checkpointingOf(input) };
  const tried = smallest(input, keys);
  if (tried === null) return [];
  for (const gpu of gpus.toSorted((a, b) => a.memoryBytes - b.memoryBytes)) {
    const there = { ...tried, input: { ...tried.input, device: gpu } };
    const advice = adviceOf(there, memoryOf, `on ${gpu.name} (--gpu ${gpu.id})`);
    if (advice.fits) return [advice];
  }
  return onMore(input, keys, memoryOf);
}

/** The least number of such GPUs on which ranks share the model and it fits, with the keys that let them. */
function onMore(input: PlanInput, change: Partial<PlannedKeys>, memoryOf: MemoryOf): Advice[] {
  const { device, cluster, keys: own } = input;
  const sharing: Partial<PlannedKeys> = {
    ...change,
    ...(own.optim === "adamw_torch_fused" ? {} : { optim: "adamw_torch_fused" }),
    ...(own.shard === "none" ? { shard: "auto" } : {}),
    ...(own.offload_embedding ? { offload_embedding: false } : {}),
  };
  const shared = device.isGpu ? smallest(input, sharing) : null;
  if (shared === null) return [];
  const { keys, model } = shared.input;
  if (!canShare(keys, model) || ranksRefused(keys) !== null) return [];
  const hosts = cluster.hosts.length;
  for (let ranks = 2 * ranksOf(cluster); ranks <= 1024; ranks *= 2) {
    const there = { ...shared.input, cluster: { ...cluster, hosts: cluster.hosts.map(() => ranks / hosts) } };
    const options = `--count ${ranks}${hosts > 1 ? ` --nodes ${hosts}` : ""}`;
    const advice = adviceOf({ ...shared, input: there }, memoryOf, `on ${ranks} such GPUs (${options})`);
    if (advice.fits) return [advice];
  }
  return [];
}
