import assert from "node:assert/strict";
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { processorName } from "./hardware.ts";
import {
  readRecord,
  recordProblem,
  type SetupInputs,
  type SetupRecord,
  saveRecord,
  writeRecord,
} from "./record.ts";
import { keepMeasurement } from "./set-up.ts";

const inputs: SetupInputs = {
  torchVariable: "",
  python: "/usr/bin/python3",
  compilerVariable: "",
  platform: "linux-x64",
  sources: "abc",
};

function written(t: TestContext): { folder: string; addon: string; watched: string } {
  const folder = mkdtempSync(join(tmpdir(), "preftune-record-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const [addon, watched] = [join(folder, "preftune.node"), join(folder, "torch")];
  writeFileSync(addon, "");
  writeFileSync(watched, "1");
  const torch = { version: "2.13.0", cuda: null, folder: "/opt/torch", source: "python3" } as const;
  writeRecord(folder, { inputs, torch, addon }, [watched, join(folder, "absent")]);
  return { folder, addon, watched };
}

function problem(folder: string, now: SetupInputs = inputs): string | null {
  const record = readRecord(folder);
  assert.ok(record !== null);
  return recordProblem(record, now);
}

test("a fresh record holds", (t) => {
  const { folder, addon } = written(t);
  assert.equal(problem(folder), null);
  assert.equal(readRecord(folder)?.addon, addon);
});

test("each change is noticed and named", (t) => {
  const { folder, addon, watched } = written(t);
  assert.equal(problem(folder, { ...inputs, sources: "abd" }), "the native sources have changed");
  assert.equal(problem(folder, { ...inputs, torchVariable: "/x" }), "PREFTUNE_TORCH has changed");
  assert.match(problem(folder, { ...inputs, python: null }) ?? "", /another one/);
  utimesSync(watched, 1, 1);
  assert.equal(problem(folder), `${watched} has changed`);
  writeFileSync(join(folder, "absent"), "now there");
  rmSync(addon);
  assert.equal(problem(folder), "the addon is gone");
});

test("a missing or broken record is none", (t) => {
  const { folder } = written(t);
  writeFileSync(join(folder, "setup.json"), '{"format": 1, "addon"');
  assert.equal(readRecord(folder), null);
  writeFileSync(join(folder, "setup.json"), '{"format": 2, "addon": "x"}');
  assert.equal(readRecord(folder), null);
  assert.equal(readRecord(join(folder, "nowhere")), null);
});

test("a processor that nothing was measured on is measured once, and others' figures stay", (t) => {
  const { folder } = written(t);
  const [here, elsewhere] = [processorName(), "another processor"];
  const speed = { torch: 90, onednn: 100, own: 0 };
  const measurement = { forward: speed, inputGradient: speed, weightGradient: speed, fewRows: speed };
  const measurements: string[] = [];
  const measure = (addon: string) => {
    measurements.push(addon);
    return { [here]: measurement };
  };
  const record = () => readRecord(folder) as SetupRecord;
  saveRecord(folder, { ...record(), matmul: { [elsewhere]: null } });
  keepMeasurement(folder, record(), measure);
  keepMeasurement(folder, record(), measure);
  assert.deepEqual(measurements, [record().addon]);
  assert.deepEqual(record().matmul, {
    [elsewhere]: null,
    [here]: measurement,
  });
  assert.equal(problem(folder), null);
  // one that failed is not tried at every start
  saveRecord(folder, { ...record(), matmul: { [here]: null } });
  keepMeasurement(folder, record(), measure);
  keepMeasurement(join(folder, "nowhere"), { ...record(), matmul: {} }, measure);
  assert.equal(measurements.length, 1);
});
