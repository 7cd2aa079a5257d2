/** Runs of ranks that are resumed by other numbers of them, on a full disk, and from their best checkpoint. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { exitCodes } from "../../src/base/errors.ts";
import { readMetrics } from "../../src/runs/metrics.ts";
import { isNightly } from "../support/campaign.ts";
import { distanceOf, runFixture, runTraining, tensorsOf, type Values } from "../support/runs.ts";
import { cutTo, endsOfTraining, trainOnRanks } from "../support/train-on-ranks.ts";

const fixture = runFixture({ rows: 20, held: 3 });
after(() => fixture[Symbol.dispose]());

const steps = 4;
const recipe: Values = {
  ...fixture.values,
  objective: "slime",
  max_steps: steps,
  per_device_train_batch_size: 2,
  train_batch_size: 4,
  learning_rate: 1e-3,
  logging_steps: 1,
  eval_strategy: "no",
  save_strategy: "steps",
  save_steps: 1,
  save_total_limit: null,
};

const kinds: [string, Values][] = [
  ["full tuning, shard all", { use_peft: false, shard: "all" }],
  ["LoRA, shard none", { use_peft: true, lora_r: 4, lora_dropout: 0.1, shard: "none" }],
];

for (const [kind, values] of kinds) {
  // in `npm test` the one whose weights are divided
  if (!isNightly && values["shard"] === "none") continue;
  test(`${kind}: on 2, 3, 1 and 4 ranks by turns the rows are the same, and the numbers within 1e-6`, async () => {
    const settings = { ...recipe, ...values };
    const [one, turns] = [fixture.path(`${kind}-one`), fixture.path(`${kind}-turns`)];
    await runTraining({ ...settings, shard: "none", output_dir: one });
    for (const [i, size] of [2, 3, 1, 4].entries()) {
      const part = { ...settings, output_dir: turns, ...(i > 0 && { resume_from_checkpoint: "latest" }) };
      if (size === 1) await runTraining({ ...part, shard: "none" });
      else await trainOnRanks(size, part);
      if (i < 3) cutTo(turns, i + 1);
    }
    const [want, got] = [one, turns].map((run) => readMetrics(join(run, "metrics.jsonl")));
    assert.equal(got?.length, want?.length);
    for (const [i, row] of (want ?? []).entries()) {
      for (const key of ["loss", "epoch", "num_tokens"]) {
        const [a, b] = [Number(got?.[i]?.[key]), Number(row[key])];
        assert.ok(Math.abs(a - b) <= 1e-6 * Math.abs(b), `step ${i + 1}, ${key}: ${a}, one rank ${b}`);
      }
    }
    const file =
      values["use_peft"] === true ? "adapter/adapter_model.safetensors" : "model/model.safetensors";
    const far = distanceOf(tensorsOf(join(turns, file)), tensorsOf(join(one, file)));
    assert.ok(far < 1e-5, `weights differ by ${far}`);
  });
}

test("a rank that may write no more ends all with one sentence; the run continues on other ranks from what there was", async () => {
  const output = fixture.path("full-disk");
  const values = { ...recipe, use_peft: false, shard: "all", save_steps: 3, output_dir: output };
  await trainOnRanks(2, values);
  cutTo(output, 3);
  const resumed = { ...values, resume_from_checkpoint: "latest" };
  // rank 1 alone: files of at most 8 KiB, as on a disk that has no more
  const ends = await endsOfTraining(2, resumed, (rank) => (rank === 1 ? 8 : null));
  const said = ends.map(
    ({ stdout }) => JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as { error: string },
  );
  assert.match(
    said[0]?.error ?? "",
    /^rank 1 \(host .*\): Cannot write .*rank-00001-of-00002\.safetensors: the file is larger than .* \(EFBIG\), \d+ bytes/,
  );
  assert.equal(said[1]?.error, said[0]?.error);
  assert.deepEqual(
    ends.map(({ status }) => status),
    [exitCodes.FileError, exitCodes.FileError],
  );
  assert.deepEqual(readdirSync(join(output, "checkpoints")), ["checkpoint-3"]);
  await trainOnRanks(3, resumed);
  assert.ok(readdirSync(join(output, "checkpoints")).includes(`checkpoint-${steps}`));
});

test("the best checkpoint is kept, put back and exported as by one process", async () => {
  const [one, many] = [fixture.path("best-one"), fixture.path("best-many")];
  // so high a rate that the evaluations become worse
  const values = {
    ...recipe,
    ...{
      use_peft: false,
      learning_rate: 0.3,
      lr_scheduler_type: "constant",
      eval_strategy: "steps",
      eval_steps: 1,
    },
    ...{ load_best_model_at_end: true, save_total_limit: 1 },
  };
  const { summary } = await runTraining({ ...values, shard: "none", output_dir: one });
  assert.ok(summary.best !== null && summary.best.step < steps);
  await trainOnRanks(2, { ...values, shard: "all", output_dir: many });
  const [want, got] = [one, many].map((run) => readdirSync(join(run, "checkpoints")).sort());
  assert.deepEqual(got, want);
  const file = "model/model.safetensors";
  assert.ok(distanceOf(tensorsOf(join(many, file)), tensorsOf(join(one, file))) < 1e-5);
});
