/**
 * `final_scale: auto` on runs that went too far, at ten times a rate at which all of the training is best: the scale that it picks on 150
 * pairs is within a tenth of the one that is best on 400 others, or all but as good there (it takes the smallest that no other is better than
 * beyond chance, and some curves are flat; which ones depends on the processor's rounding, at such rates). And of rows whose labels are noise it says that no scale can be preferred
 * to the start. Nightly: ten seeds, figures of docs/reliability.md.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { isAdapter } from "../../src/formats/adapter.ts";
import { scaledPlace } from "../../src/formats/adapter-scale.ts";
import { score } from "../../src/recipes/score.ts";
import { readScales, type ScaleChoice } from "../../src/runs/scale-record.ts";
import { amount, figure, isNightly } from "../support/campaign.ts";
import { runFixture, runTraining } from "../support/runs.ts";
import { type PairRow, pairRows, writeRows } from "../support/tiny-model.ts";

const fixture = runFixture({ rows: 1, held: 0 });
after(() => fixture[Symbol.dispose]());
const base = String(fixture.values["model_name_or_path"]);
const goal = `${amount(1, 9)} of ${amount(1, 10)}`;
const tenths = Array.from({ length: 11 }, (_, i) => i / 10);

/** What is trained: at a rate of 0.02 the whole is the best of the tenths. */
const trainings = {
  "full tuning": { use_peft: false },
  LoRA: { use_peft: true, lora_r: 4, lora_alpha: 4, warmup_steps: 6 },
} as const;
const kinds = ["full tuning", "LoRA"] as const;

interface Planted {
  seed: number;
  max: string;
  training: keyof typeof trainings;
  relabel: (row: PairRow, i: number) => PairRow;
}

/** A run on 64 pairs that chooses on one half of 300; what was trained in it, and 400 other pairs. */
async function finished(
  name: string,
  { seed, max, training, relabel }: Planted,
): Promise<{ choice: ScaleChoice; trained: string; others: string }> {
  const rows = pairRows(764, seed).map(relabel);
  const title = `${name}-${training.replace(" ", "-")}-${seed}`;
  const file = (part: string, from: number, to: number) =>
    writeRows(fixture.path(`${title}-${part}.jsonl`), rows.slice(from, to));
  const dir = fixture.path(title);
  await runTraining({
    ...fixture.values,
    ...{ objective: "slime", learning_rate: 0.2, max_steps: 12, save_strategy: "no", ...trainings[training] },
    ...{ train_data: file("train", 0, 64), eval_data: file("held", 64, 364), eval_strategy: "no" },
    ...{ per_device_train_batch_size: 16, per_device_eval_batch_size: 50, seed, output_dir: dir },
    ...{ final_scale: "auto", final_scale_rule: { max, chosen_min: null } },
  });
  const kind = trainings[training].use_peft ? "adapter" : "model";
  const whole = join(dir, "whole", kind);
  const choice = readScales(dir)?.choice;
  assert.ok(choice);
  const trained = existsSync(whole) ? whole : join(dir, kind);
  return { choice, trained, others: file("others", 364, 764) };
}

/** A scale that was picked, the best of the tenths on other pairs, and what it loses there, as a part of what the best gains. */
interface Found {
  scale: number;
  best: number;
  loss: number;
}

/** Mean log-prob per token of chosen answers at each tenth. */
async function curveOf(trained: string, data: string): Promise<number[]> {
  const machine = { device: "cpu", dtype: "float32", threads: 1, batchSize: 50, data } as const;
  const isModel = !isAdapter(trained);
  const means: number[] = [];
  for (const scale of tenths) {
    const place =
      scale === 1 && isModel ? { model: trained } : { model: base, adapter: scaledPlace(trained, scale) };
    const { rows } = await score({ ...machine, ...place });
    const sum = rows.reduce((all, row) => all + row["logps/chosen"] / row["num_tokens/chosen"], 0);
    means.push(sum / rows.length);
  }
  return means;
}

async function foundBy(scale: number, trained: string, data: string): Promise<Found> {
  const means = await curveOf(trained, data);
  const at = (tenth: number): number => means[Math.round(tenth * 10)] ?? Number.NaN;
  const best = means.indexOf(Math.max(...means)) / 10;
  return { scale, best, loss: (at(best) - at(scale)) / (at(best) - at(0)) };
}

const isNear = ({ scale, best, loss }: Found): boolean => Math.abs(scale - best) < 0.1 + 1e-9 || loss < 0.05;

for (const training of kinds) {
  test(`${training}: the scale of a run that went too far is found within a tenth`, async () => {
    const seeds = amount(1, 10);
    const found: Found[] = [];
    for (let seed = 1; seed <= seeds; seed++) {
      const given = { seed, max: "chosen", training, relabel: (row: PairRow) => row };
      const { choice, trained, others } = await finished("far", given);
      found.push(await foundBy(choice.scale, trained, others));
    }
    // one run alone may happen to end at its best
    const tooFar = found.filter(({ best }) => best > 0 && best < 1).length;
    assert.ok(tooFar >= amount(0, 8), JSON.stringify(found));
    const near = found.filter(isNear).length;
    const what = `the scale that auto takes of a run at ten times its rate, beside the best on other pairs: ${training}`;
    figure(
      27,
      what,
      `${near} of ${seeds} within 0.1, or less than a twentieth of its gain lost`,
      goal,
      near >= amount(1, 9),
    );
  });

  const skip =
    training === "full tuning" || isNightly ? false : "a nightly test: the choice is that of full tuning";
  test(`${training}: of labels that are noise no scale can be preferred, and the start is kept`, {
    skip,
  }, async () => {
    const seeds = amount(1, 10);
    const choices: ScaleChoice[] = [];
    for (let seed = 1; seed <= seeds; seed++) {
      const relabel = (row: PairRow, i: number): PairRow =>
        (Math.imul(i + 1, 2654435761) ^ Math.imul(seed, 40503)) & 64
          ? { ...row, chosen: row.rejected, rejected: row.chosen }
          : row;
      choices.push((await finished("noise", { seed, max: "margin", training, relabel })).choice);
    }
    const kept = choices.filter(({ isUndecided, scale }) => isUndecided && scale === 0).length;
    const what = `labels that are noise: ${training}`;
    figure(27, what, `${kept} of ${seeds} keep the start, as undecided`, goal, kept >= amount(1, 9));
  });
}
