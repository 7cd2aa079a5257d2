/** Pairs of a model's own answers: what makes one, that a study trains on them, and what is refused. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ConfigError } from "preftune";
import { prepareData } from "preftune/data";
import type { RolloutGroup } from "preftune/online";
import { StudyStoppedError } from "preftune/sweep";
import { loadConfig } from "preftune/train";
import { readJsonLines } from "../src/runs/json-lines.ts";
import { type RunFixture, runFixture, type Values } from "../test/support/runs.ts";
import { tinyStudy } from "../test/support/study.ts";
import { pairRows, writeRows } from "../test/support/tiny-model.ts";
import { ownPairs, pairsIn } from "./own-pairs.ts";
import { study } from "./study.ts";

/** A prompt and its completions, each token standing for its letter. */
function group(prompt: unknown, completions: readonly string[], columns = {}): RolloutGroup {
  return {
    index: 0,
    example: { reward: { prompt, columns } } as RolloutGroup["example"],
    completions: completions.map((text) => ({
      ids: [...text].map((letter) => letter.charCodeAt(0)),
      ended: true,
      logps: new Float32Array(text.length),
      kept: null,
    })),
  };
}

const textOf = (ids: readonly number[]): string => String.fromCharCode(...ids);

test("the first best and the first worst answer are a pair; equal rewards, unscored and empty answers are none", () => {
  const groups = [
    group("p", ["a", "b", "c", "d"]),
    group("q", ["a", "b"]),
    group([{ role: "user", content: "r" }], ["a", " ", "c", "d"], { tools: [1], other: 2 }),
    group("s", ["a", "b"]),
    // a reward that is not one of the text
    group("t", ["a", "a", "b"]),
    group("u", ["a", "a"]),
  ];
  const rewards = [
    1,
    0,
    0,
    1,
    /* q */ 0.5,
    0.5,
    /* r */ Number.NaN,
    9,
    2,
    3,
    /* s */ 1,
    Number.NaN,
    /* t */ 1,
    0,
    0.5,
    /* u */ 1,
    0,
  ];
  const said = (content: string) => [{ role: "assistant", content }];
  assert.deepEqual(pairsIn({ groups, rewards }, { textOf, columns: null }), [
    { prompt: "p", chosen: "a", rejected: "b" },
    { prompt: [{ role: "user", content: "r" }], chosen: said("d"), rejected: said("c"), tools: [1] },
    { prompt: "t", chosen: "a", rejected: "b" },
  ]);
});

/** A module of rewards: one that tells answers apart by length, and one that tells none apart. */
function rewardsIn(place: RunFixture): string {
  const path = place.path("rewards.mjs");
  writeFileSync(
    path,
    "export const short = ({ completion_ids }) => completion_ids.map((ids) => -ids.length);\n" +
      "export const alike = ({ completion_ids }) => completion_ids.map(() => 1);\n",
  );
  return path;
}

