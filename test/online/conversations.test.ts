/** Conversations as prompts: reward functions get messages, the good completion may be messages, and the model continues its turn. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { promptOf } from "../../src/data/example.ts";
import { ReplayRows } from "../../src/online/replay-rows.ts";
import { rolloutBatches } from "../../src/online/rollout-batches.ts";
import { openRolloutTraining } from "../../src/recipes/rollout-training.ts";
import { readEvaluations } from "../../src/runs/evaluation-records.ts";
import { readMetrics } from "../../src/runs/metrics.ts";
import { readRollouts } from "../../src/runs/rollouts.ts";
import { onlineFixture } from "../support/online-run.ts";
import { runTraining, type Values } from "../support/runs.ts";
import { endOfTurn, writeRows } from "../support/tiny-model.ts";

const fixture = onlineFixture();
after(() => fixture[Symbol.dispose]());

const system = { role: "system", content: "Be brief." };
const user = (content: string) => ({ role: "user", content });
const assistant = (content: string) => ({ role: "assistant", content });
/** Conversations of one turn and of two, with the good answer as messages. */
const rows = Array.from({ length: 4 }, (_, i) => ({
  prompt:
    i % 2 === 0
      ? [system, user(`${i}: where?`)]
      : [user(`${i}: who?`), assistant("fox"), user(`${i}: where?`)],
  chosen: [assistant(`barn ${i}`)],
  place: i,
}));

// fails for whatever is not as it should be; no failure is allowed
const module = fixture.path("messages.mjs");
writeFileSync(
  module,
  `
import assert from "node:assert/strict";
export function messages({ prompts, completions, completion_ids, columns }) {
  return completions.map((completion, i) => {
    const prompt = prompts[i];
    assert.deepEqual(Object.keys(columns).sort(), ["chosen", "place"]);
    const place = columns.place[i];
    assert.deepEqual(prompt.map(({ role }) => role), place % 2 === 0 ? ["system", "user"] : ["user", "assistant", "user"]);
    assert.equal(prompt.at(-1).content, place + ": where?");
    assert.deepEqual(columns.chosen[i], [{ role: "assistant", content: "barn " + place }]);
    assert.equal(completion.length, 1);
    assert.equal(completion[0].role, "assistant");
    assert.equal(typeof completion[0].content, "string");
    return completion[0].content.length + completion_ids[i].length / 100;
  });
}
`,
);

const recipe: Values = {
  ...fixture.online,
  train_data: writeRows(fixture.path("conversations.jsonl"), rows),
  reward_funcs: [`${module}#messages`],
  reward_max_failures: 0,
  max_steps: 2,
};

test("reward functions get messages; good completions of messages are watched and are references", async () => {
  const dir = fixture.path("run");
  await runTraining({
    ...recipe,
    output_dir: dir,
    ...{ eval_fraction: 0.5, eval_steps: 2, eval_reward_funcs: [{ function: "exact", column: "chosen" }] },
  });
  const metrics = readMetrics(join(dir, "metrics.jsonl"));
  for (const row of metrics) {
    const prefix = "eval_reward" in row ? "eval_" : "";
    assert.equal(row[`${prefix}rewards/messages/failures`], 0);
    assert.equal(row[`${prefix}rewards/messages/unscored`], 0);
  }
  for (const { completion, ids, reward } of readRollouts(join(dir, "rollouts.jsonl.gz"))) {
    assert.ok(Math.abs((reward ?? 0) - completion.length - ids.length / 100) < 1e-9);
  }
  const last = metrics.filter((row) => "eval_gold" in row).at(-1);
  assert.equal(last?.["eval_rewards/exact/unscored"], 0);
  assert.ok(Number.isFinite(last?.["eval_logps/chosen_delta_init"]));
  const shown = readEvaluations(join(dir, "evaluations.jsonl")).flatMap(({ samples }) => samples ?? []);
  assert.ok(shown.every(({ prompt }) => /: where\?/.test(prompt)));
});

test("the prompt is the conversation up to the assistant's turn, and a conversation's own last answer is the good one", async () => {
  const talks = rows.map(({ prompt, chosen }) => ({ messages: [...prompt, ...chosen] }));
  const opened = [];
  for (const trainData of [recipe["train_data"], writeRows(fixture.path("talks.jsonl"), talks)]) {
    const values = { ...recipe, train_data: trainData, output_dir: fixture.path("unused") };
    await using open = await openRolloutTraining({ values });
    const { tokenizer, dataset } = open.data;
    const textOf = (ids: readonly number[]) => tokenizer.decode(ids, { skipSpecialTokens: false });
    opened.push(
      dataset.examples.map(({ promptIds, completions, reward }) => ({
        prompt: textOf(promptIds),
        good: completions.map(({ ids }) => textOf(ids)),
        messages: reward?.prompt,
      })),
    );
  }
  assert.deepEqual(opened[1], opened[0]);
  assert.deepEqual(opened[0]?.[1], {
    prompt:
      "<|im_start|>user\n1: who?<|im_end|>\n<|im_start|>assistant\nfox<|im_end|>\n" +
      "<|im_start|>user\n1: where?<|im_end|>\n<|im_start|>assistant\n",
    good: ["barn 1<|im_end|>"],
    messages: rows[1]?.prompt,
  });
});

test("completions are sampled of the prompt alone: no good completion changes its tokens or cuts it", async () => {
  // the tokenizer has one token for "ll"; the second row has 6 + 61 tokens, with max_length 24
  const prompts = [
    { prompt: "the bal", chosen: "l" },
    { prompt: "where?", chosen: `${"far away ".repeat(6)}indeed` },
  ];
  const sampledOf = async (name: string, given: readonly object[], values: Values = {}) => {
    const dir = fixture.path(name);
    const trainData = writeRows(fixture.path(`${name}.jsonl`), given);
    await runTraining({
      ...fixture.online,
      max_length: 24,
      max_steps: 1,
      ...values,
      train_data: trainData,
      output_dir: dir,
    });
    return readRollouts(join(dir, "rollouts.jsonl.gz")).map(({ ids, reward }) => ({ ids, reward }));
  };
  const alone = prompts.map(({ prompt }) => ({ prompt }));
  const want = await sampledOf("alone", alone);
  assert.deepEqual(await sampledOf("watched", prompts), want);
  assert.deepEqual(await sampledOf("cut", prompts, { overflow: "truncate" }), want);
});

test("a good completion is watched and replayed behind the tokens that it follows in its text", async () => {
  const trainData = writeRows(fixture.path("merged.jsonl"), [{ prompt: "the bal", chosen: "l" }]);
  const values = {
    ...fixture.online,
    objective: "slime",
    train_data: trainData,
    output_dir: fixture.path("unused"),
  };
  await using open = await openRolloutTraining({ values });
  const { tokenizer, dataset } = open.data;
  const [example = assert.fail("one row")] = dataset.examples;
  const ids = (text: string) => tokenizer.encode(text, { addSpecialTokens: false });
  assert.deepEqual(promptOf(example), ids("the bal"));
  const whole = [...ids("the ball"), endOfTurn];
  assert.deepEqual([...example.promptIds, ...(example.completions[0]?.ids ?? [])], whole);
  const [group = assert.fail("one group")] = new ReplayRows(dataset.examples, open.config).groups(0, 1);
  const packing = { ...open.config, mayCutGroups: true, mask_truncated_completions: false };
  const [batch] = rolloutBatches([group], 0, {}, packing);
  assert.deepEqual([...(batch?.packed.ids ?? []), endOfTurn], whole);
});
