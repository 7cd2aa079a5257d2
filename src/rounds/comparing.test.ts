/** Comparisons at a round's end where little is known: answers that are empty, answers without a reward, pairs that are skipped. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { after, test } from "node:test";
import { startJudge } from "../../test/support/judge-server.ts";
import { ruleAnswer } from "../../test/support/rule-judge.ts";
import { makeTinyModel } from "../../test/support/tiny-model.ts";
import { roundFixture } from "../../test/support/tiny-round.ts";
import { openText } from "../text/open-text.ts";
import { chatMl } from "../toy/toy-tokenizer.ts";
import { castVote, nextPair } from "../workbench/labelling.ts";
import { parseRound } from "../workbench/rounds/round-file.ts";
import { makeWorkbench } from "../workbench/workbench-dir.ts";
import { roundPrompts } from "./answers.ts";
import { type Contest, judgedContest, peoplesContest, scoredContest, wonBy } from "./comparing.ts";
import { placeOf } from "./start.ts";

const fixture = roundFixture();
after(() => fixture[Symbol.dispose]());
// of this seed no answer is white space alone
const base = makeTinyModel(fixture.path("talking"), { seed: 5 });
// every token ends an answer: it says nothing
const silent = makeTinyModel(fixture.path("silent"), {
  config: { eos_token_id: Array.from({ length: 264 }, (_, id) => id) },
});

async function contestOf(
  name: string,
  models: readonly [string, string],
  more: object,
  text: Contest["scoring"]["text"] = { chatTemplate: null, enableThinking: null },
): Promise<Contest> {
  const dir = fixture.path(name);
  mkdirSync(dir);
  const settings = parseRound(fixture.roundText({ output_dir: dir, ...more }), "round.yaml");
  await using opened = await openText(base, text);
  const named = models.map((model, i) => ({ ...placeOf(model), name: `model ${i}` }));
  return {
    ...{ settings, dir, models: named as unknown as Contest["models"] },
    prompts: await roundPrompts(settings.eval_prompts, opened.encoder),
    scoring: {
      ...{ model: base, text, dir, onPhase: () => {} },
      environment: { device: "cpu", dtype: "float32", threads: 1 },
    },
  };
}

test("by rewards an empty answer loses, whatever reward it would get, and two are a tie", async () => {
  const module = fixture.path("shorter.mjs");
  writeFileSync(
    module,
    "export default ({ completions }) => completions.map(([{ content }]) => -content.length);\n",
  );
  const more = { reward_funcs: [module] };
  for (const [name, models, rate] of [
    ["collapsed", [silent, base], 0],
    ["recovered", [base, silent], 1],
    ["both", [silent, silent], 0.5],
  ] as const) {
    const contest = await contestOf(name, models, more);
    const { outcome, without } = await scoredContest(contest);
    assert.deepEqual([outcome?.rate, outcome?.of, without], [rate, 3, 0], name);
    const lines = readFileSync(`${contest.dir}/rewards.jsonl`, "utf8").trim().split("\n");
    assert.deepEqual(
      lines.map((line) => [JSON.parse(line).index, JSON.parse(line).rewards]),
      [0, 1, 2].map((index) => [index, [null, null]]),
    );
  }
});

test("a prompt whose answers have no reward is left out, and without any other there is no result", async () => {
  const [answers, said] = [
    ["a", "b"],
    ["a", "b"],
  ];
  const won = (...rewards: number[]) => wonBy({ answers, said, rewards });
  assert.deepEqual([won(2, 1), won(1, 1), won(1, 2), won(Number.NaN, 1)], [1, 0.5, 0, null]);
  const module = fixture.path("none.mjs");
  writeFileSync(module, "export default ({ completions }) => completions.map(() => null);\n");
  const contest = await contestOf("unscored", [base, base], { reward_funcs: [module] });
  await assert.rejects(scoredContest(contest), /got none of 3 prompts \(.*rewards\.jsonl\)/);
  writeFileSync(module, "export default ({ completions }) => completions.slice(1).map(() => 1);\n");
  const short = await contestOf("short", [base, base], { reward_funcs: [module] });
  await assert.rejects(
    scoredContest(short),
    /got a list of 1 for completions \d to \d of 6 \(prompt [123]\), the first of which is "/,
  );
});

test("people who skip every pair leave no result, not one of 0 prompts", async () => {
  const contest = await contestOf("skipped", [silent, base], { judge: "people" });
  using store = makeWorkbench(fixture.path("workbench"));
  assert.deepEqual(await peoplesContest(contest, store), { open: 3 });
  const judge = (verdict: "skip" | "right", count: number): void => {
    for (let i = 0; i < count; i++) {
      const pair = nextPair(store, "ann", { chance: () => 1 });
      castVote(store, "ann", { showing: pair?.showing ?? "", key: `${verdict} ${i}`, verdict });
    }
  };
  store.addPerson("ann", "person");
  judge("skip", 3);
  assert.deepEqual(await peoplesContest(contest, store), { outcome: null, without: 3 });
});

test("a judge that refuses usual fields: the message names the round's keys, and with them it judges", async () => {
  const body = JSON.stringify({ error: { message: "Unsupported parameter: 'max_tokens'" } });
  await using server = await startJudge((call) =>
    "max_tokens" in call.body ? { status: 400, body } : ruleAnswer(call),
  );
  const judge = `${server.baseUrl}#rule`;
  await assert.rejects(
    judgedContest(await contestOf("unnamed", [base, silent], { judge }), judge),
    /'max_tokens'\. Check .* by judge_extra; reasoning models may want/,
  );
  server.calls.length = 0;
  const judgeExtra = { max_tokens: null, temperature: null, seed: 1 };
  const contest = await contestOf("named", [base, silent], { judge, judge_extra: judgeExtra });
  assert.equal((await judgedContest(contest, judge)).outcome?.rate, 1);
  assert.deepEqual(Object.keys(server.calls[0]?.body ?? {}), ["model", "messages", "stream", "seed"]);
});

test("both models are asked with the training's template and enable_thinking", async () => {
  await using server = await startJudge(ruleAnswer);
  const judge = `${server.baseUrl}#rule`;
  const chatTemplate = `{% if enable_thinking is not defined or enable_thinking %}{{ raise_exception("thinking") }}{% endif %}${chatMl}`;
  const text = { chatTemplate, enableThinking: false };
  const judged = await judgedContest(await contestOf("judged", [base, silent], { judge }, text), judge);
  assert.equal(judged.outcome?.rate, 1);
  const people = await contestOf("people", [silent, base], { judge: "people" }, text);
  using store = makeWorkbench(fixture.path("unthinking-bench"));
  assert.deepEqual(await peoplesContest(people, store), { open: 3 });
});

test("a prompt on which the judge gave no verdict is without a result, and counted", async () => {
  await using server = await startJudge((call) =>
    call.text.includes("1: where is the pig?") ? { status: 400 } : ruleAnswer(call),
  );
  const judge = `${server.baseUrl}#rule`;
  const { outcome, without } = await judgedContest(
    await contestOf("refused", [base, silent], { judge }),
    judge,
  );
  assert.deepEqual([outcome?.rate, outcome?.of, without], [1, 2, 1]);
});
