/** Metrics files: numbers that JSON lacks, torn lines, resuming; and the table of names. */
import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import { FileError, FormatError } from "../base/errors.ts";
import { io } from "../base/file-io.ts";
import { parseNumbers, stringifyNumbers } from "../base/json-numbers.ts";
import { greaterIsBetter, METRICS, metricInfo } from "../config/metric-names.ts";
import { cutAfterStep } from "./json-lines.ts";
import { isEvalRow, MetricsWriter, readMetrics } from "./metrics.ts";

const dir = mkdtempSync(join(tmpdir(), "preftune-metrics-"));
after(() => rmSync(dir, { recursive: true }));
let files = 0;
const newPath = (): string => join(dir, `${files++}.jsonl`);

test("NaN and infinities are bare words, as Python's json writes them", () => {
  const row = {
    loss: Number.NaN,
    a: [Number.POSITIVE_INFINITY],
    b: Number.NEGATIVE_INFINITY,
    text: 'NaN "-Infinity"',
  };
  const text = stringifyNumbers(row);
  assert.equal(text, '{"loss":NaN,"a":[Infinity],"b":-Infinity,"text":"NaN \\"-Infinity\\""}');
  assert.deepEqual(parseNumbers(text), row);
  assert.throws(() => parseNumbers('{"a":nan}'), SyntaxError);
});

test("any value comes back as it was written", () => {
  const number = fc.double().map((x) => (Object.is(x, -0) ? 0 : x));
  const value = fc.dictionary(fc.string(), fc.oneof(number, fc.string(), fc.boolean(), fc.constant(null)));
  fc.assert(
    fc.property(value, (row) => {
      // a copy, since the generator's objects may lack a prototype
      assert.deepEqual(parseNumbers(stringifyNumbers(row)), { ...row });
    }),
    { examples: [[{ "": Number.NEGATIVE_INFINITY }]] },
  );
});

test("a torn line is left out by readers and cut off when the file is opened again", () => {
  const path = newPath();
  const writer = new MetricsWriter(path);
  writer.write({ global_step: 1, loss: 0.5 });
  writer.write({ global_step: 2, loss: Number.NaN });
  writer.close();
  const whole = readFileSync(path);
  // Torn inside a two-byte character.
  appendFileSync(path, Buffer.concat([Buffer.from('{"global_step":3,"note":"'), Buffer.from([0xc3])]));
  assert.deepEqual(readMetrics(path), [
    { global_step: 1, loss: 0.5 },
    { global_step: 2, loss: Number.NaN },
  ]);
  new MetricsWriter(path).close();
  assert.deepEqual(readFileSync(path), whole);
});

test("after truncation a resumed run continues the file as the uninterrupted one", () => {
  const rows = Array.from({ length: 6 }, (_, i) => ({ global_step: i + 1, loss: 1 / (i + 1), epoch: "é" }));
  const whole = newPath();
  const resumed = newPath();
  for (const [path, upTo] of [
    [whole, 6],
    [resumed, 5],
  ] as const) {
    const writer = new MetricsWriter(path);
    for (const row of rows.slice(0, upTo)) writer.write(row);
    writer.close();
  }
  const writer = new MetricsWriter(resumed);
  cutAfterStep(resumed, 3);
  for (const row of rows.slice(3)) writer.write(row);
  writer.sync();
  writer.close();
  assert.deepEqual(readFileSync(resumed), readFileSync(whole));
});

test("a full disk loses no earlier row and leaves no half one", () => {
  const path = newPath();
  const writer = new MetricsWriter(path);
  writer.write({ global_step: 1 });
  const { writeSync } = io;
  io.writeSync = (fd, bytes, offset, length) => {
    if (offset > 0) throw Object.assign(new Error("ENOSPC: no space left"), { code: "ENOSPC" });
    return writeSync(fd, bytes, 0, Math.min(length, 4));
  };
  try {
    assert.throws(
      () => writer.write({ global_step: 2 }),
      (error) => error instanceof FileError && /disk is full/.test(error.message),
    );
  } finally {
    io.writeSync = writeSync;
  }
  writer.write({ global_step: 3 });
  writer.close();
  assert.equal(readFileSync(path, "utf8"), '{"global_step":1}\n{"global_step":3}\n');
});

test("damaged lines are named", () => {
  const path = newPath();
  writeFileSync(path, '{"global_step":1}\n{"loss"\n{"global_step":2}\n');
  assert.throws(
    () => readMetrics(path),
    (error) => error instanceof FormatError && error.message.includes(`${path}:2:`),
  );
  writeFileSync(path, '{"loss":1}\n');
  assert.throws(() => readMetrics(path), /:1: expected an object with a number global_step/);
  assert.deepEqual(readMetrics(newPath()), []);
});

test("the table of names", () => {
  const keys = METRICS.map(({ key }) => key);
  // a key may mean something else in other methods
  const places = METRICS.flatMap(({ key, objectives = ["all"] }) => objectives.map((one) => `${key} ${one}`));
  assert.equal(new Set(places).size, places.length);
  assert.match(metricInfo("kl")?.definition ?? "", /grpo.*kto: /);
  for (const key of [
    "loss",
    "grad_norm",
    "rewards/chosen",
    "rewards/margins",
    "logps/rejected",
    "slime/anchor_loss",
    "slime/frac_rejected_tokens_penalised",
    "logps/chosen_delta_init",
    "data/frac_truncated",
  ]) {
    assert.ok(keys.includes(key), key);
  }
  assert.equal(metricInfo("eval_loss"), metricInfo("loss"));
  assert.equal(metricInfo("eval_nothing"), null);
  assert.deepEqual(["eval_loss", "eval_rewards/margins", "my_loss", "score"].map(greaterIsBetter), [
    false,
    true,
    false,
    true,
  ]);
  assert.ok(isEvalRow({ global_step: 1, eval_loss: 1 }) && !isEvalRow({ global_step: 1, loss: 1 }));
});
