/** Checkpoints: manifests, damage of every kind, falling back, retention. */
import assert from "node:assert/strict";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import { armFault, type Fault } from "../../test/support/faults.ts";
import { ConfigError, FileError, FormatError } from "../base/errors.ts";
import {
  checkpointPath,
  checkpointToResume,
  latestCheckpoint,
  listCheckpoints,
  pruneCheckpoints,
  readManifest,
  setAsideAbove,
  verifyCheckpoint,
  writeCheckpoint,
} from "./checkpoints.ts";
import { retain } from "./retention.ts";

const root = mkdtempSync(join(tmpdir(), "preftune-checkpoints-"));
after(() => rmSync(root, { recursive: true }));
let count = 0;

async function withCheckpoints(...steps: number[]): Promise<string> {
  const dir = join(root, String(count++), "checkpoints");
  for (const step of steps) {
    await writeCheckpoint(dir, step, (into) => {
      writeFileSync(join(into, "model.safetensors"), `weights of ${step}`);
      mkdirSync(join(into, "rng"));
      writeFileSync(join(into, "rng", "cpu.json"), "[1,2]");
    });
  }
  return dir;
}

test("later checkpoints are set aside the newest first; what fails is an error with the path", async () => {
  const steps = (dir: string) => listCheckpoints(dir).map(({ step }) => step);
  const failures: [fault: Fault, at: RegExp, left: number[]][] = [
    [{ code: "EIO", at: 2, names: ["renameSync"] }, /Cannot put aside .*checkpoint-4:/, [2, 4]],
    [{ code: "EIO", at: 1, names: ["fsyncSync"] }, /Cannot sync .*checkpoints:/, [2]],
  ];
  for (const [fault, message, left] of failures) {
    const dir = await withCheckpoints(2, 4, 6);
    {
      using _ = armFault(fault);
      assert.throws(
        () => setAsideAbove(dir, 2),
        (error) => error instanceof FileError && message.test(error.message),
      );
    }
    assert.deepEqual(steps(dir), left);
  }
  const dir = await withCheckpoints(2, 4, 6);
  const aside = setAsideAbove(dir, 2);
  assert.deepEqual(
    aside.map((path) => /left-(\d+)-/.exec(path)?.[1]),
    ["4", "6"],
  );
  assert.deepEqual(steps(dir), [2]);
  assert.ok(aside.every((path) => existsSync(join(path, "checkpoint.json"))));
  assert.deepEqual(setAsideAbove(dir, 2), []);
});

test("a checkpoint lists its files with size and SHA-256", async () => {
  const dir = await withCheckpoints(10);
  const [checkpoint] = listCheckpoints(dir);
  assert.ok(checkpoint !== undefined);
  assert.deepEqual(
    checkpoint.manifest.files.map(({ name, bytes }) => [name, bytes]),
    [
      ["model.safetensors", 13],
      ["rng/cpu.json", 5],
    ],
  );
  // Digest of the five bytes "[1,2]", from coreutils' sha256sum.
  assert.equal(
    checkpoint.manifest.files[1]?.sha256,
    "49a64717d5d4cb19952e6eac2946415cf6879adacf9908e7d872332d32c6e684",
  );
  assert.deepEqual(verifyCheckpoint(checkpoint), []);
});

test("the newest good checkpoint is found past damaged ones, with the reasons", async () => {
  const dir = await withCheckpoints(2, 10, 30, 40, 50);
  const file = (step: number): string => join(checkpointPath(dir, step), "model.safetensors");
  const bytes = readFileSync(file(30));
  bytes[3] = (bytes[3] ?? 0) ^ 1;
  writeFileSync(file(30), bytes);
  appendFileSync(file(40), "x");
  rmSync(join(checkpointPath(dir, 50), "checkpoint.json"));
  mkdirSync(join(dir, ".checkpoint-60.new-1-aaaaaaaa"));
  mkdirSync(checkpointPath(dir, 70));
  const { checkpoint, rejected } = latestCheckpoint(dir);
  assert.equal(checkpoint?.step, 10);
  assert.deepEqual(
    rejected.map(({ step, reason }) => [step, reason]),
    [
      [70, "it has no checkpoint.json: writing was interrupted"],
      [50, "it has no checkpoint.json: writing was interrupted"],
      [40, "model.safetensors has 14 bytes, not 13"],
      [30, "model.safetensors has changed since it was written (SHA-256)"],
    ],
  );
  assert.deepEqual(
    listCheckpoints(dir).map(({ step }) => step),
    [2, 10, 30, 40],
  );
});

