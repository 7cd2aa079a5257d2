/** `replay`: a step computed again is the same to the bit; a changed record, or another reward, is found. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, test } from "node:test";
import { gzipSync } from "node:zlib";
import { ConfigError, FileError } from "../../src/base/errors.ts";
import { replay } from "../../src/recipes/replay.ts";
import { readRollouts } from "../../src/runs/rollouts.ts";
import { runPaths } from "../../src/runs/run-directory.ts";
import type { RolloutRow } from "../../src/runs/train-events.ts";
import { armFault } from "../support/faults.ts";
import { onlineFixture } from "../support/online-run.ts";
import { filesOf, runTraining } from "../support/runs.ts";

const fixture = onlineFixture({ held: 2 });
after(() => fixture[Symbol.dispose]());
const dir = fixture.path("run");
await runTraining({
  ...fixture.online,
  output_dir: dir,
  max_steps: 5,
  save_steps: 2,
  eval_strategy: "steps",
  eval_steps: 4,
  eval_on_start: false,
});

test("steps computed again are the same, and the run is left as it was", async () => {
  const before = filesOf(dir);
  assert.deepEqual(await replay({ run: dir, step: 4 }), {
    from: 2,
    // one of them of the evaluation
    rows: 3,
    completions: 16,
    difference: null,
  });
  assert.deepEqual(await replay({ run: dir, step: 1 }), {
    from: 0,
    rows: 1,
    completions: 8,
    difference: null,
  });
  assert.deepEqual(filesOf(dir), before);
  await assert.rejects(replay({ run: dir, step: 6 }), ConfigError);
});

test("completions as an earlier version wrote them, with less, are the same; one with another number is not", async () => {
  const { rollouts } = runPaths(dir);
  const written = readFileSync(rollouts);
  const rows = readRollouts(rollouts);
  const replaced = async (change: (row: RolloutRow) => object) => {
    writeFileSync(rollouts, gzipSync(rows.map((row) => `${JSON.stringify(change(row))}\n`).join("")));
    return (await replay({ run: dir, step: 1 })).difference;
  };
  assert.equal(await replaced(({ advantage: _, ...row }) => row), null);
  assert.match(`${await replaced((row) => ({ ...row, advantage: 7 }))}`, /^step 1: completion 1 of the run/);
  writeFileSync(rollouts, written);
});

test("no space for the copy is an error with the path, also where what is there of it cannot be removed", async () => {
  using _ = armFault({
    ...{ code: "ENOSPC", at: 3, stays: true, names: ["mkdirSync", "openSync", "rmSync"] },
    on: /preftune-replay-/,
  });
  await assert.rejects(
    replay({ run: dir, step: 4 }),
    (error) => error instanceof FileError && /Cannot copy the run to .*preftune-replay-/.test(error.message),
  );
});

test("a reward function that gives other numbers now is found", async () => {
  const module = readFileSync(fixture.rewards, "utf8");
  writeFileSync(fixture.rewards, module.replace("id % 2 === 0", "id % 2 === 1"));
  const { difference } = await replay({ run: dir, step: 3 });
  assert.match(difference ?? "", /^step 3: /);
  writeFileSync(fixture.rewards, module);
});

test("an offline run is replayed as well", async () => {
  const offline = fixture.path("offline");
  const { reward_funcs: _, ...values } = fixture.values;
  await runTraining({ ...values, objective: "slime", output_dir: offline, max_steps: 2, logging_steps: 1 });
  assert.equal((await replay({ run: offline, step: 2 })).difference, null);
  assert.ok(readFileSync(join(offline, "metrics.jsonl")).length > 0);
});

test("a run with a tracker is replayed without a word to it", async () => {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url ?? "");
    response.end("{}");
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const path = join(dir, "config.yaml");
  const text = readFileSync(path, "utf8");
  process.env["MLFLOW_TRACKING_URI"] = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    writeFileSync(path, text.replace(/^report_to: .*$/m, "report_to: [mlflow]\nproject: p"));
    assert.equal((await replay({ run: dir, step: 4 })).difference, null);
  } finally {
    writeFileSync(path, text);
    delete process.env["MLFLOW_TRACKING_URI"];
    server.close();
  }
  assert.deepEqual(asked, []);
});
