/**
 * Inputs that people report as handled wrongly, each a command and its outcome (`../shared/cases`), run as a user runs them.
 * What each stands for is tested in this project's own words beside the code; here is the whole way through.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { assertClose } from "../support/close.ts";
import { peersPython, skipWithoutPeers } from "../support/peers.ts";
import { requireShared, skipWithoutShared } from "../support/shared.ts";
import { temporaryDirectory } from "../support/tiny-models.ts";

interface Outcome {
  status: number | null;
  /** What the command wrote to stdout. */
  stdout: string;
  /** Both streams. */
  output: string;
}

const main = resolve(import.meta.dirname, "../../src/cli/main.ts");
const skip = skipWithoutShared("cases") || skipWithoutShared("models");

/** Scripts of the cases start a server and give it a second: here as long as it needs to write its port. */
const patientSleep = `#!/bin/bash
for ((i = 0; i < 1200; i++)); do [ -e port ] && ! [ -s port ] || break; PATH=/usr/bin:/bin sleep 0.05; done
PATH=/usr/bin:/bin exec sleep "$@"
`;

function run(name: string): Outcome {
  using out = temporaryDirectory();
  using programs = temporaryDirectory();
  writeFileSync(join(programs.path, "sleep"), patientSleep, { mode: 0o755 });
  const { status, stdout, stderr } = spawnSync("bash", [requireShared("cases", name, "cmd.sh")], {
    encoding: "utf8",
    env: {
      ...process.env,
      NO_COLOR: "1",
      PATH: `${programs.path}:${process.env["PATH"]}`,
      PREFTUNE: `${process.execPath} --conditions=preftune-source ${main}`,
      SHARED: join(requireShared("cases"), ".."),
      CASE: requireShared("cases", name),
      OUT: out.path,
      ...(peersPython() === null ? {} : { PYTHON: peersPython() ?? "" }),
    },
  });
  return { status, stdout, output: stdout + stderr };
}

const numbersOfLine =
  /line (\d+) of o\.jsonl: num_tokens\/chosen (\d+), logps\/chosen (\S+); num_tokens\/rejected (\d+), logps\/rejected (\S+)/g;

/** The case's expected.txt names what transformers gives for each row. */
function checkScores(name: string, { status, stdout, output }: Outcome): void {
  assert.equal(status, 0, output);
  const rows = stdout
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as Record<string, number>);
  const expected = readFileSync(requireShared("cases", name, "expected.txt"), "utf8");
  const wanted = [...expected.matchAll(numbersOfLine)];
  assert.notEqual(wanted.length, 0);
  for (const [, line, ...numbers] of wanted) {
    const row = rows[Number(line) - 1] ?? {};
    const [chosenTokens, chosen, rejectedTokens, rejected] = numbers.map(Number);
    assert.equal(row["num_tokens/chosen"], chosenTokens);
    assert.equal(row["num_tokens/rejected"], rejectedTokens);
    assertClose(row["logps/chosen"] ?? Number.NaN, chosen ?? Number.NaN, { atol: 0.002 });
    assertClose(row["logps/rejected"] ?? Number.NaN, rejected ?? Number.NaN, { atol: 0.002 });
  }
}

function refused(status: number, ...words: RegExp[]): (outcome: Outcome) => void {
  return (outcome) => {
    assert.equal(outcome.status, status, outcome.output);
    for (const word of words) assert.match(outcome.output, word);
  };
}

function reported(...words: RegExp[]): (outcome: Outcome) => void {
  return refused(0, ...words);
}

/** The replies of a case that asks a server, one JSON object a line. */
function replies<T>({ stdout }: Outcome): T[] {
  return stdout
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as T);
}

interface Completion {
  choices: { text: string; logprobs?: { tokens: string[]; text_offset: number[] } }[];
  usage?: { prompt_tokens: number };
}

const byName: Record<string, (outcome: Outcome) => void> = {
  "completion-first-space": (outcome) =>
    assert.equal(
      replies<Completion>(outcome)[0]?.choices[0]?.text,
      " time, there was a little",
      outcome.output,
    ),
  "csv-python-lists": reported(/training chosen +\d+ +\S+ +\d+ +[1-6]\n/),
  "duplicate-key": refused(4, /rows\.jsonl:1/, /"chosen"/),
  "label-smoothing-ipo": refused(2, /label_smoothing/, /ipo/),
  "logprobs-token-spaces": (outcome) => {
    const logprobs = replies<Completion>(outcome)[0]?.choices[0]?.logprobs;
    assert.deepEqual(logprobs?.tokens, [",", " there", " was", " a", " little", " g"], outcome.output);
    assert.deepEqual(logprobs?.text_offset, [0, 1, 7, 11, 13, 20]);
  },
  "lone-surrogate": refused(4, /rows\.jsonl:1/),
  "longer-than-context": (outcome) => {
    assert.match(outcome.output, /rows\.jsonl:1/);
    assert.match(outcome.output, /512/);
  },
  "message-weight-zero": reported(/\b5 in the loss/),
  "nan-weights-score": (outcome) => {
    assert.notEqual(outcome.status, 0);
    assert.match(outcome.output, /NaN/);
    assert.match(outcome.output, /model\.[a-z_.0-9]+/);
  },
  "no-generation-prompt": reported(/add_generation_prompt/),
  "prefilled-turn-train": reported(/training prompt +24 +/),
  "rating-footnote": refused(7, /rating|verdict/i),
  "rating-same-twice": reported(/\b8\.00?\b/),
  "role-not-rendered": refused(4, /rows\.jsonl:1/, /developer/),
  "sft-empty-turn": refused(4, /empty_answer/, /rows\.jsonl:1/),
  "stop-special-token": (outcome) =>
    assert.equal(replies<{ answers: { text: string }[] }>(outcome)[0]?.answers[0]?.text, "B", outcome.output),
  "tool-call-not-rendered": refused(4, /rows\.jsonl:1/),
  "tool-history-content-null": (outcome) => {
    const [absent, empty] = replies<Completion>(outcome);
    assert.ok(absent?.usage !== undefined, outcome.output);
    assert.equal(absent.usage.prompt_tokens, empty?.usage?.prompt_tokens);
  },
  "zstd-frames": reported(/rows read +4\b/),
};

const names = skip
  ? Object.keys(byName)
  : readdirSync(requireShared("cases"), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);

for (const name of names) {
  const needsPython =
    !skip && ["make.py", "judge.py"].some((file) => existsSync(join(requireShared("cases", name), file)));
  test(name, { skip: skip || (needsPython && skipWithoutPeers()) }, () => {
    const outcome = run(name);
    const check = byName[name];
    if (check === undefined) checkScores(name, outcome);
    else check(outcome);
  });
}
