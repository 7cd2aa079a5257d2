/** What a plan is made from: the run's configuration, the model's config.json, its rows where they are at hand, a device. */
import { join } from "node:path";
import { ConfigError } from "../base/errors.ts";
import { readJsonFile } from "../base/files.ts";
import { settingsLimits } from "../base/json-limits.ts";
import { isFolder } from "../base/open-file.ts";
import type { PhaseListener } from "../base/phase-listener.ts";
import { ranksRefused } from "../config/ranks-refused.ts";
import { isAdapter, readAdapter } from "../formats/adapter.ts";
import { ownSkipModules } from "../formats/held-quantisation.ts";
import { parseModelConfig } from "../formats/hf-config.ts";
import type { ModelConfig } from "../formats/model-config.ts";
import { askedQuantisation } from "../formats/quantisation.ts";
import { requireApart, storedConfig } from "../formats/tied-head.ts";
import { resolveModel, resolveModelDirectory } from "../hub/hub-model.ts";
import { methodOf } from "../methods/index.ts";
import { baseOf } from "../online/reward-model.ts";
import { type ComputeType, clusterOf, type Device, gpuNamed } from "../planner/devices.ts";
import { heldModel } from "../planner/plan-input.ts";
import { type Plan, planRun } from "../planner/run-plan.ts";
import type { ValueModelBase } from "../planner/side-models.ts";
import { trainedPartsOf } from "../planner/trained-parts.ts";
import { computesBfloat16, usableFeatures } from "../setup/hardware.ts";
import type { PreparedData } from "../train/prepare-data.ts";
import { machineDevice, speedSource, usualFraction } from "./plan-device.ts";
import { type GivenLengths, type PlanConfig, workloadOf } from "./plan-rows.ts";

/** What to plan for; what is left out is read from the machine or assumed, and the plan says which. */
export interface PlanOptions {
  /** A config.json in place of the one of `model_name_or_path`. */
  modelConfig?: string;
  /** Name of a GPU of the table. Default: this machine's, by the run's `device`. */
  gpu?: string;
  /** Devices of this kind, one a rank; default 1. */
  count?: number;
  /** Hosts that they are on, equally many on each; default 1. */
  nodes?: number;
  /** GB/s that a rank sends to other hosts. */
  linkGBps?: number;
  /** Memory of the device in GiB. */
  memoryGiB?: number;
  /** Peak speed of the device in TFLOP/s, in the type that the run computes in. */
  tflops?: number;
  /** Model FLOPs utilisation, a fraction of the peak; default 0.4 on a GPU, 0.7 on the CPU. */
  utilisation?: number;
  /** Rows of an epoch and their lengths, in place of those of the run's data. */
  lengths?: GivenLengths;
  /** The run's rows, where they have been read already. */
  data?: Pick<PreparedData, "dataset">;
  onPhase?: PhaseListener;
}

/**
 * The plan of a run. Reads settings, tokenizer and rows; needs neither weights nor libtorch.
 *
 * @throws {ConfigError} for an unknown GPU or a device without figures
 */
export async function plan(config: PlanConfig, options: PlanOptions = {}): Promise<Plan> {
  const search = options.onPhase === undefined ? {} : { onPhase: options.onPhase };
  const { directory, name } = await modelPlace(config, options, search);
  const model = modelOf(directory, options);
  const adapterDir =
    config.adapter_name_or_path === null
      ? null
      : await resolveModelDirectory(config.adapter_name_or_path, { ...search, kind: "adapter" });
  const hosts = hostsOf(options, config);
  const device = deviceOf(config, options, hosts[0] ?? 1);
  const dtype = dtypeOf(config, device);
  const workload = await workloadOf(
    config,
    { directory, data: options.data, ...options.lengths },
    options.onPhase,
  );
  const modelName = options.modelConfig ?? config.model_name_or_path;
  const hasHead = methodOf(config.method.objective).over !== "scores";
  if (config.offload_embedding && hasHead) requireApart(modelName, model);
  return planRun({
    modelName,
    model: heldModel(modelName, model, askedQuantisation(config)),
    trained: trainedPartsOf(config, model, adapterDir),
    keys: config,
    dtype,
    device,
    cluster: clusterOf(hosts, device, options.linkGBps),
    isUtilisationGiven: options.utilisation !== undefined,
    utilisation: options.utilisation ?? usualFraction(device),
    speedSource: options.tflops === undefined ? speedSource(device, dtype) : "as given",
    workload,
    rewardModel: config.reward_model === null ? null : backboneOf(config.reward_model, null),
    valueModel: await valueModelOf(config, { name, model }, search),
  });
}

