/** Row 5 on-policy: every system call of a run that samples, scores and keeps its rollouts fails in turn; see faults-train.test.ts. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { failEachCall, failingTraining, fillDisk } from "../support/failing-training.ts";
import { onlineFixture } from "../support/online-run.ts";

const fixture = onlineFixture({ rows: 2, held: 1, config: { num_hidden_layers: 1 } });
after(() => fixture[Symbol.dispose]());
// two rollouts of two steps: a checkpoint with a rollout in it and one without, one of each kind of record, an evaluation
const values = {
  ...fixture.online,
  ...{ use_peft: true, lora_r: 2, lora_target_modules: ["q_proj"], learning_rate: 1e-2, beta: 0.05 },
  ...{ per_device_train_batch_size: 4, gradient_accumulation_steps: 1, num_iterations: 2 },
  ...{ max_steps: 3, logging_steps: 1, eval_steps: 3, save_steps: 1, save_total_limit: 1 },
};
const training = await failingTraining({ fixture, values, what: "train on-policy" });

test("rollouts are among what is written, in the run and in a checkpoint", () => {
  const written = (pattern: RegExp) =>
    training.calls.filter(({ name, path }) => name === "writeSync" && pattern.test(path ?? "")).length;
  assert.ok(written(/rollouts\.jsonl\.gz$/) >= 2);
  assert.ok(written(/checkpoint.*rollout/) >= 1, training.calls.map(({ path }) => path).join("\n"));
});

test("each call fails once, for want of space or files or for a broken disk", () =>
  failEachCall(training, { stride: 23, inEveryWay: false }));

test("the disk is full from one call on, until there is space again", () => fillDisk(training, 60));
