/** What one measured process on a GPU is asked for and reports, on either side. */

/** What all runs of a comparison have in common. */
export interface GpuPlan {
  /** A name of gpu-models.ts. */
  model: string;
  /** Directory with its config.json and a tokenizer, for the peers. */
  modelDir: string;
  workload: string;
  /** qlora: LoRA over linears in NF4, doubly quantised. */
  mode: "full" | "lora" | "qlora";
  objective: string;
  /** Pairs of a step, and of a micro-batch. */
  pairs: number;
  micro: number;
  steps: number;
  device: string;
  /** gradient_checkpointing */
  recompute: boolean;
}

/** The one JSON line of a run. */
export interface GpuRecord {
  losses: number[];
  /** Wall time of each step. */
  seconds: number[];
  /** Peak of torch's allocator on the device, MB (2^20 bytes). */
  peakMb: number;
  /** Of a bfloat16 product 8192³. */
  tflops: number;
}

/** What a process that samples on a GPU is asked for, on either side. */
export interface GpuGenerationPlan {
  model: string;
  modelDir: string;
  device: string;
  vocabulary: number;
  batches: number[];
  promptTokens: number;
  newTokens: number;
  threads: number;
}

/** Its one JSON line. */
export interface GpuGenerationRecord {
  runs: { batch: number; tokensPerSecond: number }[];
  peakMb: number;
}
