/** The file of completions: what is complete of it is read and kept, wherever it was truncated or damaged. */
import assert from "node:assert/strict";
import { constants } from "node:buffer";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { gzipSync } from "node:zlib";
import { amount, isNightly } from "../../test/support/campaign.ts";
import { armFault, type Fault } from "../../test/support/faults.ts";
import { FileError, FormatError } from "../base/errors.ts";
import { sha256 } from "../base/files.ts";
import { RolloutsFile, readRollouts, rolloutsIn } from "./rollouts.ts";
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
  const file = new RolloutsFile(path);
  for (const rows of rollouts) file.append(rows);
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

test("what is no gzip is an error that names the file and does not advise to delete it", () => {
  const path = join(root, "other");
  writeFileSync(path, "{}\n");
  assert.throws(
    () => readRollouts(path),
    (error) => {
      assert.ok(error instanceof FormatError && error.message.includes(path));
      assert.match(error.message, /Move the file to another folder/);
      assert.doesNotMatch(error.message, /[Dd]elete/);
      return true;
    },
  );
});

test("a line that is no completion is an error that says how many are before it", () => {
  const path = fileOf("no completion");
  writeFileSync(path, Buffer.concat([readFileSync(path), gzipSync('{"step":1,\n')]));
  assert.throws(() => readRollouts(path), /no completion: .*The 12 completions before can be read/);
});

test("a file longer than any string is read a completion at a time, and a rollout longer than a member in several", () => {
  const path = join(root, "long");
  const file = new RolloutsFile(path);
  const rollouts = amount(2, 28);
  for (let i = 0; i < rollouts; i++) {
    file.append([0, 1, 2].map((group) => ({ ...row(i, group), completion: `${group} `.repeat(3_300_000) })));
  }
  let count = 0;
  let characters = 0;
  for (const { rollout, group, completion } of rolloutsIn(path)) {
    assert.deepEqual([rollout, group], [Math.floor(count / 3), count % 3]);
    count++;
    characters += completion.length;
  }
  assert.deepEqual([count, characters], [3 * rollouts, 3 * rollouts * 6_600_000]);
  assert.ok(!isNightly || characters > constants.MAX_STRING_LENGTH);
});

/** A run's file of two rollouts, and a checkpoint after them. */
function saved(name: string) {
  const dir = join(root, name);
  const checkpoint = { path: join(dir, "checkpoint-2"), step: 2 };
  mkdirSync(checkpoint.path, { recursive: true });
  const path = join(dir, "rollouts.jsonl.gz");
  const file = new RolloutsFile(path);
  for (const rows of all.slice(0, 2)) file.append(rows);
  file.saveInto(checkpoint.path);
  const asides = () =>
    readdirSync(dir).filter((each) => each.startsWith("rollouts-damaged-") && each.endsWith(".jsonl.gz"));
  return { dir, path, file, bytes: readFileSync(path), checkpoint, asides };
}

/** What a checkpoint written now has of the file. */
function noteOf(file: RolloutsFile, dir: string): unknown {
  file.saveInto(dir);
  return JSON.parse(readFileSync(join(dir, "rollouts-length.json"), "utf8"));
}

test("a longer file is cut, and the next checkpoint has what it has of an uninterrupted run", () => {
  const { dir, path, file, bytes, checkpoint, asides } = saved("longer");
  file.append(all[2] ?? []);
  const whole = readFileSync(path);
  const uninterrupted = noteOf(file, dir);
  assert.deepEqual(uninterrupted, { bytes: whole.length, sha256: sha256(whole) });
  for (const left of [bytes, whole, Buffer.concat([whole, Buffer.from("torn")])]) {
    writeFileSync(path, left);
    const resumed = new RolloutsFile(path);
    assert.deepEqual(resumed.cutTo(checkpoint), []);
    assert.deepEqual(readFileSync(path), bytes);
    resumed.append(all[2] ?? []);
    assert.deepEqual(noteOf(resumed, dir), uninterrupted);
  }
  assert.deepEqual(asides(), []);
  assert.deepEqual(new RolloutsFile(path).cutTo(null), []);
  assert.ok(!existsSync(path), "of a run that begins again");
});

