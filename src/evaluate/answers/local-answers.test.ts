/** Tests of local-answers.ts with a tiny model: turns follow from each other, and nothing else changes an answer. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { after, test } from "node:test";
import { runFixture } from "../../../test/support/runs.ts";
import { makeTinyModel } from "../../../test/support/tiny-model.ts";
import { adaptPatterned, tinyAdapterConfig } from "../../../test/support/tiny-models.ts";
import { listenToWarnings } from "../../../test/support/warnings.ts";
import { readModelConfig } from "../../formats/hf-config.ts";
import { sampleCompletions } from "../../generate/sample.ts";
import { loadModel } from "../../models/load.ts";
import { writeAdapter } from "../../models/save.ts";
import { createRowEncoder } from "../../text/encode.ts";
import { loadTokenizer } from "../../text/tokenizer.ts";
import { noGrad, ops, scope } from "../../torch/index.ts";
import { adapterParameters } from "../../train/parameters.ts";
import { AnswerLog } from "./answer-log.ts";
import { askLocalModel, type LocalModel, localIdentity } from "./local-answers.ts";
import type { Question } from "./questions.ts";

const fixture = runFixture({ held: 0 });
after(() => fixture[Symbol.dispose]());
let logs = 0;

const local: LocalModel = {
  model: String(fixture.values["model_name_or_path"]),
  adapter: null,
  seed: 3,
  chatTemplate: null,
  device: "cpu",
  dtype: "float32",
  threads: 1,
};

const question = (id: string, turns: string[], category = "a"): Question => ({
  id,
  isNamed: true,
  where: `q.jsonl:${id}`,
  category,
  messages: [{ role: "user", content: turns[0] ?? "" }],
  followUps: turns.slice(1),
  temperature: null,
});

/** Answers to `questions`; warm ones at temperature 1. */
async function answers(
  questions: readonly Question[],
  path = fixture.path(`log-${logs++}.jsonl`),
  maxTokens = 6,
) {
  const keys = new Map(questions.map(({ id }) => [id, `key ${id}`]));
  using log = await AnswerLog.open(path, "m", keys);
  const told: number[] = [];
  await askLocalModel(local, {
    questions,
    temperatureOf: ({ category }) => (category === "warm" ? 1 : 0),
    maxTokens,
    log,
    keyOf: ({ id }) => `key ${id}`,
    onAnswered: (done) => told.push(done),
  });
  return { answers: new Map(log.answers), told, cut: log.cut, path };
}

test("the second turn is asked after the own first answer", async () => {
  const {
    answers: found,
    told,
    cut,
  } = await answers([question("1", ["who is there?", "and then?"]), question("2", ["one turn only"])]);
  // a model of random weights does not end within six tokens
  assert.equal(cut, 3);
  assert.deepEqual(told, [1, 2]);
  const [first = "", second = ""] = found.get("1") ?? [];
  assert.equal(found.get("2")?.length, 1);
  using _ = scope();
  const tokenizer = loadTokenizer(local.model);
  const { eosTokenIds } = readModelConfig(local.model);
  await using encoder = createRowEncoder(tokenizer, { eosTokenIds });
  const [outcome] = await encoder.encode([
    {
      kind: "chat",
      where: "here",
      prompt: [
        { role: "user", content: "who is there?" },
        { role: "assistant", content: first },
        { role: "user", content: "and then?" },
      ],
      completions: [],
    },
  ]);
  assert.ok(outcome !== undefined && "row" in outcome);
  const stopIds = new Set([...eosTokenIds, ...(await encoder.chatFormat()).stopIds]);
  const [drawn] = await sampleCompletions(loadModel(local.model), [outcome.row.promptIds], {
    temperature: 0,
    maxNewTokens: 6,
    stopIds,
    seed: 0,
  });
  assert.equal(tokenizer.decode(drawn?.ids ?? [], { skipSpecialTokens: true }).trim(), second);
});

