/** The rollout of a checkpoint: what is written comes back to the bit, also as earlier versions wrote it. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { FormatError } from "../base/errors.ts";
import type { TokenSet } from "../base/token-set.ts";
import { readSafetensorsHeader, readTensorBytes } from "../formats/safetensors.ts";
import { writeSafetensors } from "../formats/safetensors-write.ts";
import { readRolloutState, writeRolloutState } from "./rollout-file.ts";
import type { CurrentRollout } from "./scored-rollout.ts";

const root = mkdtempSync(join(tmpdir(), "preftune-rollout-file-"));
after(() => rmSync(root, { recursive: true }));

const example = { origin: { file: "p", line: 1 }, promptIds: [9], completions: [] };

function rolloutOf(kept: (TokenSet[] | null)[]): CurrentRollout {
  const completions = kept.map((own, i) => ({
    ...{ ids: [1, 2], ended: i > 0, logps: Float32Array.of(-0.1, -i), kept: own },
  }));
  return {
    ...{
      round: 3,
      groups: [{ index: 0, example, completions }],
      rewards: kept.map((_, i) => i || Number.NaN),
    },
    ...{ columns: { advantages: kept.map((_, i) => i / 3) }, metrics: { a: 0.1 } },
    ...{ scores: { functions: [] }, firstLogps: null },
  };
}

const supports = [
  [Int32Array.of(5, 6, 7), Int32Array.of(2 ** 31 - 1)],
  null,
  // a view into a longer array
  [new Int32Array(0), Int32Array.of(0, 1, 2, 3).subarray(1, 3)],
];

function folder(): string {
  return mkdtempSync(join(root, "checkpoint-"));
}

test("a rollout comes back, with and without supports; the text does not hold them", () => {
  const bits = [Uint8Array.of(7, 0, 129), Uint8Array.of(9, 8, 7, 6).subarray(1, 3)];
  const mixed = [[bits[0] ?? assert.fail(), Int32Array.of(4)], null, bits];
  for (const kept of [supports, [null, null], mixed, [bits]]) {
    const dir = folder();
    const rollout = rolloutOf(kept);
    writeRolloutState(dir, rollout);
    assert.deepEqual(readRolloutState(dir, [example]), rollout);
  }
  const sizeOf = (width: number): number => {
    const dir = folder();
    writeRolloutState(dir, rolloutOf([[new Int32Array(width), new Int32Array(width)]]));
    return readFileSync(join(dir, "rollout.json")).length;
  };
  assert.equal(sizeOf(10_000), sizeOf(1));
});

test("a file without bits, as earlier versions wrote it, is read", () => {
  const dir = folder();
  writeRolloutState(dir, rolloutOf(supports));
  const path = join(dir, "rollout-kept.safetensors");
  const file = readSafetensorsHeader(path);
  const tensors = ["tokens", "sizes"].map((name) => {
    const entry = file.tensors.get(name) ?? assert.fail(name);
    const bytes = readTensorBytes(file, entry);
    return { ...entry, bytes: () => [bytes] };
  });
  rmSync(path);
  writeSafetensors(path, tensors);
  assert.deepEqual(readRolloutState(dir, [example]), rolloutOf(supports));
});

test("supports in the text, as earlier versions wrote them, are read", () => {
  const dir = folder();
  writeRolloutState(dir, rolloutOf(supports));
  const path = join(dir, "rollout.json");
  const saved = JSON.parse(readFileSync(path, "utf8").replace("NaN", "null"));
  for (const [i, completion] of saved.groups[0].completions.entries()) {
    completion.kept =
      supports[i]?.map((own) => Buffer.from(own.buffer, own.byteOffset, own.byteLength).toString("base64")) ??
      null;
  }
  writeFileSync(path, JSON.stringify({ ...saved, version: 1 }));
  rmSync(join(dir, "rollout-kept.safetensors"));
  assert.deepEqual(readRolloutState(dir, [example]), rolloutOf(supports));
});

test("a file of supports that is missing, or of another rollout, is refused", () => {
  const dir = folder();
  writeRolloutState(dir, rolloutOf(supports));
  rmSync(join(dir, "rollout-kept.safetensors"));
  assert.throws(
    () => readRolloutState(dir, [example]),
    (error) =>
      error instanceof FormatError && /rollout-kept\.safetensors.*earlier checkpoint/.test(error.message),
  );
});
