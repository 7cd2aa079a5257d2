/**
 * The hints of errors and warnings about data do what they say: every `key: value` that a message shows is taken out of
 * it and set, in YAML and on the command line, and the fault is gone.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { loadConfig } from "../../src/config/load-config.ts";
import type { DataIssue } from "../../src/data/findings.ts";
import { prepareData } from "../../src/train/prepare-data.ts";
import { runFixture } from "../support/runs.ts";
import { writeRows } from "../support/tiny-model.ts";

const fixture = runFixture({ rows: 4, held: 2 });
after(() => fixture[Symbol.dispose]());

const user = (content: string) => ({ role: "user", content });
const assistant = (content: string) => ({ role: "assistant", content });

interface Hinted {
  kind: string;
  row: Record<string, unknown>;
  /** YAML lines beside the model, the rows and the output. */
  given?: string;
  code?: string;
  /** Hints that the message has to show. */
  hints: string[];
}

const drop = "invalid_rows: drop";

const cases: Hinted[] = [
  {
    kind: "answers by other names",
    row: { question: "who?", good: "yes", bad: "no" },
    hints: ["columns: {chosen: good, rejected: bad}", drop],
  },
  {
    kind: "prompt and answers by other names",
    row: { post: "who?", preferred: "yes", dispreferred: "no" },
    hints: ["columns: {prompt: post, chosen: preferred, rejected: dispreferred}", drop],
  },
  {
    kind: "a typo",
    row: { prompt: "who?", choosen: "yes", rejected: "no" },
    hints: ["columns: {chosen: choosen}", drop],
  },
  {
    kind: "names in capitals",
    row: { Prompt: "who?", Chosen: "yes", Rejected: "no" },
    hints: ["columns: {prompt: Prompt, chosen: Chosen, rejected: Rejected}", drop],
  },
  {
    kind: "a name that needs quotes",
    row: { prompt: "who?", "chosen:": "yes", rejected: "no" },
    hints: ['columns: {chosen: "chosen:"}', drop],
  },
  {
    kind: "a mapping that lacks one",
    row: { ask: "who?", good: "yes", bad: "no" },
    given: "columns: {prompt: ask, chosen: good}",
    hints: ["columns: {prompt: ask, chosen: good, rejected: bad}", drop],
  },
  {
    kind: "a column that could be the prompt",
    row: { user_prompt: "who?", chosen: "the fox is red", rejected: "the fox is blue" },
    hints: ["columns: {prompt: user_prompt}", drop],
  },
  {
    kind: "a column of any name that has text",
    row: { posts: "who?", chosen: "the fox is red", rejected: "the fox is blue" },
    hints: ["columns: {prompt: posts}", drop],
  },
  {
    kind: "all columns by other names, none of which is known for a prompt",
    row: { ask: "who is it", good: "the fox is red", bad: "the fox is blue" },
    hints: ["columns: {prompt: ask, chosen: good, rejected: bad}", drop],
  },
  {
    kind: "two columns that could be the prompt",
    row: { question: "who?", query: "where?", chosen: "yes", rejected: "no" },
    hints: ["columns: {prompt: question}", drop],
  },
  {
    kind: "an answer for sft by another name",
    row: { prompt: "who?", response: "yes" },
    given: "objective: sft",
    hints: ["columns: {completion: response}", drop],
  },
  {
    kind: "conversations for sft by another name",
    row: { dialog: [user("who?"), assistant("yes")] },
    given: "objective: sft",
    hints: ["columns: {messages: dialog}", drop],
  },
  {
    kind: "plain strings",
    row: { prompt: "who?", chosen: "yes", rejected: "no" },
    code: "plain_strings",
    hints: ["plain_strings: chat", "plain_strings: text"],
  },
  {
    kind: "a system message by another name",
    row: { messages: [user("who?")], chosen: "yes", rejected: "no", system_message: "be brief" },
    code: "column_passed_over",
    hints: ["columns: {system: system_message}"],
  },
  {
    kind: "an empty answer",
    row: { prompt: "who?", chosen: "", rejected: "no" },
    code: "empty_answer",
    hints: [drop],
  },
  {
    kind: "a long row",
    row: { prompt: "who? ".repeat(20), chosen: "yes", rejected: "no" },
    given: "max_length: 16",
    code: "too_long",
    hints: ["overflow: drop", "overflow: truncate"],
  },
];

const hintPattern =
  /\b(columns: \{[^}]*\}|(?:plain_strings|invalid_rows|overflow|train_on|enable_thinking): "?\w+"?)/g;

function configOf(rows: string, given: string, overrides: [string, string][] = []) {
  const yaml = `model_name_or_path: ${fixture.values["model_name_or_path"]}\ntrain_data: ${rows}\noutput_dir: none\n${given}\n`;
  return loadConfig({ yaml, file: "run.yaml", overrides }).config;
}

async function findings(config: ReturnType<typeof configOf>): Promise<DataIssue[]> {
  const task = config.method.objective === "sft" ? "sft" : "preference";
  return (await prepareData({ ...config, task })).dataset.report.findings;
}

const isGone = (all: readonly DataIssue[], code: string, was: string): boolean =>
  !all.some((finding) => finding.code === code && (finding.severity === was || finding.severity === "error"));

for (const { kind, row, given = "", code = "invalid_row", hints } of cases) {
  test(`hints work when they are pasted: ${kind}`, async () => {
    const rows = writeRows(fixture.path("rows.jsonl"), [row]);
    const found = (await findings(configOf(rows, given))).find((finding) => finding.code === code);
    assert.ok(found !== undefined, "the fault is found");
    const shown = `${found.message} ${found.remedy}`.match(hintPattern) ?? [];
    assert.deepEqual([...new Set(shown)], hints);
    for (const hint of hints) {
      const [key = "", value = ""] = hint.split(/: (.*)/s);
      const others = given.startsWith(`${key}:`) ? "" : given;
      const inYaml = await findings(configOf(rows, `${others}\n${hint}`));
      const typed = await findings(configOf(rows, others, [[key, value]]));
      assert.deepEqual(typed, inYaml, hint);
      assert.ok(isGone(inYaml, code, found.severity), `${hint}: ${JSON.stringify(inYaml)}`);
    }
  });
}
