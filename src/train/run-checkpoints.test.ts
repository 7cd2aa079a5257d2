/** Checkpoints of a run: the disk space for all of one is asked for before anything is written. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { temporaryDirectory } from "../../test/support/tiny-models.ts";
import { tinyTraining } from "../../test/support/tiny-training.ts";
import { FileError } from "../base/errors.ts";
import { newState } from "./checkpoint.ts";
import type { PreparedData } from "./prepare-data.ts";
import { RunCheckpoints } from "./run-checkpoints.ts";

test("what the source of the steps writes is counted, and where it cannot fit nothing is written", async () => {
  using dir = temporaryDirectory();
  const source = {
    ...{ totalSteps: 1, metrics: {}, checkpointBytes: 2 ** 60 },
    next: () => null,
    saveInto: () => assert.fail("it was to be refused before"),
  };
  // neither is read before the space is known
  const [config, data] = [{}, {}] as [ConstructorParameters<typeof RunCheckpoints>[1], PreparedData];
  const checkpoints = new RunCheckpoints(dir.path, config, tinyTraining("qwen3", "full"), { data, source });
  const saved = checkpoints.save(newState("rows"), null).next();
  await assert.rejects(saved, (error: Error) => {
    assert.ok(error instanceof FileError);
    assert.match(error.message, /^Cannot write the checkpoint to .*: 11529\d+ bytes/);
    return true;
  });
  assert.deepEqual(readdirSync(dir.path), []);
});