/** A policy's model, with its name as an adapter's file says it. */
interface NamedModel {
  name: string;
  model: ModelConfig;
}

/** What PPO's value model begins with, where that is no copy of the policy. */
async function valueModelOf(
  config: PlanConfig,
  policy: NamedModel,
  search: { onPhase?: PhaseListener },
): Promise<ValueModelBase | null> {
  const { method } = config;
  const name = "value_model_name_or_path" in method ? method.value_model_name_or_path : null;
  if (name === null) return null;
  const kind = isAdapter(name) ? "adapter" : "model";
  const directory = await resolveModelDirectory(name, { ...search, kind });
  const model = backboneOf(directory, policy);
  const names = ownSkipModules(model, config.llm_int8_skip_modules ?? []);
  return {
    model: heldModel(directory, model, askedQuantisation({ ...config, llm_int8_skip_modules: names })),
    trained: trainedPartsOf(config, model, kind === "adapter" ? directory : null),
  };
}

/** The config of the model in `dir`, or of the base of the adapter there, which may be the policy's model. */
function backboneOf(dir: string, policy: NamedModel | null): ModelConfig {
  if (!isAdapter(dir)) return storedConfig(dir);
  const isPolicys = policy !== null && readAdapter(dir).config.baseModel === policy.name;
  return isPolicys ? policy.model : storedConfig(baseOf(dir));
}

/** The model's name and its directory: null where only a config.json is given. */
async function modelPlace(
  { model_name_or_path: name }: PlanConfig,
  { modelConfig }: PlanOptions,
  search: { onPhase?: PhaseListener },
): Promise<{ directory: string | null; name: string }> {
  if (modelConfig !== undefined) return { directory: null, name };
  return resolveModel(name, { ...search, parts: "text" });
}

function modelOf(directory: string | null, { modelConfig }: PlanOptions): ModelConfig {
  if (directory !== null) return storedConfig(directory);
  const file = modelConfig ?? "config.json";
  if (isFolder(file)) {
    throw new ConfigError(
      `--model-config: expected a file, got the directory ${file}. Did you mean "${join(file, "config.json")}"?`,
    );
  }
  return parseModelConfig(readJsonFile(file, settingsLimits), file);
}

function dtypeOf({ dtype }: PlanConfig, device: Device): ComputeType {
  if (dtype !== "auto") return dtype;
  return device.isGpu || computesBfloat16(usableFeatures()) ? "bfloat16" : "float32";
}

/** Ranks of each host. */
function hostsOf({ count = 1, nodes = 1 }: PlanOptions, config: PlanConfig): number[] {
  const refused = count > 1 ? ranksRefused(config) : null;
  if (refused !== null) throw new ConfigError(`--count ${count}: ${refused}`);
  if (count % nodes === 0) return Array.from({ length: nodes }, () => count / nodes);
  throw new ConfigError(
    `--count ${count} on --nodes ${nodes}: expected equally many devices on each host. Give a multiple of ${nodes}.`,
  );
}

function deviceOf(config: PlanConfig, options: PlanOptions, perHost: number): Device {
  const { memoryGiB, tflops } = options;
  const found = options.gpu === undefined ? machineDevice(config, perHost) : gpuNamed(options.gpu);
  return {
    ...found,
    ...(memoryGiB === undefined ? {} : { memoryBytes: memoryGiB * 2 ** 30 }),
    ...(tflops === undefined ? {} : { peaks: { float32: tflops * 1e12, bfloat16: tflops * 1e12 } }),
  };
}