test("resuming takes the latest or the one that is named, and never another in its place", async () => {
  const dir = await withCheckpoints(5, 9);
  assert.equal(checkpointToResume(dir, "latest").checkpoint?.step, 9);
  assert.equal(checkpointToResume(dir, "checkpoint-5").checkpoint?.step, 5);
  assert.equal(checkpointToResume(dir, checkpointPath(dir, 5)).checkpoint?.step, 5);
  rmSync(join(checkpointPath(dir, 5), "rng", "cpu.json"));
  assert.throws(
    () => checkpointToResume(dir, "checkpoint-5"),
    (e) => e instanceof FormatError && /rng\/cpu\.json is missing/.test(e.message),
  );
  assert.throws(
    () => checkpointToResume(dir, "checkpoint-7"),
    (e) => e instanceof ConfigError && /got "checkpoint-7"/.test(e.message),
  );
  rmSync(checkpointPath(dir, 9), { recursive: true });
  assert.throws(
    () => checkpointToResume(dir, "latest"),
    /no checkpoint to resume from .*all are damaged.*rng\/cpu\.json is missing\. To begin the run again, move them/,
  );
});

test("manifests that lie are refused", async () => {
  const dir = checkpointPath(await withCheckpoints(1), 1);
  const path = join(dir, "checkpoint.json");
  const entry = { bytes: 1, sha256: "a".repeat(64) };
  for (const name of ["../x", "/etc/passwd", "a/../../x", "..", ""]) {
    writeFileSync(path, JSON.stringify({ version: 1, step: 1, files: [{ name, ...entry }] }));
    assert.throws(() => readManifest(dir), FormatError, name);
  }
  for (const text of ["null", "[]", "{", '{"version":2}', '{"version":1,"step":"1","files":[]}']) {
    writeFileSync(path, text);
    assert.throws(() => readManifest(dir), FormatError, text);
  }
});

test("pruning keeps the newest, the best and the last good one, and removes whole directories", async () => {
  const dir = await withCheckpoints(1, 2, 3, 4, 5);
  assert.deepEqual(pruneCheckpoints(dir, null, 2), []);
  appendFileSync(join(checkpointPath(dir, 5), "model.safetensors"), "damage");
  const removed = pruneCheckpoints(dir, 1, 2);
  assert.deepEqual(
    removed.map(({ step }) => step),
    [1, 3],
  );
  for (const [step, isThere] of [
    [1, false],
    [2, true],
    [3, false],
    [4, true],
    [5, true],
  ] as const) {
    assert.equal(existsSync(checkpointPath(dir, step)), isThere, `step ${step}`);
  }
});

test("writing a step again replaces it", async () => {
  const dir = await withCheckpoints(3);
  await writeCheckpoint(dir, 3, (into) => writeFileSync(join(into, "other"), "y"));
  const [checkpoint] = listCheckpoints(dir);
  assert.deepEqual(
    checkpoint?.manifest.files.map(({ name }) => name),
    ["other"],
  );
});

test("a failed write leaves the earlier checkpoints and nothing else", async () => {
  const dir = await withCheckpoints(3);
  const failing = writeCheckpoint(dir, 4, () => {
    throw new Error("out of luck");
  });
  await assert.rejects(failing, /out of luck/);
  assert.equal(latestCheckpoint(dir).checkpoint?.step, 3);
  assert.deepEqual(latestCheckpoint(dir).rejected, []);
});

interface Save {
  step: number;
  verified: boolean;
  isBest: boolean;
}

/** Saves one after another, retaining after each; checks what must never be removed. */
function follow(saves: readonly Save[], limit: number | null): void {
  let held: Save[] = [];
  for (const [i, save] of saves.entries()) {
    held.push(save);
    const past = saves.slice(0, i + 1);
    const best = past.findLast(({ isBest }) => isBest)?.step ?? null;
    const lastVerified = past.findLast(({ verified }) => verified)?.step ?? null;
    const { keep, remove } = retain(held, { save_total_limit: limit, best });
    assert.deepEqual(
      [...keep, ...remove].sort((a, b) => a - b),
      held.map(({ step }) => step),
    );
    for (const step of [save.step, best, lastVerified]) assert.ok(step === null || keep.includes(step));
    assert.ok(limit === null || keep.length <= limit + 2, "the limit, the best and the last good one");
    held = held.filter(({ step }) => keep.includes(step));
  }
}

test("10,000 random schedules: the last verified and the best checkpoint are never removed", () => {
  const save = fc.record({
    gap: fc.integer({ min: 1, max: 50 }),
    verified: fc.boolean(),
    isBest: fc.boolean(),
  });
  const schedule = fc.tuple(fc.option(fc.integer({ min: 1, max: 5 })), fc.array(save, { maxLength: 30 }));
  const property = fc.property(schedule, ([limit, gaps]) => {
    let step = 0;
    const saves = gaps.map(({ gap, ...rest }) => {
      step += gap;
      return { step, ...rest };
    });
    follow(saves, limit);
  });
  fc.assert(property, { numRuns: 10_000 });
});
