/** What plans in tests are made from. */
import { loadConfig } from "../../src/config/load-config.ts";
import { parseModelConfig } from "../../src/formats/hf-config.ts";
import { type ComputeType, gpuNamed } from "../../src/planner/devices.ts";
import type { PlanInput, Workload } from "../../src/planner/plan-input.ts";
import { adapterParts, everything } from "../../src/planner/trained-parts.ts";

/** The shape of a Llama of 8 billion weights, as its config.json has it. */
export const llama8b = {
  model_type: "llama",
  num_hidden_layers: 32,
  hidden_size: 4096,
  intermediate_size: 14_336,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  vocab_size: 128_256,
  torch_dtype: "bfloat16",
};
/** A pair of average length. */
export const pair = { prompt: 200, chosen: 300, rejected: 280 };

/** Rows that are all {@link pair}. */
function workload(pairs: number | null = 1000): Workload {
  const microBatch = (size: number) => Array.from({ length: size }, () => pair);
  return { source: "a test", isMeasured: false, pairs, mean: pair, own: microBatch(2), microBatch };
}

/** What of a plan is not as usual. */
interface Changes {
  model?: Record<string, unknown>;
  run?: Record<string, unknown>;
  lora?: boolean;
  /** Of the adapter; left out: 16. */
  rank?: number;
  gpu?: string;
  pairs?: number | null;
  count?: number;
  dtype?: ComputeType;
}

/** What a plan of {@link llama8b} is made from. */
export function input({
  model,
  run,
  lora = false,
  rank = 16,
  gpu = "h100",
  pairs,
  count = 1,
  dtype = "bfloat16",
}: Changes = {}): PlanInput {
  const shape = parseModelConfig({ ...llama8b, ...model }, "config.json");
  const values = {
    model_name_or_path: "m",
    output_dir: "o",
    train_data: "d",
    per_device_train_batch_size: 2,
    ...run,
  };
  const adapter = {
    rank,
    targets: "all-linear",
    targetModules: [],
    modulesToSave: [],
    rankPattern: {},
    dropout: 0,
    useDora: false,
  };
  return {
    modelName: "m",
    model: shape,
    trained: lora ? adapterParts(shape, adapter) : everything,
    keys: loadConfig({ values: lora ? { ...values, use_peft: true } : values }).config,
    dtype,
    device: gpuNamed(gpu),
    cluster: { hosts: [count], inside: 300e9, link: 50e9 },
    utilisation: 0.4,
    isUtilisationGiven: true,
    speedSource: "a test",
    workload: workload(pairs === undefined ? 1000 : pairs),
  };
}
