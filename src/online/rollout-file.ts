/** The rollout in whose middle a checkpoint was written: what the steps that are left of it need. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { at } from "../base/at.ts";
import { FormatError } from "../base/errors.ts";
import { readTextFile, writeFileAtomic } from "../base/files.ts";
import { parseNumbers, stringifyNumbers } from "../base/json-numbers.ts";
import type { TokenSet } from "../base/token-set.ts";
import type { Example } from "../data/example.ts";
import { readSafetensorsHeader, readTensorBytes } from "../formats/safetensors.ts";
import { writeSafetensors } from "../formats/safetensors-write.ts";
import type { RolloutColumns } from "../methods/rollout.ts";
import type { CurrentRollout } from "./scored-rollout.ts";

const FILE = "rollout.json";
/** The tokens that could be drawn in each place: with a wide support more than a text may hold. */
const KEPT = "rollout-kept.safetensors";

/** A completion as the file has it; numbers in base64 of their bytes, to the bit. */
interface SavedCompletion {
  ids: number[];
  ended: boolean;
  logps: string;
  /** Its places of {@link KEPT}; a text for each, as earlier versions had it; null: all tokens could be drawn. */
  kept: number | string[] | null;
}

interface SavedRollout {
  version: 1 | 2;
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
    version: 2,
    round,
    groups: groups.map(({ index, completions }) => ({
      index,
      completions: completions.map(({ ids, ended, logps, kept }) => ({
        ...{ ids, ended, logps: encoded(logps) },
        kept: kept?.length ?? null,
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
  writeKept(
    join(dir, KEPT),
    groups.flatMap(({ completions }) => completions.flatMap(({ kept }) => kept ?? [])),
  );
  writeFileAtomic(join(dir, FILE), `${stringifyNumbers(saved)}\n`);
}

/** The places' lists of tokens one after the other, their bits so too, and the length of each: of bits, in bytes, below 0. */
function writeKept(path: string, places: readonly TokenSet[]): void {
  if (places.length === 0) return;
  const [lists, bits] = [places.filter((set) => !isBits(set)), places.filter(isBits)];
  const total = (sets: readonly TokenSet[]) => sets.reduce((sum, { length }) => sum + length, 0);
  const sizes = Int32Array.from(places, (set) => (isBits(set) ? -set.length : set.length));
  const bytes = ({ buffer, byteOffset, byteLength }: TokenSet) =>
    new Uint8Array(buffer, byteOffset, byteLength);
  writeSafetensors(path, [
    { name: "tokens", dtype: "I32", shape: [total(lists)], bytes: () => lists.map(bytes) },
    { name: "sizes", dtype: "I32", shape: [sizes.length], bytes: () => bytes(sizes) },
    { name: "bits", dtype: "U8", shape: [total(bits)], bytes: () => bits },
  ]);
}

function isBits(set: TokenSet): set is Uint8Array {
  return set instanceof Uint8Array;
}

/** What {@link writeKept} wrote, in order; nothing where it wrote none. Earlier versions wrote no bits. */
function* readKept(path: string): Generator<TokenSet> {
  if (!existsSync(path)) return;
  const file = readSafetensorsHeader(path);
  const bytesIn = (name: string, dtype: string): Uint8Array => {
    const entry = file.tensors.get(name);
    if (entry?.dtype !== dtype) throw new FormatError(`${path}: expected a tensor "${name}" of ${dtype}.`);
    return readTensorBytes(file, entry);
  };
  const [tokens, sizes] = ["tokens", "sizes"].map((name) => new Int32Array(bytesIn(name, "I32").buffer));
  const bits = file.tensors.has("bits") ? bytesIn("bits", "U8") : new Uint8Array(0);
  let [token, byte] = [0, 0];
  for (const size of sizes ?? []) {
    if (size < 0) yield bits.slice(byte, byte - size);
    else yield tokens?.slice(token, token + size) ?? new Int32Array(0);
    byte += Math.max(0, -size);
    token += Math.max(0, size);
  }
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
  const places = readKept(join(dir, KEPT));
  const keptOf = (kept: SavedCompletion["kept"]): TokenSet[] | null => {
    if (kept === null) return null;
    if (typeof kept !== "number") return kept.map((own) => new Int32Array(bytesOf(own)));
    return Array.from({ length: kept }, () => {
      const { value } = places.next();
      if (value !== undefined) return value;
      throw new FormatError(
        `${join(dir, KEPT)}: expected tokens for each place of a completion, got too few. Resume from an earlier checkpoint.`,
      );
    });
  };
  return {
    round: saved.round,
    groups: saved.groups.map(({ index, completions }) => ({
      index,
      example: at(examples, index),
      completions: completions.map(({ ids, ended, logps, kept }) => ({
        ...{ ids, ended, logps: floats(logps) },
        kept: keptOf(kept),
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

function encoded(values: Float32Array | Float64Array): string {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString("base64");
}

function bytesOf(text: string): ArrayBuffer {
  // a copy, so that it begins where numbers of any size may
  return Uint8Array.from(Buffer.from(text, "base64")).buffer;
}

function floats(text: string): Float32Array {
  return new Float32Array(bytesOf(text));
}
