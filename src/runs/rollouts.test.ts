/** The file of completions: what is complete of it is read and kept, wherever it was truncated. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { FormatError } from "../base/errors.ts";
import { appendRollout, cutRollouts, readRollouts, saveRolloutsLength } from "./rollouts.ts";
import type { RolloutRow } from "./train-events.ts";

const root = mkdtempSync(join(tmpdir(), "preftune-rollouts-"));
after(() => rmSync(root, { recursive: true }));

const row = (rollout: number, group: number): RolloutRow => ({
  ...{ step: rollout + 1, rollout, group, row: "prompts.jsonl:1", completion: `é ${rollout}`, ids: [1, 2] },
  ...{ ended: true, reward: null, rewards: { a: 0.5 }, advantage: Number.NaN },
});
const all = [0, 1, 2].map((rollout) => [0, 1, 2, 3].map((group) => row(rollout, group)));

function fileOf(name: string, rollouts = all): string {
  const path = join(root, name);
  for (const rows of rollouts) appendRollout(path, rows);
  return path;
}

test("rollouts come back as they were written, NaN too", () => {
  assert.deepEqual(readRollouts(fileOf("whole")), all.flat());
  assert.deepEqual(readRollouts(join(root, "none")), []);
});

test("a file truncated at any byte gives the completions that are complete, in order", () => {
  const bytes = readFileSync(fileOf("cut"));
  const first = readFileSync(fileOf("first", all.slice(0, 1))).length;
  const path = join(root, "part");
  for (let length = 0; length <= bytes.length; length++) {
    writeFileSync(path, bytes.subarray(0, length));
    const rows = readRollouts(path);
    assert.deepEqual(rows, all.flat().slice(0, rows.length), `${length} bytes`);
    assert.ok(length < first || rows.length >= 4, `${length} bytes hold the first rollout`);
  }
});

test("what is no gzip is an error that names the file", () => {
  const path = join(root, "other");
  writeFileSync(path, "{}\n");
  assert.throws(
    () => readRollouts(path),
    (error) => {
      assert.ok(error instanceof FormatError && error.message.includes(path));
      return true;
    },
  );
});

test("a checkpoint's length cuts a longer file; a shorter one keeps what is complete and can be continued", () => {
  const path = fileOf("resumed", all.slice(0, 2));
  saveRolloutsLength(path, root);
  const saved = readFileSync(path);
  appendRollout(path, all[2] ?? []);
  cutRollouts(path, root);
  assert.deepEqual(readFileSync(path), saved);
  for (const lost of [1, 9, 30]) {
    writeFileSync(path, saved.subarray(0, saved.length - lost));
    cutRollouts(path, root);
    appendRollout(path, all[2] ?? []);
    const rows = readRollouts(path);
    assert.deepEqual(rows.slice(0, 4), all[0]);
    assert.deepEqual(rows.slice(-4), all[2]);
  }
  cutRollouts(path, null);
  assert.deepEqual(readRollouts(path), []);
});
