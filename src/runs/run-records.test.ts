/** Tests of run-records.ts: logs that are too long to be copied with each checkpoint. */
import assert from "node:assert/strict";
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { sha256, sha256File } from "../base/files.ts";
import type { Checkpoint } from "./checkpoints.ts";
import { readMetrics } from "./metrics.ts";
import {
  cutRecords,
  damagedRecords,
  mostCopied,
  RecordCopies,
  type Records,
  recordsOf,
  restoreRecords,
} from "./run-records.ts";

const root = mkdtempSync(join(tmpdir(), "preftune-records-"));
after(() => rmSync(root, { recursive: true }));
let count = 0;

const padding = "x".repeat(4096);
const rowOf = (step: number): string => `${JSON.stringify({ global_step: step, padding })}\n`;
const rows = (from: number, to: number): string =>
  Array.from({ length: to - from + 1 }, (_, i) => rowOf(from + i)).join("");
/** The step until which metrics are longer than what is copied. */
const long = Math.ceil(mostCopied / rowOf(1000).length) + 10;

/** A run with metrics until a step. */
function runWith(step: number) {
  const dir = join(root, `run-${count++}`);
  mkdirSync(dir);
  const metrics = join(dir, "metrics.jsonl");
  writeFileSync(metrics, rows(1, step));
  return { dir, metrics, copies: new RecordCopies(dir) };
}

function saved(copies: RecordCopies): { records: Records; bytes: number } {
  const path = join(root, `checkpoint-${count++}`);
  mkdirSync(path);
  copies.saveInto(path);
  const files = [{ name: "records.json", bytes: 0, sha256: "" }];
  const checkpoint = { path, step: 1, manifest: { version: 1, step: 1, files } } as unknown as Checkpoint;
  return { records: recordsOf(checkpoint) ?? {}, bytes: statSync(join(path, "records.json")).size };
}

const asideIn = (dir: string): string[] => readdirSync(dir).filter((name) => name.includes("damaged"));
const steps = (path: string): number[] => readMetrics(path).map((row) => row.global_step);
const upTo = (step: number): number[] => Array.from({ length: step }, (_, i) => i + 1);

test("a log is copied up to a size; of a longer one each checkpoint has length and digest as it was then", () => {
  const { dir, metrics, copies } = runWith(3);
  writeFileSync(join(dir, "log.jsonl"), "{}\n");
  assert.deepEqual(saved(copies).records, { "metrics.jsonl": rows(1, 3), "log.jsonl": "{}\n" });
  for (const [from, to] of [
    [4, long],
    [long + 1, long + 5],
  ] as const) {
    appendFileSync(metrics, rows(from, to));
    const { records, bytes } = saved(copies);
    const state = { bytes: statSync(metrics).size, sha256: sha256File(metrics) };
    assert.deepEqual(records, { "metrics.jsonl": state, "log.jsonl": "{}\n" });
    assert.ok(bytes < 1000, `${bytes}`);
  }
});

test("a long log is continued from where it was at the checkpoint", () => {
  const { dir, metrics, copies } = runWith(long);
  const { records } = saved(copies);
  appendFileSync(metrics, rows(long + 1, long + 3));
  assert.deepEqual(damagedRecords(dir, records), []);
  cutRecords(dir, { records, step: long });
  assert.ok(readFileSync(metrics).equals(Buffer.from(rows(1, long))));
  assert.deepEqual(asideIn(dir), []);
});

test("what a damaged long log has lost is said, and the rest kept, however often the run is resumed from there", () => {
  const { dir, metrics, copies } = runWith(long);
  const { records } = saved(copies);
  const at = { records, step: long };
  appendFileSync(metrics, rows(long + 1, long + 3));
  const bytes = readFileSync(metrics);
  // the row of step 5 is no longer JSON
  bytes[bytes.indexOf('{"global_step":5,')] = 0x7c;
  writeFileSync(metrics, bytes);
  for (let i = 1; i <= 2; i++) {
    const [note = "", ...more] = restoreRecords(dir, damagedRecords(dir, records), at);
    const kept = `${long - 1} lines can be read and are kept, others are lost`;
    assert.match(
      note,
      new RegExp(
        `^metrics\\.jsonl has changed since it was written: it is longer than the 8\\.0 MiB .*; ${kept}\\. The file as it was is .*metrics-damaged-`,
      ),
    );
    assert.deepEqual(more, []);
    cutRecords(dir, at);
    assert.deepEqual(
      steps(metrics),
      upTo(long).filter((step) => step !== 5),
    );
    assert.equal(asideIn(dir).length, i);
    appendFileSync(metrics, rows(long + 1, long + 2));
  }
  assert.ok(asideIn(dir).some((name) => readFileSync(join(dir, name)).equals(bytes)));
});

test("an earlier checkpoint than the one that the log was compared with cuts it at its step", () => {
  const { dir, metrics, copies } = runWith(long);
  const earlier = saved(copies).records;
  appendFileSync(metrics, rows(long + 1, long + 4));
  const { records } = saved(copies);
  const bytes = readFileSync(metrics);
  bytes[bytes.indexOf('{"global_step":7,')] = 0x7c;
  writeFileSync(metrics, bytes);
  restoreRecords(dir, damagedRecords(dir, records), { records, step: long + 4 });
  cutRecords(dir, { records: earlier, step: long });
  assert.deepEqual(
    steps(metrics),
    upTo(long).filter((step) => step !== 7),
  );
});

test("long logs that are missing or cut, and events", () => {
  const { dir, metrics, copies } = runWith(long);
  const log = join(dir, "log.jsonl");
  writeFileSync(log, rows(1, long));
  const { records } = saved(copies);
  rmSync(metrics);
  writeFileSync(log, `${rows(1, 20)}{"torn`);
  const notes = restoreRecords(dir, damagedRecords(dir, records), { records, step: long });
  assert.match(
    notes.join("\n"),
    new RegExp(
      `^metrics\\.jsonl is missing: .* what was in it until step ${long} is lost\\. Training is not affected`,
      "m",
    ),
  );
  assert.match(notes.join("\n"), /^log\.jsonl has changed.*; 20 lines can be read and are kept/m);
  assert.equal(readFileSync(log, "utf8"), rows(1, 20));
  cutRecords(dir, { records, step: long });
  assert.deepEqual(steps(metrics), []);
});

test("a short log is put back from its copy, as before", () => {
  const { dir, metrics, copies } = runWith(9);
  const { records } = saved(copies);
  assert.equal(sha256(String(records["metrics.jsonl"])), sha256File(metrics));
  appendFileSync(metrics, rows(10, 11));
  const bytes = readFileSync(metrics);
  bytes[20] = 0x37;
  writeFileSync(metrics, bytes);
  const notes = restoreRecords(dir, damagedRecords(dir, records), { records, step: 9 });
  assert.deepEqual(notes, [
    "metrics.jsonl has changed since it was written: put back as it was at the checkpoint",
  ]);
  assert.equal(readFileSync(metrics, "utf8"), rows(1, 9));
});