test("what is there already is left as it is, and the rest comes out as it would have", async () => {
  const questions = Array.from({ length: 20 }, (_, i) =>
    question(`${i}`, [`say ${i}`, "again"], i % 2 === 0 ? "warm" : "a"),
  );
  const whole = await answers(questions);
  const some = await answers(questions.slice(0, 7));
  for (const [id, turns] of some.answers) assert.deepEqual(turns, whole.answers.get(id));
  const rest = await answers(questions, some.path);
  assert.ok(whole.cut > 0);
  assert.equal(
    rest.cut,
    whole.cut,
    "those of before are counted, and those generated again are not counted twice",
  );
  assert.deepEqual(rest.told, [8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]);
  assert.deepEqual(rest.answers, new Map(questions.map(({ id }) => [id, whole.answers.get(id)])));
  assert.deepEqual((await answers(questions, some.path)).told, []);
});

test("a question that does not fit is named; a later turn takes what is left of the context, or is left empty", async (t) => {
  const path = fixture.path("log-too-long.jsonl");
  const many = Array.from({ length: 17 }, (_, i) => question(`${i}`, ["short"]));
  await assert.rejects(answers([...many, question("17", ["x".repeat(600)])], path), {
    name: "DataError",
    message:
      /^q\.jsonl:17: the prompt has \d+ tokens; the model was made for 512 in all\. Leave the row out\.$/,
  });
  // it is in the second group of questions, and none of the first was answered
  assert.equal(readFileSync(path, "utf8"), "");
  const told = listenToWarnings(t);
  const found = await answers([
    question("9", ["short", "x".repeat(600), "still there?"]),
    question("10", ["short", "again", "and again"]),
  ]);
  assert.deepEqual(found.answers.get("9")?.slice(1), ["", ""]);
  assert.ok((found.answers.get("9")?.[0] ?? "") !== "");
  assert.equal(found.cut, 6);
  assert.match(
    (await told("q.jsonl:9, turn 2")).join(),
    /the conversation has \d+ tokens before the answer.*for 512 in all/,
  );
  // its neighbour has the answers that it has alone
  const alone = await answers([question("10", ["short", "again", "and again"])]);
  assert.deepEqual(found.answers.get("10"), alone.answers.get("10"));
  // two turns of at most 140 tokens are asked for, and the second is cut by the context
  const long = await answers([question("11", ["short", "again"])], fixture.path("log-long.jsonl"), 140);
  assert.ok((long.answers.get("11")?.[1] ?? "") !== "");
});

test("an adapter's identity is that of its weights, settings and scale; a tuned model's likewise", () => {
  const saved = (name: string, alpha: number, weight = 1) => {
    using _ = scope();
    const model = loadModel(local.model);
    const { config } = adaptPatterned(model, tinyAdapterConfig({ alpha }));
    for (const tensor of adapterParameters(model).tensors.values())
      noGrad(() => ops.mul_(ops.detach(tensor), weight));
    const dir = fixture.path(name);
    mkdirSync(dir);
    writeAdapter(dir, config, adapterParameters(model).tensors);
    return dir;
  };
  const identity = (adapter: string) => localIdentity({ ...local, adapter });
  const one = saved("one", 6);
  assert.equal(identity(saved("same", 6)), identity(one));
  assert.equal(identity(`${one}@scale=1`), identity(one));
  const tuned = makeTinyModel(fixture.path("tuned"), { seed: 2 });
  const others = [`${one}@scale=0.4`, `${one}@scale=0.5`, saved("alpha", 7), saved("weights", 6, 2), tuned];
  const all = [localIdentity(local), identity(one), ...others.map(identity), identity(`${tuned}@scale=0.4`)];
  assert.equal(new Set(all).size, all.length);
  assert.equal(identity(makeTinyModel(fixture.path("tuned-copy"), { seed: 2 })), identity(tuned));
});

test("other weights are another identity, the same in another place are not", () => {
  const identity = localIdentity(local);
  assert.equal(localIdentity({ ...local, model: makeTinyModel(fixture.path("copy")) }), identity);
  assert.notEqual(
    localIdentity({ ...local, model: makeTinyModel(fixture.path("other"), { seed: 2 }) }),
    identity,
  );
});
