/** Rounds end to end on a tiny model: a judge that fails and comes back, files that change in between, then people, on the model of the round before. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { after, test } from "node:test";
import { startJudge } from "../../test/support/judge-server.ts";
import { ruleAnswer } from "../../test/support/rule-judge.ts";
import { filesOf, logOf, runTraining } from "../../test/support/runs.ts";
import { writeRows } from "../../test/support/tiny-model.ts";
import { roundFixture } from "../../test/support/tiny-round.ts";
import { loadConfig } from "../config/load-config.ts";
import { runPaths } from "../runs/run-directory.ts";
import { readRunJson } from "../runs/run-json.ts";
import type { TrainEvent } from "../runs/train-events.ts";
import { castVote, nextPair } from "../workbench/labelling.ts";
import { runLineage } from "../workbench/lineage.ts";
import { type RoundNode, readRound, roundPaths, saveRound } from "../workbench/rounds/round-record.ts";
import { openWorkbench } from "../workbench/workbench-dir.ts";
import { nodes } from "./nodes.ts";
import { type RoundState, runRound } from "./round.ts";
import type { RoundWork } from "./round-work.ts";

const fixture = roundFixture();
after(() => fixture[Symbol.dispose]());
const workbench = fixture.path("workbench");

function roundOf(name: string, more: Record<string, unknown>): { dir: string; text: string } {
  const dir = fixture.path(name);
  return { dir, text: fixture.roundText({ output_dir: dir, ...more }) };
}

async function go({ text }: { text: string }): Promise<RoundState & { nodes: string[] }> {
  const nodes: string[] = [];
  const onNode = (node: RoundNode, state: string): void => void nodes.push(`${node} ${state}`);
  return { ...(await runRound(text, "round.yaml", { onNode })), nodes };
}

test("a judge's round: stopped by a judge that refuses, it continues there; then the model of the round before, judged by people", async () => {
  let isDown = true;
  await using judge = await startJudge((call) => (isDown ? { status: 401 } : ruleAnswer(call)));
  const first = roundOf("round-1", {
    ...{ judge: `${judge.baseUrl}#rule`, judge_mode: "pairs", max_retries: 0, pairs: "best_worst" },
  });
  await assert.rejects(go(first), { name: "EndpointError" });
  assert.equal(readRound(first.dir).problem?.node, "labels");

  const { answers } = roundPaths(first.dir);
  const written = readFileSync(answers, "utf8");
  appendFileSync(answers, "\n");
  isDown = false;
  await assert.rejects(
    go(first),
    /the node answers is finished, and what it took or made is another[\s\S]*answers\.jsonl: it was changed/,
  );
  writeFileSync(answers, written);
  await assert.rejects(
    go(roundOf("round-1", { judge: `${judge.baseUrl}#rule`, seed: 7 })),
    /seed: 42, now 7/,
  );

  const done = await go(first);
  assert.equal(done.state, "finished");
  assert.deepEqual(done.nodes.slice(0, 4), ["prompts kept", "answers kept", "labels begins", "labels done"]);
  const { nodes } = readRound(first.dir);
  // the judge prefers length: of each prompt the longest answer is chosen, and a version says who judged
  const rows = readFileSync(`${workbench}/versions/${nodes.pairs?.facts["version"]}/rows.jsonl`, "utf8");
  const asked: string[] = [];
  for (const line of rows.trim().split("\n")) {
    const { prompt, chosen, rejected, meta } = JSON.parse(line);
    asked.push(prompt[0].content);
    assert.ok(chosen[0].content.length > rejected[0].content.length);
    assert.deepEqual(meta.votes[0].person, "rule (judge)");
  }
  // in the order of the prompts, which all begin with their number: not in the workbench's, which is by chance
  assert.deepEqual(asked, asked.toSorted());
  assert.equal(nodes.comparison?.facts["prompts"], 3);
  assert.equal(typeof nodes.comparison?.facts["chosen"], "number");
  const calls = judge.calls.length;
  assert.deepEqual(new Set((await go(first)).nodes.map((node) => node.split(" ")[1])), new Set(["kept"]));
  assert.equal(judge.calls.length, calls);

  const second = roundOf("round-2", { model: first.dir, judge: "people" });
  const waiting = await go(second);
  assert.equal(waiting.state, "waiting");
  assert.match(waiting.text, /0 of \d+ pairs judged by people, \d+ are needed.*preftune round/);
  label();
  const compares = await go(second);
  assert.match(compares.text, /pairs of answers to the fixed prompts wait for a judgment/);
  label();
  const end = await go(second);
  assert.equal(end.state, "finished");
  assert.equal(readRound(second.dir).nodes.comparison?.facts["against"], "round-1");
  const { config } = readRunJson(`${second.dir}/run/run.json`);
  assert.equal(config.adapter_name_or_path, `${first.dir}/run/adapter`);
  using store = openWorkbench(workbench);
  const behind = await runLineage(workbench, store, `${second.dir}/run`);
  assert.deepEqual(Object.keys(behind.people), ["ann"]);
  assert.deepEqual(Object.keys(behind.models), ["round-1"]);
});

/** Ann judges all that there is, the longer answer being better. */
function label(): void {
  using store = openWorkbench(workbench);
  store.addPerson("ann", "person");
  for (let key = 0; ; key++) {
    const pair = nextPair(store, "ann", { chance: () => 1 });
    if (pair === null) return;
    const [left, right] = [pair.left, pair.right].map((answer) => JSON.stringify(answer).length);
    const verdict = (left ?? 0) > (right ?? 0) ? "left" : "right";
    castVote(store, "ann", { showing: pair.showing, key: `k${key}`, verdict });
  }
}

