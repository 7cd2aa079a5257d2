/** Tests of answers.ts: answers that are cut or empty are judged, and told of. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { startJudge } from "../../../test/support/judge-server.ts";
import { listenToWarnings } from "../../../test/support/warnings.ts";
import { Endpoint } from "../endpoint/endpoint.ts";
import { answersOf } from "./answers.ts";
import type { Question } from "./questions.ts";

const dir = mkdtempSync(join(tmpdir(), "preftune-answers-of-"));
after(() => rmSync(dir, { recursive: true, force: true }));

const question = (id: string): Question => ({
  id,
  isNamed: true,
  where: `q.jsonl:${id}`,
  category: null,
  messages: [{ role: "user", content: `question ${id}` }],
  followUps: [],
  temperature: null,
});

test("an endpoint's answers that end at the limit, and those without text", async (t) => {
  const warnings = listenToWarnings(t);
  await using server = await startJudge(({ text }) => {
    if (text.includes("1")) return { text: "so far", finishReason: "length" };
    return text.includes("2") ? { text: "", finishReason: "length" } : "whole";
  });
  const place = { kind: "endpoint", baseUrl: server.baseUrl, model: "m" } as const;
  const { answers, path } = await answersOf(place, ["1", "2", "3"].map(question), () => 0, {
    device: "cpu",
    dtype: "float32",
    threads: 1,
    dir,
    maxNewTokens: 8,
    seed: 1,
    chatTemplate: null,
    concurrency: 1,
    openEndpoint: (given) => new Endpoint({ ...given, maxRetries: 0 }),
  });
  assert.deepEqual([...answers.values()].flat(), ["so far", "", "whole"]);
  assert.deepEqual(await warnings(), [
    "m: 2 answers were cut at the limit of 8 tokens, and judged as cut.",
    `${path}: 1 answer is empty, and judged as such.`,
  ]);
});
