/** What `preftune generate` writes is what evaluations read: each completion under its own prompt. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { matchAnswers, readAnswerFile } from "../../src/evaluate/answers/answer-rows.ts";
import { readQuestions } from "../../src/evaluate/answers/questions.ts";
import { readCompletions } from "../../src/evaluate/diversity/completions-file.ts";
import { generateFile } from "../../src/recipes/generate.ts";
import { makeTinyModel, writeRows } from "../support/tiny-model.ts";
import { temporaryDirectory } from "../support/tiny-models.ts";

const dir = temporaryDirectory();
after(() => dir[Symbol.dispose]());
const at = (name: string) => `${dir.path}/${name}`;

test("conversations that end alike keep their own completions, for metrics and for judges", async () => {
  const user = (content: string) => ({ role: "user", content });
  const assistant = (content: string) => ({ role: "assistant", content });
  const prompts = writeRows(at("prompts.jsonl"), [
    { messages: [user("one?"), assistant("a"), user("yes")] },
    { messages: [user("two?"), assistant("b"), user("yes")] },
    { messages: [{ role: "system", content: "be brief" }, user("yes")] },
    { messages: [user("yes")] },
  ]);
  const output = at("out.jsonl");
  await generateFile({
    ...{ model: makeTinyModel(at("model")), adapters: [], prompts, limit: null, output },
    ...{ device: "cpu", dtype: "float32", threads: 1 },
    sampling: {
      ...{ n: 1, maxNewTokens: 8, temperature: 1, topK: null, topP: null, minP: null },
      ...{ repetitionPenalty: null, stop: [], seed: 3, logprobs: null },
    },
  });
  const completions = await readCompletions(output);
  assert.deepEqual(
    completions.map(({ prompt, answers }) => [prompt, answers.length]),
    Array.from({ length: 4 }, () => ["yes", 1]),
  );
  const texts = completions.map(({ answers }) => answers[0]?.text);
  assert.ok(new Set(texts).size > 1);
  const questions = await readQuestions(prompts);
  const matched = matchAnswers(await readAnswerFile(output), questions, output);
  assert.deepEqual([...matched.values()].flat(), texts);
});