test("a flipped bit anywhere is noticed; the file is put aside, what can be read is kept", () => {
  const { dir, path, file, bytes, checkpoint, asides } = saved("flipped");
  file.append(all[2] ?? []);
  const whole = readFileSync(path);
  for (let at = 0; at < bytes.length; at += 3) {
    const damaged = Buffer.from(whole);
    damaged[at] = (damaged[at] as number) ^ (1 << (at % 8));
    writeFileSync(path, damaged);
    const resumed = new RolloutsFile(path);
    const [note = "", ...more] = resumed.cutTo(checkpoint);
    assert.match(
      note,
      /^rollouts\.jsonl\.gz has changed since it was written: .*Training is not affected/,
      `byte ${at}`,
    );
    assert.equal(more.length, 0);
    const [aside = "", ...others] = asides();
    assert.ok(note.includes(join(dir, aside)) && others.length === 0, note);
    assert.deepEqual(readFileSync(join(dir, aside)), damaged);
    rmSync(join(dir, aside));
    const kept = readRollouts(path);
    const readable = [0, 1, 2].filter((count) => isDeepStrictEqual(kept, all.slice(0, count).flat()));
    assert.equal(readable.length, 1, `byte ${at}`);
    resumed.append(all[2] ?? []);
    assert.deepEqual(readRollouts(path), [...kept, ...(all[2] ?? [])]);
    const now = readFileSync(path);
    assert.deepEqual(noteOf(resumed, dir), { bytes: now.length, sha256: sha256(now) });
  }
});

test("a missing file and a short one are noticed, by checkpoints of earlier versions too", () => {
  for (const [version, change] of [
    ["this", () => {}],
    // which had the length alone
    [
      "an earlier",
      (dir: string, bytes: number) =>
        writeFileSync(join(dir, "rollouts-length.json"), `{"bytes":${bytes}}\n`),
    ],
  ] as const) {
    const { path, bytes, checkpoint, asides } = saved(`${version} version`);
    change(checkpoint.path, bytes.length);
    for (const lost of [1, 9, 30]) {
      writeFileSync(path, bytes.subarray(0, bytes.length - lost));
      const resumed = new RolloutsFile(path);
      const [note = ""] = resumed.cutTo(checkpoint);
      const kept = readRollouts(path);
      const sizes = `has ${bytes.length - lost} bytes, not ${bytes.length}`;
      assert.match(
        note,
        new RegExp(`${sizes}: ${kept.length} completions until step 2 can be read and are kept`),
      );
      assert.ok(kept.length >= 4);
      assert.deepEqual(kept, all.flat().slice(0, kept.length));
      resumed.append(all[2] ?? []);
      assert.deepEqual(readRollouts(path), [...kept, ...(all[2] ?? [])]);
    }
    assert.equal(asides().length, 3);
    rmSync(path);
    const resumed = new RolloutsFile(path);
    assert.match(
      resumed.cutTo(checkpoint).join("\n"),
      /^rollouts\.jsonl\.gz is missing: the completions until step 2 are lost/,
    );
    resumed.append(all[2] ?? []);
    assert.deepEqual(readRollouts(path), all[2]);
    writeFileSync(path, bytes);
    assert.deepEqual(new RolloutsFile(path).cutTo(checkpoint), []);
  }
});

const failures: [name: string, fault: Omit<Fault, "at">][] = [
  ["open", { code: "EMFILE", names: ["openSync"] }],
  ["write", { code: "ENOSPC", names: ["writeSync"] }],
  ["close", { code: "EDQUOT", names: ["closeSync"] }],
  ["write, and taking back", { code: "EIO", names: ["writeSync", "ftruncateSync"], stays: true }],
];
for (const [what, fault] of failures) {
  test(`a rollout that cannot be appended is an error with the path, and taken back: ${what}`, () => {
    const { path, file, bytes } = saved(what);
    {
      using faults = armFault({ ...fault, at: 1, on: /rollouts\.jsonl\.gz$/ });
      assert.throws(
        () => file.append(all[2] ?? []),
        (error) => {
          assert.ok(error instanceof FileError, String(error));
          assert.ok(error.message.includes(path) && /earlier rollouts are untouched/.test(error.message));
          return true;
        },
      );
      assert.ok(faults.failed.length > 0);
    }
    assert.deepEqual(readFileSync(path), bytes);
  });
}

test("a checkpoint syncs the file before it has its length", () => {
  const { dir, path, file } = saved("synced");
  const { calls, failed } = (() => {
    using faults = armFault({ code: "EIO", at: 1, names: ["fsyncSync"], on: /rollouts\.jsonl\.gz$/ });
    assert.throws(() => file.saveInto(dir), FileError);
    return faults;
  })();
  assert.deepEqual([calls, failed], [[{ name: "fsyncSync", path }], [{ name: "fsyncSync", path }]]);
  assert.ok(!existsSync(join(dir, "rollouts-length.json")));
});
