/** The rollout in whose middle a checkpoint was written: what the steps that are left of it need. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { at } from "../base/at.ts";
import { FormatError } from "../base/errors.ts";
import { readTextFile, writeFileAtomic } from "../base/files.ts";
import { parseNumbers, stringifyNumbers } from "../base/json-numbers.ts";
import type { Example } from "../data/example.ts";
import type { RolloutColumns } from "../methods/rollout.ts";
import type { CurrentRollout } from "./scored-rollout.ts";

const FILE = "rollout.json";

/** A completion as the file has it; numbers in base64 of their bytes, to the bit. */
interface SavedCompletion {
  ids: number[];
  ended: boolean;
  logps: string;
  kept: string[] | null;
}

interface SavedRollout {
  version: 1;
  round: number;
  groups: { index: number; completions: SavedCompletion[] }[];
  /** NaN, in files from before numbers were written so null: unscorable. */
  rewards: (number | null)[];
  columns: Record<string, { numbers: string } | { tokens: string[] }>;
  metrics: Record<string, number | null>;
  firstLogps: string[] | null;
}

/** Writes the rollout into a checkpoint that is being written. */
export function writeRolloutState(dir: string, rollout: CurrentRollout): void {
  const { round, groups, rewards, metrics, columns, firstLogps } = rollout;
  const saved: SavedRollout = {
    version: 1,
    round,
    groups: groups.map(({ index, completions }) => ({
      index,
      completions: completions.map(({ ids, ended, logps, kept }) => ({
        ...{ ids, ended, logps: encoded(logps) },
        kept: kept?.map((own) => encoded(own)) ?? null,
      })),
    })),
    rewards,
    metrics,
    columns: Object.fromEntries(
      Object.entries(columns).map(([name, values]) => [
        name,
        values[0] instanceof Float32Array
          ? { tokens: (values as readonly Float32Array[]).map((own) => encoded(own)) }
          : { numbers: encoded(Float64Array.from(values as readonly number[])) },
      ]),
    ),
    firstLogps: firstLogps?.map((own) => encoded(own)) ?? null,
  };
  writeFileAtomic(join(dir, FILE), `${stringifyNumbers(saved)}\n`);
}

/**
 * The rollout of the checkpoint in `dir`.
 *
 * @param examples - the run's prompts
 * @throws {FormatError} if the checkpoint has none
 */
export function readRolloutState(dir: string, examples: readonly Example[]): CurrentRollout {
  const path = join(dir, FILE);
  if (!existsSync(path)) {
    throw new FormatError(
      `${path} is missing: the checkpoint is from the middle of a rollout, and its completions cannot be sampled again. ` +
        "Resume from an earlier checkpoint.",
    );
  }
  const saved = parseNumbers(readTextFile(path)) as SavedRollout;
  return {
    round: saved.round,
    groups: saved.groups.map(({ index, completions }) => ({
      index,
      example: at(examples, index),
      completions: completions.map(({ ids, ended, logps, kept }) => ({
        ...{ ids, ended, logps: floats(logps) },
        kept: kept?.map((own) => new Int32Array(bytesOf(own))) ?? null,
      })),
    })),
    rewards: saved.rewards.map((reward) => reward ?? Number.NaN),
    metrics: Object.fromEntries(
      Object.entries(saved.metrics).map(([name, value]) => [name, value ?? Number.NaN]),
    ),
    // they are in rollouts.jsonl.gz already
    scores: { functions: [] },
    columns: columnsOf(saved.columns),
    firstLogps: saved.firstLogps?.map(floats) ?? null,
  };
}

function columnsOf(saved: SavedRollout["columns"]): RolloutColumns {
  return Object.fromEntries(
    Object.entries(saved).map(([name, column]) => [
      name,
      "tokens" in column ? column.tokens.map(floats) : Array.from(new Float64Array(bytesOf(column.numbers))),
    ]),
  );
}

function encoded(values: Float32Array | Float64Array | Int32Array): string {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString("base64");
}

function bytesOf(text: string): ArrayBuffer {
  // a copy, so that it begins where numbers of any size may
  return Uint8Array.from(Buffer.from(text, "base64")).buffer;
}

function floats(text: string): Float32Array {
  return new Float32Array(bytesOf(text));
}
