/** A run that one process began before preftune could train on several ranks. */
import assert from "node:assert/strict";
import { cpSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type MetricRow, readMetrics } from "../../src/runs/metrics.ts";
import { startProcess } from "../support/command.ts";
import { allEnded, freePort, placesOf } from "../support/rank-processes.ts";
import { temporaryDirectory } from "../support/tiny-models.ts";

const fixture = join(import.meta.dirname, "../fixtures/run-before-ranks");
const main = join(import.meta.dirname, "../../src/cli/main.ts");

for (const shard of ["none", "all"]) {
  test(`is resumed from its checkpoint by four ranks with the numbers it went on to have, shard ${shard}`, async () => {
    using place = temporaryDirectory();
    cpSync(fixture, place.path, { recursive: true });
    const node = ["--conditions=preftune-source", main];
    const args = ["train", "run.yaml", "--resume", "--per_device_train_batch_size", "1", "--shard", shard];
    const ranks = placesOf(4, await freePort()).map((env) =>
      startProcess(process.execPath, [...node, ...args], { env, cwd: place.path }),
    );
    for (const { status, stderr } of await allEnded(ranks)) assert.equal(status, 0, stderr);
    const rowsIn = (dir: string) => readMetrics(join(dir, "run", "metrics.jsonl"));
    const [got, expected] = [rowsIn(place.path), rowsIn(fixture)];
    assert.deepEqual(got.map(stepOf), expected.map(stepOf));
    for (const [i, row] of expected.entries()) {
      for (const key of ["loss", "grad_norm", "eval_loss"]) {
        if (!(key in row)) continue;
        const far = Math.abs(Number(got[i]?.[key]) / Number(row[key]) - 1);
        assert.ok(far < 1e-6, `${key} of step ${row.global_step}: ${got[i]?.[key]}, expected ${row[key]}`);
      }
    }
  });
}

function stepOf(row: MetricRow): number {
  return row.global_step;
}
