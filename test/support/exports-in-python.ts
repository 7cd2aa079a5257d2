/** What transformers and PEFT say of models and adapters, in one Python process (test/parity/check_exports.py). */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { peersPython } from "./peers.ts";

/** What they are to read, and what it must come to. */
export interface CheckCase {
  name: string;
  model: string;
  adapter: string | null;
  ids: readonly number[];
  logits: number[];
  /** By what PEFT's scaling is multiplied, default 1; with `trained` how much of the way to it is taken. */
  scale?: number;
  /** A model that was tuned in full from this one. */
  trained?: string;
  /** Largest difference of a logit; default 1e-4. */
  tolerance?: number;
  /** What the loaded model must say of its head; null: as it likes. */
  tied: boolean | null;
}

/** What they say of it. */
export interface Checked {
  name: string;
  /** Largest of a logit, and deviation of all. */
  difference: number;
  spread: number;
  tied: boolean;
  missing: string[];
  unexpected: string[];
  warnings: string[];
}

/** What they are to write. */
export interface WriteCase {
  name: string;
  seed: number;
  model: string;
  savedModel: string;
  savedAdapter: string;
  lora: Record<string, unknown>;
  ids: readonly number[];
}

interface Answer {
  checked: Checked[];
  written: { name: string; logits: number[] }[];
  /** The classes for which PEFT has target modules where none are named. */
  targeted: string[];
}

/** Asks them all of it. */
export function askPython(check: readonly CheckCase[], write: readonly WriteCase[]): Answer {
  const script = join(import.meta.dirname, "../parity/check_exports.py");
  const run = spawnSync(peersPython() ?? "", [script], {
    input: JSON.stringify({ check, write }),
    encoding: "utf8",
    maxBuffer: 2 ** 28,
    env: { ...process.env, HF_HUB_OFFLINE: "1", OMP_NUM_THREADS: "1" },
  });
  assert.equal(run.status, 0, `${run.error ?? ""}${run.stderr.slice(-4000)}`);
  return JSON.parse(run.stdout) as Answer;
}

/** Requires that they read it without a word, with the logits of here. */
export function assertRead(got: Checked, want: CheckCase): void {
  assert.equal(got.name, want.name);
  assert.deepEqual([got.missing, got.unexpected, got.warnings], [[], [], []], got.name);
  assert.ok(got.spread > 0.05, "the logits hardly differ from each other, the test would see little");
  assert.ok(got.difference < (want.tolerance ?? 1e-4), `${got.name}: logits differ by ${got.difference}`);
  assert.equal(got.tied, want.tied, got.name);
}
