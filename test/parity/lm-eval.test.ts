/** EleutherAI's lm-eval against `preftune serve` (`local-completions`), held to its Hugging Face backend on the same model. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";
import { evalPython, skipWithoutEval } from "../support/peers.ts";
import { startServer } from "../support/servers.ts";
import { requireShared, skipWithoutShared } from "../support/shared.ts";
import { makeTinyModel, writeRows } from "../support/tiny-model.ts";
import { temporaryDirectory } from "../support/tiny-models.ts";

/** By task, a list of answers for each row: [log-likelihood, whether it is the greedy one], or a text. */
interface Responses {
  choice: [number, boolean][][];
  text: string[][];
}

/** By its Hugging Face backend and by a server. */
interface Both {
  hf: Responses;
  served: Responses;
}

const rows = [
  ["Once upon a time", "there was a little girl", "banana on cat the"],
  ["The little girl", "was very happy", "xylophone"],
  ["Tom and his dog", "went to the park", "park the went"],
  ["One day", "a big bird came", "the"],
  ["The sun was", "bright and warm", "cold dark night of"],
  ["Lily had a", "red ball", "zzz é"],
];

function task(name: string, data: string, lines: string[]): string {
  const head = [`task: ${name}`, "dataset_path: json", `dataset_kwargs: {data_files: {test: ${data}}}`];
  return [...head, "test_split: test", 'doc_to_text: "{{question}}"', ...lines, ""].join("\n");
}

/** A model, and whether its prompts begin with its token for that. */
interface Served {
  model: string;
  addsBos: boolean;
}

function writeTasks(dir: string): void {
  const data = writeRows(
    join(dir, "rows.jsonl"),
    rows.map(([question, ...choices]) => ({ question, choices, answer: 0 })),
  );
  const choice = [
    "output_type: multiple_choice",
    'doc_to_choice: "{{choices}}"',
    'doc_to_target: "{{answer}}"',
    "metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]",
  ];
  const text = [
    "output_type: generate_until",
    'doc_to_target: "{{answer}}"',
    'generation_kwargs: {until: [".", "!"], max_gen_toks: 24, do_sample: false}',
    "metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]",
  ];
  writeFileSync(join(dir, "choice.yaml"), task("choice", data, choice));
  writeFileSync(join(dir, "text.yaml"), task("text", data, text));
}

/** The answers that one Python process gets for each model, by its own backend and by a server. */
async function responses(models: readonly Served[]): Promise<Both[]> {
  using dir = temporaryDirectory();
  writeTasks(dir.path);
  await using servers = new AsyncDisposableStack();
  const words: string[] = [];
  for (const { model, addsBos } of models) {
    const server = servers.use(await startServer({ model, maxPrompts: 32 }));
    words.push(model, server.url, server.key, addsBos ? "True" : "False");
  }
  const { stdout } = await promisify(execFile)(
    evalPython() ?? assert.fail("skipped without one"),
    [join(import.meta.dirname, "lm_eval_tasks.py"), dir.path, ...words],
    {
      env: {
        ...process.env,
        HF_HOME: join(dir.path, "hf"),
        HF_HUB_OFFLINE: "1",
        HF_DATASETS_OFFLINE: "1",
        TOKENIZERS_PARALLELISM: "false",
        OMP_NUM_THREADS: "1",
      },
      maxBuffer: 2 ** 24,
    },
  );
  const lines = stdout.trim().split("\n").slice(-models.length);
  return lines.map((line) => JSON.parse(line) as Both);
}

function assertAlike({ hf, served }: Both): void {
  assert.equal(served.choice.length, rows.length);
  for (const [i, answers] of hf.choice.entries()) {
    assert.equal(answers.length, 2);
    for (const [j, [value, isGreedy]] of answers.entries()) {
      const [ours = Number.NaN, oursIsGreedy] = served.choice[i]?.[j] ?? [];
      // sums of up to 24 float32 log-probs, which differ by 1e-6 each
      assert.ok(Math.abs(ours - value) < 5e-5, `${i}, ${j}: ${ours} and ${value}`);
      assert.equal(oursIsGreedy, isGreedy);
    }
  }
}

const sentencePiece = skipWithoutShared("models", "stories260K");
const tiny = temporaryDirectory();
after(() => tiny[Symbol.dispose]());
const models: Served[] = [
  { model: makeTinyModel(join(tiny.path, "tiny")), addsBos: false },
  ...(sentencePiece === false ? [{ model: requireShared("models", "stories260K"), addsBos: true }] : []),
];
const answers = skipWithoutEval() === false ? await responses(models) : [];

test("lm-eval: log-likelihoods and texts of a server are those of its Hugging Face backend", {
  skip: skipWithoutEval(),
}, () => {
  const both = answers[0] ?? assert.fail();
  assertAlike(both);
  assert.deepEqual(both.served.text, both.hf.text);
  assert.ok(both.hf.text.flat().some((text) => text.length > 5));
});

test("lm-eval: the same of a SentencePiece model, whose texts begin with the space that the backend's decoding leaves out", {
  skip: skipWithoutEval() || sentencePiece,
}, () => {
  const both = answers[1] ?? assert.fail();
  assertAlike(both);
  const trimmed = both.served.text.map((texts) => texts.map((text) => text.replace(/^ /, "")));
  assert.deepEqual(trimmed, both.hf.text);
  assert.match(both.served.text[0]?.[0] ?? "", /^, there was a little girl/);
});
