/**
 * Repeatability (row 1): each of three families, five objectives and three ways of tuning trained twice comes to the same bytes
 * of all tensors, weights and optimiser, to the same losses and, on-policy, to the same rollouts.
 */
import assert from "node:assert/strict";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { sha256File } from "../../src/base/files.ts";
import { amount, figure, holds, isNightly } from "../support/campaign.ts";
import { type OnlineFixture, onlineFixture } from "../support/online-run.ts";
import { checkpointOf, childEnd, runTraining, stateOf, trainInChild, type Values } from "../support/runs.ts";
import { chatRows, pairRows, writeRows } from "../support/tiny-model.ts";
import type { TinyName } from "../support/tiny-models.ts";

const steps = amount(4, 50);
const families: TinyName[] = ["llama_untied", "qwen3", "gemma3"];
const tunings = {
  full: { use_peft: false },
  LoRA: { use_peft: true, lora_r: 4 },
  QLoRA: { use_peft: true, lora_r: 4, load_in_4bit: true },
};
const recipes: Record<string, (fixture: OnlineFixture) => Values> = {
  SFT: ({ path }) => ({ objective: "sft", train_data: writeRows(path("chats.jsonl"), chatRows(24)) }),
  DPO: (fixture) => ({ objective: "dpo", train_data: pairsOf(fixture) }),
  SimPO: (fixture) => ({ objective: "simpo", train_data: pairsOf(fixture) }),
  SLIME: (fixture) => ({ objective: "slime", train_data: pairsOf(fixture) }),
  GRPO: ({ online }) => online,
};
const cells = families.flatMap((family) =>
  Object.keys(recipes).flatMap((recipe) =>
    Object.keys(tunings).map((tuning) => ({ family, recipe, tuning })),
  ),
);

const fixtures = new Map<TinyName, OnlineFixture>();
after(() => {
  for (const fixture of fixtures.values()) fixture[Symbol.dispose]();
});

function fixtureOf(family: TinyName): OnlineFixture {
  const fixture = fixtures.get(family) ?? onlineFixture({ family, rows: 24 });
  fixtures.set(family, fixture);
  return fixture;
}

function pairsOf({ path }: OnlineFixture): string {
  return writeRows(path("pairs.jsonl"), pairRows(24));
}

function valuesOf({ family, recipe, tuning }: (typeof cells)[number]): Values {
  const fixture = fixtureOf(family);
  return {
    ...fixture.values,
    ...recipes[recipe]?.(fixture),
    ...tunings[tuning as keyof typeof tunings],
    learning_rate: 2e-3,
    per_device_train_batch_size: recipe === "GRPO" ? 4 : 2,
    gradient_accumulation_steps: 2,
    max_steps: steps,
    logging_steps: steps,
    save_steps: steps,
    threads: 2,
  };
}

/** What a run came to: losses, and digests of all tensors and of the rollouts. */
async function outcome(
  values: Values,
  inChild: boolean,
): Promise<{ losses: string[]; state: unknown; rollouts: string | null }> {
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
  const dir = String(values["output_dir"]);
  const rollouts = join(dir, "rollouts.jsonl.gz");
  return {
    losses: reported,
    state: stateOf(checkpointOf(dir, steps)),
    rollouts: existsSync(rollouts) ? sha256File(rollouts) : null,
  };
}

test("trained twice: the same bytes", async () => {
  const chosen = isNightly ? cells : cells.filter((_, i) => i % 11 === 3);
  let same = 0;
  for (const [i, cell] of chosen.entries()) {
    const fixture = fixtureOf(cell.family);
    const values = valuesOf(cell);
    const [first, second] = [fixture.path("first"), fixture.path("second")];
    const held = await holds(JSON.stringify(cell), async () => {
      const a = await outcome({ ...values, output_dir: first }, false);
      const b = await outcome({ ...values, output_dir: second }, isNightly);
      assert.equal(a.losses.length, steps);
      assert.equal(a.rollouts !== null, cell.recipe === "GRPO");
      assert.deepEqual(b, a, JSON.stringify(cell));
    });
    if (held) same += 1;
    for (const dir of [first, second]) rmSync(dir, { recursive: true, force: true });
    if (i % 4 === 3) console.log(`${i + 1} of ${chosen.length} cells`);
  }
  figure(
    1,
    `3 families × ${Object.keys(recipes).join(", ")} × ${Object.keys(tunings).join(", ")}, ${steps} steps twice, in two processes, 2 threads`,
    `${same} of ${chosen.length} cells: SHA-256 of all tensors and of the rollouts, and every loss, the same`,
    `${chosen.length} of ${chosen.length}`,
    same === chosen.length,
  );
});
