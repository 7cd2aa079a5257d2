/** Paths and numbers of `test/fixtures`: random-init models with numbers from PyTorch's libraries. Without torch. */
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Example } from "../../src/data/example.ts";

/** Fixtures with numbers of SLIME's authors and of reward models beside the others. */
export const families = ["llama_tied", "llama_untied", "qwen3", "gemma3_text"] as const;

/** Every family, at least once. */
export const everyFamily = [
  "llama_tied",
  "llama_untied",
  "qwen3",
  "gemma3_text",
  "qwen2_untied",
  "qwen2_tied",
  "mistral",
  "smollm3",
  "olmo2",
  "olmo3",
  "granite",
  "granite4_dense",
  "phi3",
  "phi4_mini_short",
  "gemma2",
  "gemma4_dense",
] as const;

/** One of them. */
export type FixtureFamily = (typeof everyFamily)[number];

const root: string = resolve(import.meta.dirname, "../fixtures");

/** Path of a fixture: `model`, `lora`, `config_transformers5` or a file. */
export function fixturePath(family: FixtureFamily, ...parts: string[]): string {
  return join(root, family, ...parts);
}

/** Gradients as scripts/write-fixtures.py writes them. A parameter has its norm, its first and its last numbers. */
export interface GoldenGradients {
  global_norm: number;
  params: Record<string, [norm: number, first: number[], last: number[]]>;
}

/** A loss over the four rows of a batch, and its gradients. */
export interface GoldenLoss {
  hyper: Record<string, number>;
  loss: number;
  grads: GoldenGradients;
}

/** Logits of one sequence: log-sum-exp of every row, and each `columns`-th column. */
interface GoldenLogits {
  logsumexp: number[];
  logits: number[][];
}

/** The numbers of transformers, TRL, PEFT and SLIME's authors for one fixture. */
export interface Goldens {
  /** How far some log-prob moves when a feature is left out, in the fixtures that say so. */
  provenance: { changes_if_left_out?: Record<string, number> };
  /** Token log-probs of the model in bfloat16, in the same. */
  bfloat16?: { chosen: number[][]; rejected: number[][] };
  logps: { chosen: number[][]; rejected: number[][] };
  greedy: number[][];
  losses: Record<string, GoldenLoss>;
  /** In the fixtures of `families`. */
  slime_authors?: Record<"config" | "script", Omit<GoldenLoss, "hyper"> & { compute_loss: number }>;
  adapter: { input_ids: number[]; columns: number; on: GoldenLogits; off: GoldenLogits; slime: GoldenLoss };
}

/** The numbers of a fixture. */
export function fixtureGoldens(family: FixtureFamily): Goldens {
  return readJson(fixturePath(family, "goldens.json"));
}

/** What SLIME's authors' trainer gave for log-probs without a model. */
export function slimeAuthorsCases<T>(): T {
  return readJson(join(root, "slime-authors.json"));
}

function readJson<T>(path: string): T {
  return JSON.parse(readFileSync(path, "utf8")) as T;
}

interface Row {
  prompt_ids: number[];
  chosen_ids: number[];
  rejected_ids: number[];
  ref_chosen_logp: number;
  ref_rejected_logp: number;
}

/** The four rows of a fixture's batch. */
export function fixtureExamples(family: FixtureFamily): Example[] {
  const { rows } = readJson<{ rows: Row[] }>(fixturePath(family, "batch.json"));
  return rows.map((row, i) => ({
    origin: { file: `${family}/batch.json`, line: i + 1 },
    promptIds: row.prompt_ids,
    completions: [{ ids: row.chosen_ids }, { ids: row.rejected_ids }],
    referenceLogps: [row.ref_chosen_logp, row.ref_rejected_logp],
  }));
}
