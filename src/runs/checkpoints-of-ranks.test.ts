/** A checkpoint that several ranks write: one manifest of all their files, and one failure for all. */
import assert from "node:assert/strict";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { changingCalls } from "../../test/support/faults.ts";
import type { ThreadCheckpoint, ThreadCheckpointResult } from "../../test/support/thread-checkpoint.ts";
import { onThreads } from "../../test/support/thread-ranks.ts";
import { exitCodes } from "../base/errors.ts";
import { writeSafetensors } from "../formats/safetensors-write.ts";
import { sliceFileName } from "../formats/slices.ts";
import {
  checkpointPath,
  checkpointToResume,
  faultOf,
  latestCheckpoint,
  writeCheckpoint,
} from "./checkpoints.ts";

const module = new URL("../../test/support/thread-checkpoint.ts", import.meta.url).href;

function temporaryDirectory(): { path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), "preftune-ranks-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true }) };
}

/** What each rank has of each plan. */
function write(size: number, ...plans: ThreadCheckpoint[]): Promise<ThreadCheckpointResult[][]> {
  return onThreads(size, module, plans);
}

test("the manifest lists the files of all ranks, each with its digest", async () => {
  using place = temporaryDirectory();
  const path = checkpointPath(place.path, 7);
  const results = await write(3, { dir: place.path, step: 7 });
  assert.deepEqual(
    results.map(([only]) => only?.path),
    [path, path, path],
  );
  const { checkpoint, rejected } = latestCheckpoint(place.path);
  assert.deepEqual(rejected, []);
  assert.deepEqual(
    checkpoint?.manifest.files.map(({ name, bytes }) => [name, bytes]),
    [
      ["config.json", 2],
      ["part-0", 16],
      ["part-1", 16],
      ["part-2", 16],
    ],
  );
});

/** More than the calls that a rank makes: 30 of rank 0, 10 of another. */
const calls = [40, 14];

for (const [faultyRank, most] of calls.entries()) {
  test(`whatever fails on rank ${faultyRank}: the same sentence everywhere, nothing left, the earlier one intact`, async () => {
    using place = temporaryDirectory();
    const plan = { dir: place.path, step: 2, faultyRank };
    const plans = Array.from({ length: most }, (_, i) => ({
      ...plan,
      fault: { code: "ENOSPC", at: i + 1, names: changingCalls } as const,
    }));
    const [first, second] = await write(2, { dir: place.path, step: 1 }, ...plans);
    assert.ok(first !== undefined && second !== undefined);
    let refused = 0;
    for (const [i, { error, latest, names }] of first.entries()) {
      assert.deepEqual(second[i]?.error, error);
      if (i === 0 || error === undefined) {
        assert.equal(latest, i === 0 ? 1 : 2);
        continue;
      }
      refused++;
      assert.deepEqual([error.name, error.exitCode], ["RankFailure", exitCodes.FileError]);
      const start = `rank ${faultyRank} (host ${hostname()}): Cannot `;
      assert.ok(error.message.startsWith(start) && /the disk is full \(ENOSPC\)/.test(error.message));
      const isInPlace = /write directory .* The new content is in place/.test(error.message);
      assert.equal(latest, isInPlace ? 2 : 1);
      assert.deepEqual(names, isInPlace ? ["checkpoint-1", "checkpoint-2"] : ["checkpoint-1"]);
    }
    assert.ok(refused >= (faultyRank === 0 ? 20 : 5), `${refused} failures`);
    assert.equal([first, second][faultyRank]?.at(-1)?.failed, 0, "the last fault is beyond all calls");
  });
}

test("an error that is a bug comes with the stack of the rank that has it", async () => {
  using place = temporaryDirectory();
  const results = await write(3, { dir: place.path, step: 1, faultyRank: 2, bug: "out of luck" });
  for (const [only] of results) {
    assert.equal(only?.error?.exitCode, 1);
    assert.match(only.error.message, /^rank 2 \(host .*\): Error: out of luck\n +at fill /);
    assert.deepEqual(only.names, []);
  }
});

/** What is done to the files of a checkpoint of two ranks, and what is said of it. */
const damages: [string, (dir: string, other: string) => void, RegExp][] = [
  ["a missing file", (dir) => rmSync(join(dir, second)), /rank-00001-of-00002\.safetensors is missing/],
  ["a flipped bit", (dir) => flipBit(join(dir, second)), /00002\.safetensors has changed .*\(SHA-256\)/],
  [
    "a file of another step",
    (dir, other) => copyFileSync(join(other, second), join(dir, second)),
    /rank-00001-of-00002\.safetensors is of step 1, not of step 2/,
  ],
  [
    "a newer format",
    (dir) => writeFileSync(join(dir, "checkpoint.json"), '{"version":2}'),
    /expected .* version 1, got version 2\. A newer version has written it: update preftune/,
  ],
];
const second = sliceFileName(1, 2);

function flipBit(path: string): void {
  const bytes = readFileSync(path);
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
  writeFileSync(path, bytes);
}

for (const [what, damage, message] of damages) {
  test(`of a checkpoint with ${what} the reason is given, and the one before it is taken`, async () => {
    using place = temporaryDirectory();
    const paths: string[] = [];
    for (const step of [1, 2]) {
      const fill = (into: string): void => {
        for (const rank of [0, 1]) {
          const numbers = { name: `w@${rank}-${rank + 1}`, dtype: "F32", shape: [1] } as const;
          const source = { ...numbers, bytes: () => new Uint8Array([0, 0, 0, step]) };
          writeSafetensors(join(into, sliceFileName(rank, 2)), [source], { step: String(step) });
        }
      };
      paths.push(await writeCheckpoint(place.path, step, fill));
    }
    const [first = "", last = ""] = paths;
    assert.equal(faultOf(last), null);
    damage(last, first);
    assert.match(faultOf(last) ?? "", message);
    const { checkpoint, rejected } = latestCheckpoint(place.path);
    assert.equal(checkpoint?.step, 1);
    assert.match(rejected[0]?.reason ?? "", message);
    assert.throws(() => checkpointToResume(place.path, "checkpoint-2"), message);
  });
}
