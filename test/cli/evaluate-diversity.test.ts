/** `preftune evaluate diversity` as a user meets it. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, test } from "node:test";
import { PreftuneError } from "../../src/base/errors.ts";
import { diversityCommand } from "../../src/cli/diversity-command.ts";
import { evaluateDiversity } from "../../src/evaluate/diversity/evaluate-diversity.ts";
import { loadModel } from "../../src/models/load.ts";
import { scope } from "../../src/torch/index.ts";
import { preftune } from "../support/command.ts";
import { runFixture } from "../support/runs.ts";
import { writeRows } from "../support/tiny-model.ts";

const fixture = runFixture();
after(() => fixture[Symbol.dispose]());
const diversity = (...words: string[]) => preftune("evaluate", "diversity", ...words);

/** The value behind a label of the table. */
function figureOf(table: string, label: string): string | undefined {
  return table
    .split("\n")
    .find((line) => line.startsWith(label))
    ?.slice(label.length)
    .trim();
}

test("answers of a file: a table, a line a prompt, and a file that can be read again", async () => {
  const answers = writeRows(fixture.path("answers.jsonl"), [
    { prompt: "p\u001b[31m", answers: ["a b a b a b", { text: "a b c", ended: false }], ended: true },
    { prompt: "q", answers: ["a b a b a b", "- x\n-"], finish_reason: "stop" },
  ]);
  const json = fixture.path("metrics.json");
  const first = await diversity("--answers", answers, "--output", json, "--per-prompt");
  assert.equal(first.status, 0, first.stderr);
  assert.match(first.stdout, /^4 answers to 2 prompts/);
  // by hand: see diversity.test.ts; here the last answer ended, so its empty item counts
  assert.equal(figureOf(first.stdout, "Ended properly"), "75.0 %");
  assert.equal(figureOf(first.stdout, "Malformed Markdown"), "25.0 %");
  assert.equal(figureOf(first.stdout, "  list item"), "25.0 %");
  assert.equal(figureOf(first.stdout, "Distinct-1"), "0.278");
  assert.equal(figureOf(first.stdout, "Entropy, nats per token"), "–");
  assert.match(first.stdout, /^p·\[31m +2 /m);
  const written = JSON.parse(readFileSync(json, "utf8"));
  assert.equal(written.metrics.ended_properly, 0.75);
  assert.equal(written.metrics.entropy, null);
  assert.equal(written.per_prompt[0].answers[1].text, "a b c");
  assert.equal(written.per_prompt[1].faults.list_item, 0.5);

  const lines = fixture.path("metrics.jsonl");
  await diversity("--answers", answers, "--output", lines);
  const again = await diversity("--answers", lines, "--per-prompt");
  assert.equal(again.stdout, first.stdout.replace(`\n${json}\n`, ""));
});

test("a model's answers: the same for the same seed, however many are asked at once, and as sure as it is", async () => {
  const prompts = writeRows(
    fixture.path("prompts.jsonl"),
    Array.from({ length: 40 }, (_, i) => ({ prompt: `say ${i}` })),
  );
  const source = {
    model: String(fixture.values["model_name_or_path"]),
    prompts,
    limit: null,
    samples: 2,
    temperature: 1,
    maxNewTokens: 5,
    seed: 3,
    device: "cpu",
    dtype: "float32",
    threads: 1,
  } as const;
  const seen: string[] = [];
  const whole = await evaluateDiversity(
    { ...source, onPhase: (_, done, all) => seen.push(`${done}/${all}`) },
    "tokens",
  );
  assert.deepEqual(seen, ["32/40", "40/40"]);
  assert.deepEqual([whole.all.prompts, whole.all.answers], [40, 80]);
  const { length, entropy, self_bleu } = whole.all.metrics;
  assert.ok(length > 0 && length <= 5 && self_bleu >= 0);
  using _ = scope();
  const vocabulary = loadModel(source.model).lm_head.weight.size(0);
  assert.ok(entropy > 0 && entropy <= Math.log(vocabulary));
  const some = await evaluateDiversity({ ...source, limit: 7 }, "tokens");
  assert.deepEqual(some.answered, whole.answered.slice(0, 7));
  const other = await evaluateDiversity({ ...source, limit: 7, seed: 4 }, "tokens");
  assert.notDeepEqual(other.answered, some.answered);
  const said = await diversity(
    "--model",
    source.model,
    "--prompts",
    prompts,
    "--limit",
    "7",
    "--samples",
    "2",
    "--max-new-tokens",
    "5",
    "--seed",
    "3",
    "--unit",
    "tokens",
    "--dtype",
    "float32",
  );
  assert.equal(said.status, 0, said.stderr);
  assert.equal(figureOf(said.stdout, "Length, tokens"), some.all.metrics.length.toFixed(1));
});

const refusals: [what: string, words: string[], status: number, message: RegExp][] = [
  ["nothing to look at", [], 2, /expected --answers FILE, or --model DIR with --prompts FILE/],
  ["a model without prompts", ["--model", "m"], 2, /--model DIR with --prompts FILE/],
  [
    "both",
    ["--answers", "a.jsonl", "--model", "m"],
    2,
    /existing completions, --model is for new ones: take it out/,
  ],
  [
    "equal answers",
    ["--model", "m", "--prompts", "p", "--temperature", "0"],
    2,
    /4 completions at temperature 0 are all the same/,
  ],
  ["words of tokens", ["--answers", "a.jsonl", "--unit", "tokens"], 2, /answers of a file have words/],
  [
    "a file of another kind",
    ["--answers", "a.jsonl", "--output", "a.csv"],
    2,
    /--output: expected a name that ends in \.json or \.jsonl, got "a\.csv"/,
  ],
  ["no such file", ["--answers", "nowhere.jsonl"], 4, /nowhere\.jsonl: expected a data file/],
  ["a temperature below 0", ["--model", "m", "--temperature", "-1"], 2, /Expected a number of at least 0/],
];
for (const [what, words, status, message] of refusals) {
  test(`refused: ${what}`, async () => {
    const command = diversityCommand()
      .exitOverride()
      .configureOutput({ writeErr: () => {} });
    await assert.rejects(command.parseAsync(words, { from: "user" }), (error: unknown) => {
      assert.ok(error instanceof Error);
      assert.match(error.message, message);
      if (error instanceof PreftuneError) assert.equal(error.exitCode, status);
      return true;
    });
  });
}

test("a prompt too long for the model is named", async () => {
  const model = String(fixture.values["model_name_or_path"]);
  const prompts = writeRows(fixture.path("long.jsonl"), [{ prompt: "short" }, { prompt: "x".repeat(400) }]);
  const { status, stderr } = await diversity("--model", model, "--prompts", prompts);
  assert.equal(status, 4);
  const message =
    /long\.jsonl:2: the prompt has (\d+) tokens, and 256 more .* made for 512 in all\. Leave the row out, or ask for answers of at most (\d+)\./;
  const [, tokens, room] = message.exec(stderr) ?? [];
  assert.equal(Number(tokens) + Number(room), 512);
});