test("fixed prompts that are trained on are refused with their lines", async () => {
  const both = writeRows(fixture.path("both.jsonl"), [{ prompt: "0: where is the cow?" }]);
  const round = roundOf("round-3", { eval_prompts: both, reward_funcs: ["length"] });
  await assert.rejects(
    go(round),
    /1 of the 1 fixed prompts are trained on too.*both\.jsonl:1.*prompts\.jsonl:1/,
  );
});

test("rewards in place of a judge: a function of a module, then a reward model; the models are compared by them too", async () => {
  const module = fixture.path("rewards.mjs");
  const code =
    "export const longer = ({ completions }) => completions.map(([{ content }]) => content.length);\n";
  writeFileSync(module, code);
  const byFunction = roundOf("round-4", { reward_funcs: [`${module}#longer`] });
  // stopped after the first of two steps, it continues with the second
  const stop = new AbortController();
  const onEvent = ({ type }: TrainEvent): void => void (type === "step" && stop.abort());
  const stopped = await runRound(byFunction.text, "round.yaml", {
    ...{ signal: stop.signal, listenTo: () => ({ onEvent }) },
  });
  assert.deepEqual([stopped.state, stopped.record.nodes.training], ["stopped", undefined]);
  const done = await go(byFunction);
  assert.deepEqual([done.state, done.record.nodes.training?.facts["steps"]], ["finished", 2]);
  const begins = logOf(`${byFunction.dir}/run`).filter(({ event }) => event === "start");
  assert.deepEqual(
    begins.map(({ step }) => step),
    [0, 1],
  );
  const { pairs, comparison } = done.record.nodes;
  const rows = readFileSync(`${workbench}/versions/${pairs?.facts["version"]}/rows.jsonl`, "utf8");
  for (const line of rows.trim().split("\n")) {
    const { chosen, rejected } = JSON.parse(line);
    assert.ok(chosen[0].content.length > rejected[0].content.length);
  }
  const rewards = readFileSync(`${byFunction.dir}/compare/rewards.jsonl`, "utf8");
  const wins = rewards
    .trim()
    .split("\n")
    .map((line) => {
      const { answers, rewards: given } = JSON.parse(line);
      // parts of characters end an answer of this model: nothing else is a tie of answers that say nothing
      const isSilent = answers.every((answer: string) => /^\ufffd*$/.test(answer));
      assert.deepEqual(
        given,
        answers.map((answer: string) => (isSilent ? null : answer.length)),
      );
      return (Math.sign(given[0] - given[1]) + 1) / 2;
    });
  assert.equal(comparison?.facts["win_rate"], wins.reduce((sum, won) => sum + won, 0) / wins.length);
  writeFileSync(module, `${code}// another\n`);
  await assert.rejects(go(byFunction), /the node labels is finished[\s\S]*reward_funcs: /);

  const model = fixture.path("reward");
  await runTraining({ ...fixture.values, ...{ objective: "reward", output_dir: model, max_steps: 1 } });
  const byModelOf = roundOf("round-5", { reward_model: `${model}/model` });
  // the weights of the same path are others when the training has ended: nothing is compared by them
  const weights = `${model}/model/model.safetensors`;
  const labelling = readFileSync(weights);
  const others = Buffer.from(labelling);
  others.fill(0x11, others.length - 64);
  const swap = ({ type }: TrainEvent): void => void (type === "step" && writeFileSync(weights, others));
  const swapped = runRound(byModelOf.text, "round.yaml", { listenTo: () => ({ onEvent: swap }) });
  const says = /the node labels is finished[\s\S]*reward_model_weights: [0-9a-f]{12}…, now [0-9a-f]{12}…/;
  await assert.rejects(swapped, says);
  assert.match(readRound(byModelOf.dir).problem?.text ?? "", says);
  writeFileSync(weights, labelling);
  const byModel = await go(byModelOf);
  assert.deepEqual(byModel.nodes.slice(-3), ["training kept", "comparison begins", "comparison done"]);
  assert.equal(byModel.state, "finished");
  // as many lines as prompts with two answers or more, each answer with a number
  const scores = readFileSync(`${fixture.path("round-5")}/scores.jsonl`, "utf8")
    .trim()
    .split("\n");
  for (const line of scores) assert.ok(JSON.parse(line).rewards.every(Number.isFinite), line);
});

