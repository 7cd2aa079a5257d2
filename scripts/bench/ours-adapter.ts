/** The adapter that our trainer trains in benchmarks: that of the peers (trl_runs.py). */
import type { AdapterConfig } from "../../src/formats/adapter-config.ts";

/** Rank 64 on all linears. */
export const benchAdapterConfig: AdapterConfig = {
  rank: 64,
  alpha: 128,
  dropout: 0,
  targetModules: ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
  useRslora: false,
  useDora: false,
  modulesToSave: [],
  baseModel: null,
  bias: "none",
  taskType: "CAUSAL_LM",
  rankPattern: {},
  alphaPattern: {},
  raw: {},
};
