/**
 * Repeatability (row 1): every family, objective and way of tuning trained twice comes to the same bytes of all tensors,
 * weights and optimiser, and to the same losses. GRPO: test/online/training.test.ts; QLoRA: test/invariants/quantised-run.test.ts.
 */
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { after, test } from "node:test";
import { amount, figure, holds, isNightly } from "../support/campaign.ts";
import {
  checkpointOf,
  childEnd,
  type RunFixture,
  runFixture,
  runTraining,
  stateOf,
  trainInChild,
  type Values,
} from "../support/runs.ts";
import { chatRows, writeRows } from "../support/tiny-model.ts";
import type { TinyName } from "../support/tiny-models.ts";

const steps = amount(4, 50);
const families: TinyName[] = ["llama_untied", "qwen3", "gemma3"];
const objectives = ["sft", "dpo", "simpo", "slime"];
const cells = families.flatMap((family) =>
  objectives.flatMap((objective) => [true, false].map((lora) => ({ family, objective, lora }))),
);

const fixtures = new Map<TinyName, RunFixture>();
after(() => {
  for (const fixture of fixtures.values()) fixture[Symbol.dispose]();
});

function fixtureOf(family: TinyName): RunFixture {
  const fixture = fixtures.get(family) ?? runFixture({ family, rows: 24, held: 2 });
  fixtures.set(family, fixture);
  return fixture;
}

function recipeOf({ family, objective, lora }: (typeof cells)[number]): Values {
  const fixture = fixtureOf(family);
  const chats =
    objective === "sft" ? { train_data: writeRows(fixture.path("chats.jsonl"), chatRows(24)) } : {};
  const { eval_data: _, ...values } = fixture.values;
  return {
    ...values,
    ...chats,
    objective,
    use_peft: lora,
    ...(lora ? { lora_r: 4 } : {}),
    learning_rate: 2e-3,
    per_device_train_batch_size: 2,
    gradient_accumulation_steps: 2,
    max_steps: steps,
    logging_steps: steps,
    save_steps: steps,
    threads: 2,
  };
}

/** What a run came to: losses, and digests of all tensors. The second time in a process of its own. */
async function outcome(values: Values, inChild: boolean): Promise<{ losses: string[]; state: unknown }> {
  const reported: string[] = [];
  if (inChild) {
    const end = await childEnd(trainInChild(values));
    assert.equal(end.code, 0, end.stderr);
    reported.push(
      ...end.stdout
        .trim()
        .split("\n")
        .map((line) => line.split(" ")[2] ?? ""),
    );
  } else {
    const { events } = await runTraining(values);
    reported.push(...events.flatMap((event) => (event.type === "step" ? [String(event.loss)] : [])));
  }
  return { losses: reported, state: stateOf(checkpointOf(String(values["output_dir"]), steps)) };
}

test("trained twice: the same bytes", async () => {
  const chosen = isNightly ? cells : cells.filter((_, i) => i % 7 === 3);
  let same = 0;
  for (const [i, cell] of chosen.entries()) {
    const fixture = fixtureOf(cell.family);
    const values = recipeOf(cell);
    const [first, second] = [fixture.path("first"), fixture.path("second")];
    const held = await holds(JSON.stringify(cell), async () => {
      const a = await outcome({ ...values, output_dir: first }, false);
      const b = await outcome({ ...values, output_dir: second }, isNightly);
      assert.equal(a.losses.length, steps);
      assert.deepEqual(b, a, JSON.stringify(cell));
    });
    if (held) same += 1;
    for (const dir of [first, second]) rmSync(dir, { recursive: true, force: true });
    if (i % 4 === 3) console.log(`${i + 1} of ${chosen.length} cells`);
  }
  figure(
    1,
    `3 families × SFT, DPO, SimPO, SLIME × full and LoRA, ${steps} steps twice, in two processes, 2 threads (GRPO and QLoRA: short runs in npm test)`,
    `${same} of ${chosen.length} cells: SHA-256 of all tensors and every loss the same`,
    `${chosen.length} of ${chosen.length}`,
    same === chosen.length,
  );
});
