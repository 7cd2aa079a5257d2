/**
 * Restart replay (rows 2 and 3): a run of 40 steps resumed in a new process after every one of them, a run that is stopped,
 * moved and resumed again and again, and steps cut otherwise after a resume.
 */
import assert from "node:assert/strict";
import { renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Random } from "../../src/base/random.ts";
import { amount, campaignSeed, figure, holds } from "../support/campaign.ts";
import {
  assertSameRun,
  checkpointOf,
  childEnd,
  cutBack,
  losses,
  type RunRecord,
  runFixture,
  runTraining,
  tensorsOf,
  trainInChild,
  type Values,
} from "../support/runs.ts";

const random = new Random(campaignSeed);
const lastStep = amount(12, 40);

// 13 rows in steps of 4: an epoch ends with a part of a step; evaluations fall on and between its ends
const fixture = runFixture({ rows: 13, held: 4 });
after(() => fixture[Symbol.dispose]());
const recipe: Values = {
  ...fixture.values,
  objective: "dpo",
  use_peft: true,
  lora_r: 4,
  lora_dropout: 0.05,
  learning_rate: 5e-3,
  lr_scheduler_type: "cosine",
  warmup_steps: 3,
  weight_decay: 0.1,
  per_device_train_batch_size: 2,
  gradient_accumulation_steps: 2,
  max_steps: lastStep,
  logging_steps: 3,
  eval_steps: 5,
  save_steps: 1,
};
const resumed: Values = { resume_from_checkpoint: "latest" };
const whole = fixture.path("whole");
/** What the uninterrupted run printed after each step: number, digest of the generator's state, loss. */
let lines: string[] = [];

before(async () => {
  const end = await childEnd(trainInChild({ ...recipe, output_dir: whole }));
  assert.equal(end.code, 0, end.stderr);
  lines = end.stdout.trim().split("\n");
  assert.equal(lines.length, lastStep);
  assert.equal(new Set(lines).size, lastStep);
});

/** Steps to resume after: all, or a few of different kinds: within an epoch, at its end, after an evaluation, the last. */
const steps: number[] = amount(0, 1) === 1 ? Array.from({ length: lastStep }, (_, i) => i + 1) : [4, 5, 12];

test("resumed in a new process after each step = uninterrupted", async () => {
  let same = 0;
  for (const step of steps) {
    const dir = cutBack(whole, fixture.path(`after-${step}`), step);
    const held = await holds(`after step ${step}`, async () => {
      const end = await childEnd(trainInChild({ ...recipe, output_dir: dir, ...resumed }));
      assert.equal(end.code, 0, end.stderr);
      // losses and random numbers of every step that was left
      assert.deepEqual(
        end.stdout.trim().split("\n").filter(Boolean),
        lines.slice(step),
        `after step ${step}`,
      );
      assertSameRun(dir, whole, lastStep);
    });
    if (held) same += 1;
    rmSync(dir, { recursive: true });
    if (step % 10 === 0) console.log(`resumed after ${step} of ${lastStep} steps`);
  }
  figure(
    2,
    "resumed in a new process after each step (LoRA with dropout, two micro-batches a step, within and at the end of epochs, after evaluations)",
    `${same} of ${steps.length} the same bytes, random numbers after every step the same`,
    `${steps.length} of ${steps.length}`,
    same === steps.length,
  );
});

test("stopped, moved and resumed over and over = uninterrupted", async () => {
  const chains = amount(1, 20);
  let resumes = 0;
  let same = 0;
  for (let chain = 0; chain < chains; chain++) {
    let dir = fixture.path(`chain-${chain}-0`);
    let at = 0;
    for (let link = 0; at < lastStep; link++) {
      const stopAt = at + 1 + random.below(5);
      await stoppedAfter(dir, stopAt, link > 0);
      at = Math.min(stopAt, lastStep);
      if (link > 0) resumes += 1;
      const next = fixture.path(`chain-${chain}-${link + 1}`);
      renameSync(dir, next);
      dir = next;
    }
    if (await holds(`chain ${chain}`, () => assertSameRun(dir, whole, lastStep))) same += 1;
    rmSync(dir, { recursive: true });
  }
  figure(
    3,
    "stopped at random steps, the directory moved, resumed, again and again",
    `${same} of ${chains} runs the same bytes after ${resumes} resumes`,
    "the same bytes",
    same === chains,
  );
});

function stoppedAfter(dir: string, step: number, goesOn: boolean): Promise<RunRecord> {
  const controller = new AbortController();
  return runTraining(
    { ...recipe, output_dir: dir, ...(goesOn ? resumed : {}) },
    {
      signal: controller.signal,
      onEvent: (event) => {
        if (event.type === "step" && event.step === step) controller.abort();
      },
    },
  );
}

test("steps cut otherwise after a resume: the same rows in the same order, losses and weights within rounding", async () => {
  const cuts: Values[] = [
    { per_device_train_batch_size: 4, gradient_accumulation_steps: 1 },
    { per_device_train_batch_size: 1, gradient_accumulation_steps: 4 },
    { max_tokens_per_micro_batch: 100 },
  ];
  const half = Math.floor(lastStep / 2);
  let loss = 0;
  let weight = 0;
  for (const [i, changes] of cuts.slice(0, amount(1, 3)).entries()) {
    const dir = cutBack(whole, fixture.path(`cut-${i}`), half);
    const record = await runTraining({ ...recipe, output_dir: dir, ...resumed, ...changes });
    for (const [j, value] of losses(record).entries()) {
      const expected = Number(lines[half + j]?.split(" ")[2]);
      loss = Math.max(loss, Math.abs(value - expected) / Math.abs(expected));
    }
    const [got, want] = [dir, whole].map((run) => tensorsOf(weightsOf(run)));
    for (const [name, tensor] of want ?? []) {
      for (const [j, value] of tensor.entries()) {
        weight = Math.max(weight, Math.abs((got?.get(name)?.[j] ?? Number.NaN) - value));
      }
    }
  }
  figure(
    3,
    "steps cut into other micro-batches after a resume, LoRA with dropout 0.05",
    `losses within ${loss.toExponential(1)} of the uninterrupted run's, weights within ${weight.toExponential(1)}`,
    "1e-6 each",
    loss <= 1e-6 && weight <= 1e-6,
    "another cut ends within 1e-6 (first goal: the same bytes), since sums in another order are rounded otherwise",
  );
});

function weightsOf(run: string): string {
  return join(checkpointOf(run, lastStep), "adapter_model.safetensors");
}