test("a training that was killed after its export, before its end, is brought to its end", async () => {
  const round = roundOf("round-6", { reward_funcs: ["length"] });
  const { record } = await go(round);
  const { lock, dir, exportJson } = runPaths(`${round.dir}/run`);
  const exported = filesOf(`${dir}/adapter`);
  const { training: _, comparison: __, ...nodes } = record.nodes;
  saveRound(round.dir, { ...record, nodes });
  const dead = spawnSync(process.execPath, ["-e", ""]).pid;
  writeFileSync(lock, JSON.stringify({ pid: dead, host: hostname(), started: null }));
  const again = await go(round);
  assert.deepEqual(
    [again.state, again.record.nodes.training?.facts],
    ["finished", record.nodes.training?.facts],
  );
  assert.deepEqual([existsSync(lock), existsSync(exportJson)], [false, true]);
  assert.deepEqual(filesOf(`${dir}/adapter`), exported);
});

test("nodes that are finished since before sources could be without a weight take the same as then", () => {
  const peft = { objective: "dpo", use_peft: true, adapter_name_or_path: "nobody/adapter" };
  const taken = (known: { data: string; training: string } | null, values: Record<string, unknown> = {}) => {
    const place = { model_name_or_path: "nobody/model", train_data: "rows", output_dir: "round/run" };
    const node = (inputs: Record<string, string>) => ({
      inputs,
      made: {},
      text: "",
      facts: {},
      finished: "",
    });
    const before =
      known === null
        ? {}
        : { data_check: node({ data: known.data }), training: node({ training: known.training }) };
    const work = {
      training: loadConfig({ values: { ...place, ...peft, eval_data: "held", ...values } }),
      start: { model: String(fixture.values["model_name_or_path"]), adapter: null, name: "m" },
      record: { nodes: { pairs: node({}), ...before } },
    } as unknown as RoundWork;
    return {
      data: nodes.data_check.inputs(work)["data"] ?? "",
      training: nodes.training.inputs(work)["training"] ?? "",
    };
  };
  // as commit 59978ea9 has them
  const before = {
    data: "34f8efdc3611a65ac98c2c0fb6777ead14481e7be4065ed85c067a37baf51873",
    training: "f187562056a4d156f0df68b89e1aaa8fca254d0ec7db428d675c6569f453462a",
  };
  assert.deepEqual(taken(before), before);
  const now = taken(null);
  assert.deepEqual(taken(now), now);
  for (const changes of [{ eval_data: [{ path: "held", weight: 1 }] }, { eval_data: "other" }]) {
    const other = taken(before, changes);
    assert.notEqual(other.data, before.data);
    assert.notEqual(other.training, before.training);
  }
  assert.equal(taken(before, { lora_dropout: 0.1 }).data, before.data);
  assert.notEqual(taken(before, { lora_dropout: 0.1 }).training, before.training);
});
