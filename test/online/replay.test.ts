/** `replay`: a step computed again is the same to the bit; a changed record, or another reward, is found. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { ConfigError } from "../../src/base/errors.ts";
import { replay } from "../../src/recipes/replay.ts";
import { onlineFixture } from "../support/online-run.ts";
import { filesOf, runTraining } from "../support/runs.ts";

const fixture = onlineFixture();
after(() => fixture[Symbol.dispose]());
const dir = fixture.path("run");
await runTraining({ ...fixture.online, output_dir: dir, max_steps: 5, save_steps: 2 });

test("steps computed again are the same, and the run is left as it was", async () => {
  const before = filesOf(dir);
  assert.deepEqual(await replay({ run: dir, step: 4 }), {
    from: 2,
    rows: 2,
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
