/**
 * `final_scale: auto` on runs that went too far, ten times the usual learning rate: the scale that it picks on 150 pairs is within a tenth of
 * the one that is best on 400 others; and of rows whose labels are noise it says that no scale can be preferred to the start. Nightly: ten seeds.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { score } from "../../src/recipes/score.ts";
import { readScales, type ScaleChoice } from "../../src/runs/scale-record.ts";
import { amount } from "../support/campaign.ts";
import { runFixture, runTraining } from "../support/runs.ts";
import { type PairRow, pairRows, writeRows } from "../support/tiny-model.ts";

const fixture = runFixture({ rows: 1, held: 0 });
after(() => fixture[Symbol.dispose]());
const base = String(fixture.values["model_name_or_path"]);
const tenths = Array.from({ length: 11 }, (_, i) => i / 10);

/** A run on 64 pairs that chooses on one half of 300; what was trained in it, and 400 other pairs. */
async function finished(
  name: string,
  { seed, max, relabel }: { seed: number; max: string; relabel: (row: PairRow, i: number) => PairRow },
): Promise<{ choice: ScaleChoice; trained: string; others: string }> {
  const rows = pairRows(764, seed).map(relabel);
  const file = (part: string, from: number, to: number) =>
    writeRows(fixture.path(`${name}-${seed}-${part}.jsonl`), rows.slice(from, to));
  const dir = fixture.path(`${name}-${seed}`);
  await runTraining({
    ...fixture.values,
    ...{ objective: "slime", learning_rate: 0.2, use_peft: false, max_steps: 12, save_strategy: "no" },
    ...{ train_data: file("train", 0, 64), eval_data: file("held", 64, 364), eval_strategy: "no" },
    ...{ per_device_train_batch_size: 16, per_device_eval_batch_size: 50, seed, output_dir: dir },
    ...{ final_scale: "auto", final_scale_rule: { max, chosen_min: null } },
  });
  const whole = join(dir, "whole", "model");
  const choice = readScales(dir)?.choice;
  assert.ok(choice);
  const trained = existsSync(whole) ? whole : join(dir, "model");
  return { choice, trained, others: file("others", 364, 764) };
}

/** The tenth at which chosen answers are most likely. */
async function bestTenth(trained: string, data: string): Promise<number> {
  const machine = { device: "cpu", dtype: "float32", threads: 1, batchSize: 50, data } as const;
  let best = { scale: Number.NaN, mean: Number.NEGATIVE_INFINITY };
  for (const scale of tenths) {
    const place = scale === 1 ? { model: trained } : { model: base, adapter: `${trained}@scale=${scale}` };
    const { rows } = await score({ ...machine, ...place });
    const sum = rows.reduce((all, row) => all + row["logps/chosen"] / row["num_tokens/chosen"], 0);
    if (sum / rows.length > best.mean) best = { scale, mean: sum / rows.length };
  }
  return best.scale;
}

test("the scale of a run that went too far is found within a tenth", async () => {
  const seeds = amount(1, 10);
  const found: { scale: number; best: number }[] = [];
  for (let seed = 1; seed <= seeds; seed++) {
    const { choice, trained, others } = await finished("far", { seed, max: "chosen", relabel: (row) => row });
    found.push({ scale: choice.scale, best: await bestTenth(trained, others) });
  }
  assert.ok(
    found.every(({ best }) => best > 0 && best < 1),
    JSON.stringify(found),
  );
  const near = found.filter(({ scale, best }) => Math.abs(scale - best) < 0.1 + 1e-9);
  assert.ok(near.length >= amount(1, 9), JSON.stringify(found));
});

test("of labels that are noise no scale can be preferred, and the start is kept", async () => {
  const seeds = amount(1, 10);
  const choices: ScaleChoice[] = [];
  for (let seed = 1; seed <= seeds; seed++) {
    const relabel = (row: PairRow, i: number): PairRow =>
      (Math.imul(i + 1, 2654435761) ^ Math.imul(seed, 40503)) & 64
        ? { ...row, chosen: row.rejected, rejected: row.chosen }
        : row;
    choices.push((await finished("noise", { seed, max: "margin", relabel })).choice);
  }
  const told = choices.filter(({ isUndecided, scale }) => isUndecided && scale === 0);
  assert.ok(told.length >= amount(1, 9), JSON.stringify(choices));
});
