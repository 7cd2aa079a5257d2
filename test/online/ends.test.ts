/** How completions end: each of the model's end tokens counts, is trained on, and one that is cut has none. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, test } from "node:test";
import { openRolloutTraining } from "../../src/recipes/rollout-training.ts";
import { readMetrics } from "../../src/runs/metrics.ts";
import { readRollouts } from "../../src/runs/rollouts.ts";
import { onlineFixture } from "../support/online-run.ts";
import { runTraining } from "../support/runs.ts";
import { endOfTurn } from "../support/tiny-model.ts";

/** Several of them, as models that were tuned for chats have; a tiny model draws each now and then. */
const ends = [endOfTurn, 40, 41, 90, 91, 92, 93, 94, 95, 96, 97, 98, 99, 100, 150, 151, 152, 153, 200, 201];
const longest = 8;
const fixture = onlineFixture({ config: { eos_token_id: ends } });
after(() => fixture[Symbol.dispose]());

test("every end token of the model ends a completion, and is its last token; one that was cut has none", async () => {
  const dir = fixture.path("run");
  await runTraining({ ...fixture.online, output_dir: dir, num_generations: 8, top_p: 0.99 });
  const rows = readRollouts(join(dir, "rollouts.jsonl.gz"));
  const drawn = new Set<number>();
  for (const { ids, ended } of rows) {
    const last = ids.at(-1) ?? assert.fail("no token was drawn");
    assert.equal(ended, ends.includes(last));
    assert.ok(ids.slice(0, -1).every((id) => !ends.includes(id)));
    if (ended) drawn.add(last);
    else assert.equal(ids.length, longest);
  }
  assert.ok(drawn.size > 3 && !rows.every(({ ended }) => ended), `${[...drawn]}`);
  for (const [step, row] of readMetrics(join(dir, "metrics.jsonl")).entries()) {
    const own = rows.filter((one) => one.step === step + 1);
    const finished = own.filter(({ ended }) => ended).map(({ ids }) => ids.length);
    assert.equal(row["completions/clipped_ratio"], 1 - finished.length / own.length);
    assert.equal(row["completions/max_terminated_length"], Math.max(0, ...finished));
    assert.equal(
      row["completions/mean_length"],
      own.reduce((sum, { ids }) => sum + ids.length, 0) / own.length,
    );
    // of the end tokens too: they are trained on
    assert.ok((row["sampling/sampling_logp_difference/max"] as number) < 1e-5);
  }
});

test("a custom loop knows the same end tokens", async () => {
  await using open = await openRolloutTraining({
    values: { ...fixture.online, output_dir: fixture.path("unused") },
  });
  for (const id of ends) assert.ok(open.data.stopIds.has(id), `${id}`);
});
