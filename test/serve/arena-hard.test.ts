/** `evaluate arena-hard` with a server of ours on both sides, at Arena-Hard's published settings. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { arenaHardCommand } from "../../src/cli/arena-hard-command.ts";
import { makeChainModel, piece } from "../support/sentencepiece.ts";
import { startServer } from "../support/servers.ts";
import { writeRows } from "../support/tiny-model.ts";
import { temporaryDirectory } from "../support/tiny-models.ts";

/** temperature and max_tokens as arena-hard-v0.1.yaml has them: more than the model's context. */
const judgeConfig = `bench_name: arena-hard-v0.1
temperature: 0.0
max_tokens: 4096
regex_patterns:
  - \\[\\[([AB<>=]+)\\]\\]
prompt_template: "<|User Prompt|>\\n{QUESTION}\\n\\nA:\\n{ANSWER_A}\\n\\nB:\\n{ANSWER_B}"
`;

test("answers and verdicts come from one server; 4096 tokens asked for end where the context ends", async () => {
  using dir = temporaryDirectory();
  const at = (name: string) => join(dir.path, name);
  const verdict = ["<|im_start|>", "[[", "A", ">", "B", "]]", "</s>"].map(piece);
  await using server = await startServer({ model: makeChainModel(at("model"), verdict, 2048) });
  writeFileSync(at("judge.yaml"), judgeConfig);
  writeFileSync(at("settings.json"), JSON.stringify({ "arena-hard-v0.1": { system_prompt: "Judge." } }));
  writeRows(
    at("questions.jsonl"),
    ["a", "b"].map((uid) => ({ uid, category: "arena", cluster: "c", prompt: `question ${uid}` })),
  );
  writeRows(
    at("baseline.jsonl"),
    ["a", "b"].map((uid) => ({ uid, model: "old", messages: [{ role: "assistant", content: "no" }] })),
  );
  const keys = { PREFTUNE_JUDGE_KEY: server.key, PREFTUNE_ANSWER_KEY: server.key };
  Object.assign(process.env, keys);
  const endpoint = `${server.url}/v1#tiny`;
  const files = [
    ["--baseline", at("baseline.jsonl")],
    ["--questions", at("questions.jsonl")],
    ["--judge-config", at("judge.yaml")],
    ["--judge-settings", at("settings.json")],
    ["--judge", endpoint],
    ["--output", at("run")],
    ["--bootstrap", "10"],
  ];
  try {
    await arenaHardCommand().parseAsync([endpoint, ...files.flat()], { from: "user" });
  } finally {
    for (const key of Object.keys(keys)) delete process.env[key];
  }
  const judgments = readFileSync(at("run/judgments.jsonl"), "utf8").trim().split("\n");
  assert.equal(judgments.length, 2);
  assert.ok(judgments.every((line) => line.includes("[[A>B]]")));
  const records = server.events.flatMap((event) => (event.type === "request" ? [event.record] : []));
  const chats = records.filter(({ route }) => route === "/v1/chat/completions");
  assert.deepEqual(
    chats.map(({ status }) => status),
    [200, 200, 200, 200, 200, 200],
  );
});
