/** A loss or gradient that is not finite changes no weight, names its row, is counted, and ends training when it stays. */
import assert from "node:assert/strict";
import { cpSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { FormatError, TrainingError } from "../../src/base/errors.ts";
import { loadConfig } from "../../src/config/load-config.ts";
import { readSafetensorsHeader } from "../../src/formats/safetensors.ts";
import { objectiveOf } from "../../src/methods/losses.ts";
import type { Objective, PairLogps, PairObjective } from "../../src/methods/objective.ts";
import { readMetrics } from "../../src/runs/metrics.ts";
import type { TrainEvent } from "../../src/runs/train-events.ts";
import { ops, type Tensor } from "../../src/torch/index.ts";
import {
  checkpointOf,
  filesOf,
  logOf,
  losses,
  type RunRecord,
  runFixture,
  runTraining,
  stateOf,
  type Values,
} from "../support/runs.ts";
import { type PairRow, pairRows, writeRows } from "../support/tiny-model.ts";

const fixture = runFixture({ rows: 12, held: 2 });
after(() => fixture[Symbol.dispose]());

/** The marked row's chosen answer is longer than any other, by which an objective knows it. */
const markedLine = 5;
const markedTokens = 60;
const rows: PairRow[] = pairRows(12);
(rows[markedLine - 1] as PairRow).chosen = "a".repeat(markedTokens + 10);
const marked = writeRows(fixture.path("marked.jsonl"), rows);
const markedOrigin = `${marked}:${markedLine}`;

const base: Values = {
  ...fixture.values,
  train_data: marked,
  objective: "slime",
  learning_rate: 5e-3,
  weight_decay: 0.1,
  per_device_train_batch_size: 2,
  gradient_accumulation_steps: 2,
  max_steps: 12,
  logging_steps: 1,
  save_steps: 1,
  eval_steps: 4,
};
const early: Values = {
  optimizer_in_backward: true,
  max_grad_norm: 0,
  per_device_train_batch_size: 4,
  gradient_accumulation_steps: 1,
};
const kinds: [kind: string, values: Values, weights: string][] = [
  ["LoRA", { use_peft: true, lora_r: 4, lora_dropout: 0.1 }, "adapter_model.safetensors"],
  ["full tuning", {}, "model.safetensors"],
  ["full tuning, updates in the backward pass", early, "model.safetensors"],
];

/** SLIME with a changed loss. */
function spoiled(spoil: (loss: Tensor, pairs: PairLogps) => Tensor): PairObjective {
  const sound = objectiveOf(loadConfig({ values: { ...base, output_dir: "-" } }).config.method);
  assert.ok(sound.over === "pairs");
  return {
    ...sound,
    evaluate(pairs, totals) {
      const result = sound.evaluate(pairs, totals);
      return { ...result, loss: spoil(result.loss, pairs) };
    },
  };
}

const hasMarked = (pairs: PairLogps) =>
  pairs.chosenLengths.toNumbers().some((length) => length > markedTokens);

/** A loss that is NaN when the marked row is in the batch. */
const nanLoss: Objective = spoiled((loss, pairs) => (hasMarked(pairs) ? ops.mul(loss, Number.NaN) : loss));
/** A loss that stays finite, with a gradient that does not: the slope of a square root at 0. */
const infiniteGradient: Objective = spoiled((loss, pairs) => {
  if (!hasMarked(pairs)) return loss;
  const zero = ops.sub(pairs.chosenLogps, ops.detach(pairs.chosenLogps));
  return ops.add(loss, ops.sum(ops.sqrt(zero)));
});

type Skipped = Extract<TrainEvent, { type: "skipped" }>;

function skips({ events }: RunRecord): Skipped[] {
  return events.filter((event) => event.type === "skipped");
}

function pieces(runDir: string, step: number, weights: string): string[] {
  const files = filesOf(checkpointOf(runDir, step));
  return [files[weights] as string, files["optimizer.safetensors"] as string];
}

let runs = 0;
function fresh(): string {
  runs += 1;
  return fixture.path(`run-${runs}`);
}

for (const [what, objective] of [
  ["a NaN loss", nanLoss],
  ["an infinite gradient", infiniteGradient],
] as const) {
  for (const [kind, values, weights] of kinds) {
    test(`${kind}: ${what} of one row skips its steps, changes nothing and is reported`, async () => {
      const dir = fresh();
      const record = await runTraining({ ...base, ...values, output_dir: dir }, { objective });
      const steps = skips(record).map(({ step }) => step);
      // 12 steps are four epochs of three
      assert.equal(steps.length, 4);
      assert.deepEqual(
        steps.map((step) => Math.ceil(step / 3)),
        [1, 2, 3, 4],
      );
      for (const skipped of skips(record)) assert.deepEqual(skipped.rows, [markedOrigin]);
      for (let step = 2; step <= 12; step++) {
        const [before, now] = [pieces(dir, step - 1, weights), pieces(dir, step, weights)];
        if (steps.includes(step)) assert.deepEqual(now, before, `step ${step} was skipped`);
        else for (const [i, piece] of now.entries()) assert.notEqual(piece, before[i], `step ${step}`);
      }
      assert.equal(record.summary.skippedSteps, 4);
      assert.equal(record.summary.reason, "done");
      const log = logOf(dir).filter(({ event }) => event === "skipped");
      assert.deepEqual(
        log.map(({ step, rows: named }) => ({ step, named })),
        steps.map((step) => ({ step, named: [markedOrigin] })),
      );
    });
  }
}

test("NaN is written as NaN, in each row of a skipped step and in no other", async () => {
  const dir = fresh();
  const record = await runTraining({ ...base, output_dir: dir, max_steps: 6 }, { objective: nanLoss });
  const steps = skips(record).map(({ step }) => step);
  const text = readFileSync(join(dir, "metrics.jsonl"), "utf8").trim().split("\n");
  for (const [i, row] of readMetrics(join(dir, "metrics.jsonl")).entries()) {
    if (!("loss" in row)) continue;
    const skipped = steps.includes(row.global_step);
    assert.equal(Number.isNaN(row["loss"]), skipped, `step ${row.global_step}`);
    assert.equal((text[i] as string).includes('"loss":NaN,"grad_norm":NaN'), skipped);
    assert.equal(row["skipped_steps"], steps.filter((step) => step <= row.global_step).length);
  }
  assert.doesNotMatch(text.join("\n"), /null/);
});

test("a row whose own reference is out of all bounds is named", async () => {
  const given = pairRows(12).map((row, i) => ({
    ...row,
    ref_chosen_logps: i === 7 ? 1e308 : -30,
    ref_rejected_logps: i === 7 ? -1e308 : -31,
  }));
  const path = writeRows(fixture.path("references.jsonl"), given);
  const record = await runTraining({
    ...base,
    train_data: path,
    eval_data: null,
    eval_steps: null,
    objective: "dpo",
    output_dir: fresh(),
    max_steps: 3,
  });
  assert.equal(skips(record).length, 1);
  assert.deepEqual(skips(record)[0]?.rows, [`${path}:8`]);
});

test("after five in a row training stops; earlier checkpoints are intact, and a fixed run resumes from them", async () => {
  const clean = fresh();
  await runTraining({ ...base, output_dir: clean });
  let broken = false;
  const failing = spoiled((loss) => (broken ? ops.mul(loss, Number.NaN) : loss));
  const dir = fresh();
  const seen: TrainEvent[] = [];
  const onEvent = (event: TrainEvent) => {
    seen.push(event);
    if (event.type === "step" && event.step === 3) broken = true;
  };
  const run = runTraining({ ...base, output_dir: dir }, { objective: failing, onEvent });
  await assert.rejects(run, (error: unknown) => {
    assert.ok(error instanceof TrainingError);
    assert.equal(error.exitCode, 6);
    assert.match(
      error.message,
      /^5 steps in a row had a loss or gradient that is not finite, the last at step 8 /,
    );
    assert.match(error.message, /marked\.jsonl:\d+/);
    assert.match(
      error.message,
      /lower learning_rate, and start a new run; the checkpoints of this one are intact/,
    );
    return true;
  });
  const skipped = seen.filter((event) => event.type === "skipped").map(({ step }) => step);
  assert.deepEqual(skipped, [4, 5, 6, 7, 8]);
  for (const step of [1, 2, 3]) {
    assert.deepEqual(stateOf(checkpointOf(dir, step)), stateOf(checkpointOf(clean, step)));
  }
  for (const step of [4, 5, 6, 7, 8]) {
    assert.deepEqual(pieces(dir, step, "model.safetensors"), pieces(dir, 3, "model.safetensors"));
  }
  assert.equal(logOf(dir).at(-1)?.event, "failed");

  broken = false;
  const resumed = { ...base, output_dir: dir, resume_from_checkpoint: "checkpoint-3" };
  const again = await runTraining(resumed, { objective: failing });
  assert.equal(again.summary.skippedSteps, 0);
  assert.deepEqual(stateOf(checkpointOf(dir, 12)), stateOf(checkpointOf(clean, 12)));
});

test("four in a row, a finite one, four in a row: training continues", async () => {
  let step = 0;
  const failing = spoiled((loss) => (step % 5 === 4 ? loss : ops.mul(loss, Number.NaN)));
  const onEvent = (event: TrainEvent) => {
    if (event.type === "step") step = event.step;
  };
  const record = await runTraining(
    { ...base, output_dir: fresh(), max_steps: 10 },
    { objective: failing, onEvent },
  );
  assert.deepEqual(
    skips(record).map((skip) => skip.step),
    [1, 2, 3, 4, 6, 7, 8, 9],
  );
});

test("max_nonfinite_steps 1 stops at the first", async () => {
  const failing = spoiled((loss) => ops.mul(loss, Number.POSITIVE_INFINITY));
  const run = runTraining({ ...base, output_dir: fresh(), max_nonfinite_steps: 1 }, { objective: failing });
  await assert.rejects(run, /^GaveUpError: 1 step had a loss/);
});

test("where it gives up it leaves a checkpoint, whatever save_strategy is, from which more patience continues", async () => {
  let broken = false;
  const failing = spoiled((loss) => (broken ? ops.mul(loss, Number.NaN) : loss));
  const onEvent = (event: TrainEvent) => {
    if (event.type === "step") broken = event.step >= 3;
  };
  const { save_steps: _, ...rest } = base;
  const dir = fresh();
  const values = { ...rest, save_strategy: "no", output_dir: dir };
  await assert.rejects(
    runTraining({ ...values, max_nonfinite_steps: 2 }, { objective: failing, onEvent }),
    /the last at step 5 .*the last of this step/,
  );
  assert.deepEqual(readdirSync(join(dir, "checkpoints")), ["checkpoint-5"]);
  broken = false;
  const again = await runTraining(
    { ...values, max_nonfinite_steps: 5, resume_from_checkpoint: "latest" },
    { objective: failing },
  );
  assert.equal(losses(again).length, 7);
  const logged = readMetrics(join(dir, "metrics.jsonl")).flatMap((row) =>
    "loss" in row ? [row.global_step] : [],
  );
  assert.deepEqual(logged, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
});

for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
  test(`a base model with ${value} in a weight is refused by the tensor's name before anything is computed`, async () => {
    const model = fixture.path(`weights-${value}`);
    poison(model, value);
    const dir = fresh();
    const seen: TrainEvent[] = [];
    const run = runTraining(
      { ...base, use_peft: true, lora_r: 4, model_name_or_path: model, output_dir: dir },
      { onEvent: (event) => seen.push(event) },
    );
    await assert.rejects(run, (error: unknown) => {
      assert.ok(error instanceof FormatError);
      assert.match(
        error.message,
        /tensor "model\.layers\.0\.mlp\.up_proj\.weight" holds numbers that are not finite: 1 /,
      );
      return true;
    });
    assert.ok(!seen.some(({ type }) => type === "step" || type === "skipped"));
    assert.ok(!Object.keys(filesOf(dir)).some((name) => name.startsWith("adapter")));
  });
}

/** A copy of the fixture's model at `dir` with one weight of its first block set to `value`. */
function poison(dir: string, value: number): void {
  const from = fixture.values["model_name_or_path"] as string;
  cpSync(from, dir, { recursive: true });
  const path = join(dir, "model.safetensors");
  const { tensors, dataStart } = readSafetensorsHeader(path);
  const bytes = readFileSync(path);
  const entry = tensors.get("model.layers.0.mlp.up_proj.weight");
  assert.ok(entry !== undefined);
  bytes.writeFloatLE(value, dataStart + entry.begin + 40);
  writeFileSync(path, bytes);
}