test("a study samples its pairs once, trains on them alone, and refuses to go on with others", async () => {
  using place = runFixture({ rows: 6, held: 4 });
  const rewards = rewardsIn(place);
  const of = (name: string, reward: string) => ({
    // the answers of random weights are bytes of no text, which take more tokens when they are read again
    ...tinyStudy(place, "geometry", { max_length: 400 }),
    output: place.path(name),
    ownAnswers: { reward: `${rewards}#${reward}` },
  });
  const told: string[] = [];
  const options = { ...of("own", "short"), out: { write: (text: string) => told.push(text) > 0 } };
  const { report, summary } = await study(options);
  assert.doesNotMatch(summary, /Failed/);
  assert.match(
    readFileSync(report, "utf8"),
    /own answers: of 8 to each prompt the best and the worst by short/,
  );
  const setup = (file: string): string => readFileSync(join(options.output, "setup", file), "utf8");
  const rows = setup("own.train.jsonl").trim().split("\n");
  assert.ok(rows.length > 0 && rows.length <= 6);
  assert.equal(setup("set-1-of-1.jsonl").trim().split("\n").length, rows.length);
  for (const row of rows) assert.deepEqual(Object.keys(JSON.parse(row)), ["prompt", "chosen", "rejected"]);
  assert.ok(told.some((line) => /^own answers: 6 of 6 training prompts, \d pairs/.test(line)));

  const before = setup("own.train.jsonl");
  told.length = 0;
  await study(options);
  assert.ok(!told.some((line) => line.startsWith("own answers")), "they are there");
  assert.equal(setup("own.train.jsonl"), before);

  const { train_data } = place.values;
  writeFileSync(String(train_data), readFileSync(String(train_data), "utf8").split("\n").slice(1).join("\n"));
  await assert.rejects(study(options), /own\.json: expected own answers made with rows \["/);
  const other = { ...options, overrides: [...options.overrides, ["seed", "5"] as const] };
  await assert.rejects(study(other), /expected own answers made with seed 5, got some made with 42/);
  const drawn = { ...of("drawn", "short"), overrides: other.overrides };
  await study(drawn);
  assert.match(readFileSync(join(drawn.output, "setup", "own.json"), "utf8"), /"seed": ?5/);
  const trained = join(drawn.output, "runs", readdirSync(join(drawn.output, "runs"))[0] ?? "", "config.yaml");
  assert.match(readFileSync(trained, "utf8"), /^seed: 1$/m);
  await assert.rejects(
    study(of("alike", "alike")),
    /#alike: expected prompts with answers of different reward, got none of 5: .* have equal rewards/,
  );
  await assert.rejects(study(of("none", "nothing")), /nothing/);
});

/** `ownPairs` on a fixture's model with rewards by length. */
function sampledIn(
  place: RunFixture,
  values: Values,
  { sets = 1, signal }: { sets?: number; signal?: AbortSignal } = {},
): ReturnType<typeof ownPairs> {
  const rewards = rewardsIn(place);
  const options = {
    reward: `${rewards}#short`,
    max_completion_length: 96,
    sets,
    out: { write: () => true },
  };
  const input = { values: { ...place.values, output_dir: place.path("run"), max_length: 400, ...values } };
  return ownPairs(place.path("study"), input, { ...options, signal });
}

test("prompts are read and rendered with the keys that the runs have, and pairs are read back by them", async () => {
  using place = runFixture({ rows: 0, held: 0 });
  const rows = pairRows(6).map(({ prompt, chosen, rejected }) => ({
    question: prompt,
    best: chosen,
    worst: rejected,
  }));
  const long = { ...rows[0], question: "a word ".repeat(400) };
  const keys = {
    columns: { prompt: "question", chosen: "best", rejected: "worst" },
    plain_strings: "chat",
    overflow: "drop",
    train_data: writeRows(place.path("q.train.jsonl"), [...rows.slice(0, 4), long]),
    eval_data: writeRows(place.path("q.eval.jsonl"), rows.slice(4)),
  };
  const { values, note } = await sampledIn(place, keys);
  assert.match(note, /training pairs of 4 prompts, \d held-out pairs of 2/);
  const { config } = loadConfig({
    values: { ...place.values, ...keys, max_length: 400, ...values, output_dir: place.path("run") },
  });
  assert.deepEqual([config.columns, config.plain_strings], [null, "chat"]);
  const read = async (task: "preference" | "prompt", changes: object): Promise<Set<string>> => {
    const { dataset } = await prepareData({ ...config, ...changes, task });
    return new Set(
      [...dataset.examples, ...(dataset.evalExamples ?? [])].map(({ promptIds }) => promptIds.join()),
    );
  };
  const { config: asked } = loadConfig({
    values: { ...place.values, ...keys, max_length: 400, output_dir: place.path("run") },
  });
  const { columns, train_data, eval_data } = asked;
  const prompts = await read("prompt", { columns, train_data, eval_data });
  const trained = await read("preference", {});
  assert.ok(trained.size > 2);
  assert.deepEqual(
    [...trained].filter((prompt) => !prompts.has(prompt)),
    [],
    "each was asked so",
  );
});

test("rows that are wanted are pairs: as many for each training set, from as many prompts as it takes", async () => {
  using place = runFixture({ rows: 12, held: 6 });
  const { values } = await sampledIn(place, { max_train_rows: 1, max_eval_rows: 2 }, { sets: 3 });
  const rowsOf = (path: unknown): number => readJsonLines(String(path)).length;
  assert.deepEqual([rowsOf(values["train_data"]), rowsOf(values["eval_data"])], [3, 2]);
});

test("a damaged record, changed pairs and another model of the same name are refused, each with what to do", async () => {
  using place = runFixture({ rows: 4, held: 3 });
  const { values, note } = await sampledIn(place, {});
  assert.equal((await sampledIn(place, {})).note, note);
  const record = place.path("study", "setup", "own.json");
  const whole = readFileSync(record, "utf8");
  for (const text of [whole.slice(0, -9), "[]", "null", '{"facts":{}}']) {
    writeFileSync(record, text);
    await assert.rejects(sampledIn(place, {}), (error: unknown) => {
      assert.ok(error instanceof ConfigError, String(error));
      assert.match(
        error.message,
        /own\.json: expected what a study noted .* damaged\. Put it back, or remove .*own\.json/,
      );
      return true;
    });
  }
  writeFileSync(record, whole);

  const train = String(values["train_data"]);
  const rows = readFileSync(train, "utf8");
  writeFileSync(train, rows.replace("chosen", "chosem"));
  await assert.rejects(sampledIn(place, {}), /own\.train\.jsonl: expected the pairs .* changed since/);
  rmSync(train);
  await assert.rejects(sampledIn(place, {}), /own\.train\.jsonl: expected the pairs .* is gone/);
  writeFileSync(train, rows);
  await assert.rejects(
    sampledIn(place, { use_peft: true, load_in_4bit: true, bnb_4bit_quant_type: "fp4" }),
    /made with load_in_4bit true/,
  );

  const weights = join(String(place.values["model_name_or_path"]), "model.safetensors");
  const bytes = readFileSync(weights);
  bytes.fill(0x11, bytes.length - 64);
  writeFileSync(weights, bytes);
  await assert.rejects(sampledIn(place, {}), /own answers made with model_content "/);

  // the record of an earlier version has less, which is not compared
  const { facts, note: said } = JSON.parse(whole) as { facts: Record<string, unknown>; note: string };
  const { model_content: _, bnb_4bit_quant_type: type, ...earlier } = facts;
  assert.equal(type, "nf4");
  writeFileSync(record, JSON.stringify({ facts: earlier, note: said }));
  assert.equal((await sampledIn(place, {})).note, note);
});

test("a stop while answers are sampled is a stop, and nothing is written", async () => {
  using place = runFixture({ rows: 4, held: 3 });
  await assert.rejects(sampledIn(place, {}, { signal: AbortSignal.abort() }), StudyStoppedError);
  assert.equal(existsSync(place.path("study", "setup")), false);
});

test("held-out rows of the command line are asked too, and the runs are measured on the answers", async () => {
  using place = runFixture({ rows: 6, held: 0 });
  const rewards = rewardsIn(place);
  const held = writeRows(place.path("held.jsonl"), pairRows(4, 9));
  const options = tinyStudy(place, "geometry", { max_length: 400, eval_data: held });
  const config = writeConfig(place);
  await study({
    ...options,
    ...{ model: null, data: null, evalData: null, config },
    ownAnswers: { reward: `${rewards}#short` },
  });
  const own = join(options.output, "setup", "own.eval.jsonl");
  const [run = ""] = readdirSync(join(options.output, "runs"));
  const measured = readJsonLines(join(options.output, "runs", run, "held-out.jsonl"));
  assert.ok(measured.length > 0);
  for (const { value } of measured) assert.equal((value as { file: string }).file, own);
});

/** A configuration with model and training rows. */
function writeConfig(place: RunFixture): string {
  const path = place.path("study.yaml");
  writeFileSync(path, JSON.stringify({ ...place.values, watch_prompts: "eval", use_peft: true }));
  return path;
}

test("own answers are refused where nothing would train on them, or nothing tells them apart", async () => {
  using place = runFixture({ rows: 6, held: 4 });
  const own = { ownAnswers: { reward: null } };
  await assert.rejects(
    study({ ...tinyStudy(place, "anchoring"), ...own }),
    /anchoring trains on rows as they are: --own-answers has no effect here. It is for frontier, geometry\./,
  );
  await assert.rejects(
    study({ ...tinyStudy(place, "geometry"), ...own }),
    /--own-answers: expected a reward function that distinguishes your model's answers/,
  );
});
