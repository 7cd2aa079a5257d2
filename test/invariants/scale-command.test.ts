/** `preftune scale`: its figures are those of evaluations of the run, its choice is of one half of the pairs and its report of the other. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { scaleText } from "../../src/cli/scale-command.ts";
import { measureScales } from "../../src/recipes/scale.ts";
import { evaluationsOf, runFixture, runTraining, type Values } from "../support/runs.ts";

const fixture = runFixture({ rows: 12, held: 8 });
after(() => fixture[Symbol.dispose]());
const common: Values = {
  ...fixture.values,
  learning_rate: 1e-2,
  per_device_train_batch_size: 6,
  max_steps: 3,
  save_strategy: "no",
};
const machine = { device: "cpu", threads: 1, prompts: 1 };

for (const [kind, values] of [
  ["an adapter", { use_peft: true, lora_r: 4 }],
  ["all weights", { use_peft: false, learning_rate: 1e-3 }],
] as const) {
  test(`${kind}: 0 changes nothing, 1 is the run's last evaluation, and between them lies the rest`, async () => {
    const run = fixture.path(kind.replace(" ", "-"));
    const evaluations = evaluationsOf(await runTraining({ ...common, ...values, output_dir: run }));
    let cost = "";
    const { rows, pairs } = await measureScales({
      ...machine,
      run,
      scales: [1, 0.4],
      onCost: (text) => {
        cost = text;
      },
    });
    assert.match(
      cost,
      /^3 scales: as many passes over 8 pairs, [\d,]+ tokens each; and over other text, [\d,]+ tokens each; 1 answers of up to 64 tokens at each; .* read once/,
    );
    assert.deepEqual([pairs, rows.map(({ scale }) => scale)], [8, [0, 0.4, 1]]);
    const [start, part, end] = rows;
    const drift = "displacement/token_change_mean_abs";
    const names = [
      drift,
      "displacement/token_change_p01",
      "logps/chosen_delta_init",
      "logps/rejected_delta_init",
    ];
    for (const name of names) {
      assert.equal(start?.figures[name], 0);
      const last = Number(evaluations.at(-1)?.[`eval_${name}`]);
      assert.ok(
        Math.abs(Number(end?.figures[name]) - last) < 1e-5,
        `${name}: ${end?.figures[name]}, ${last}`,
      );
    }
    assert.ok(Number(part?.figures[drift]) > 0 && Number(part?.figures[drift]) < Number(end?.figures[drift]));
    const report = readFileSync(join(run, "report.html"), "utf8");
    assert.match(report, /How much of it to take\?/);
    assert.match(report, /Damage at each scale/);
    assert.match(report, /Margin against likelihood, by scale/);
    assert.equal(report.match(/<input type="radio" name="scale"/g)?.length, 3);
    assert.match(
      scaleText({ rows, pairs, other_text: null, choice: null }),
      /^scale +chosen +rejected +margin/m,
    );
  });
}

test("a choice with too few pairs, and a run without its export or over single completions, are refused; nothing is written", async () => {
  const run = fixture.path("refused");
  await runTraining({ ...common, use_peft: true, output_dir: run });
  // refused before a model is read: the cost is reported right before that
  const onCost = () => assert.fail("the work had begun");
  await assert.rejects(
    measureScales({ ...machine, run, scales: [1], choose: { max: "margin" }, onCost }),
    /expected at least 30 pairs, got 8/,
  );
  assert.equal(existsSync(join(run, "scale.json")), false);
  await assert.rejects(
    measureScales({ ...machine, run, scales: [2.5] }),
    /--scales: expected a number from 0/,
  );
});
