/** `preftune generate` as a user meets it. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { after, mock, test } from "node:test";
import { Command } from "commander";
import { PreftuneError } from "../../src/base/errors.ts";
import { addGenerateCommand } from "../../src/cli/generate-command.ts";
import { readAnswerFile } from "../../src/evaluate/answers/answer-rows.ts";
import { readCompletions } from "../../src/evaluate/diversity/completions-file.ts";
import { addAdapter } from "../../src/models/adapt.ts";
import { loadModel } from "../../src/models/load.ts";
import { writeAdapter } from "../../src/models/save.ts";
import { type GenerateFileOptions, generateFile } from "../../src/recipes/generate.ts";
import { liveTensorCount, noGrad, ops, scope } from "../../src/torch/index.ts";
import { adapterParameters } from "../../src/train/parameters.ts";
import { preftune, shell, start } from "../support/command.ts";
import { makeTinyModel, writeRows } from "../support/tiny-model.ts";
import { temporaryDirectory, tinyAdapterConfig } from "../support/tiny-models.ts";

const dir = temporaryDirectory();
after(() => dir[Symbol.dispose]());
const at = (name: string) => `${dir.path}/${name}`;
const model = makeTinyModel(at("model"));
const prompts = writeRows(
  at("prompts.jsonl"),
  Array.from({ length: 7 }, (_, i) => ({ prompt: `${"so ".repeat(i)}say ${i}` })),
);

const options = (changes: Partial<GenerateFileOptions> = {}): GenerateFileOptions => ({
  model,
  adapters: [],
  prompts,
  limit: null,
  output: at("answers.jsonl"),
  device: "cpu",
  dtype: "float32",
  threads: 1,
  sampling: {
    n: 2,
    maxNewTokens: 6,
    temperature: 1,
    topK: null,
    topP: 0.95,
    minP: null,
    repetitionPenalty: null,
    stop: [],
    seed: 3,
    logprobs: null,
  },
  ...changes,
});

interface Line {
  index: number;
  adapter: string;
  answers: { text: string }[];
}
const linesOf = (path: string): Line[] =>
  readFileSync(path, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Line);

/** A patterned adapter of the tiny model; `factor` sets it apart from others. */
function makeAdapter(name: string, factor: number): string {
  using _ = scope();
  const adapted = loadModel(model, { copy: true });
  const adapter = addAdapter(adapted, tinyAdapterConfig());
  for (const { tensor } of adapterParameters(adapted)) {
    noGrad(() => ops.copy_(ops.detach(tensor), ops.full(tensor.shape, factor, { dtype: "float32" })));
  }
  rmSync(at(name), { recursive: true, force: true });
  mkdirSync(at(name));
  writeAdapter(at(name), adapter.config, adapterParameters(adapted).tensors);
  return at(name);
}

test("a file of prompts: lines in order that read as answers, the same however many run at once", async () => {
  const before = liveTensorCount();
  const seen: number[] = [];
  const reported = await generateFile(options({ onProgress: ({ done }) => seen.push(done) }));
  assert.deepEqual([reported.done, reported.total, seen.at(-1)], [7, 7, 7]);
  assert.ok(reported.tokens > 14 && reported.tokens <= 2 * 7 * 6 && reported.seconds > 0);
  const whole = readFileSync(at("answers.jsonl"), "utf8");
  const answers = await readCompletions(at("answers.jsonl"));
  assert.deepEqual(
    answers.map((one) => [one.prompt.at(-1), one.answers.length]),
    Array.from({ length: 7 }, (_, i) => [`${i}`, 2]),
  );
  assert.ok(answers.every((one) => one.answers.every(({ ended }) => ended !== null)));
  await generateFile(options({ output: at("few.jsonl"), limits: { maxRunning: 2 } }));
  assert.equal(readFileSync(at("few.jsonl"), "utf8"), whole);
  assert.equal(existsSync(at("answers.jsonl.partial")), false);
  assert.equal(liveTensorCount(), before);
});

test("an interrupted run continues where it was, and only as it was asked before", async () => {
  const whole = readFileSync(at("answers.jsonl"), "utf8");
  const output = at("broken.jsonl");
  const partial = `${output}.partial`;
  let passes = 0;
  const stopped = options({
    output,
    limits: { maxRunning: 2 },
    onProgress: ({ done }) => {
      if (done >= 3 && passes++ > 0) throw new Error("power cut");
    },
  });
  await assert.rejects(generateFile(stopped), /power cut/);
  assert.equal(existsSync(output), false);
  const kept = linesOf(partial).length;
  assert.ok(kept >= 3 && kept < 7);
  writeFileSync(partial, `${readFileSync(partial, "utf8")}{"index":6,"torn`);
  const other = options({ output, sampling: { ...stopped.sampling, seed: 4 } });
  await assert.rejects(generateFile(other), {
    name: "ConfigError",
    message:
      /broken\.jsonl\.partial has completions made with another model, other prompts or other settings/,
  });
  // the same path, other weights
  const adapter = makeAdapter("retrained", 0.1);
  const tuned = options({ adapters: [adapter], output: at("tuned.jsonl"), limits: { maxRunning: 2 } });
  const stop = ({ done }: { done: number }) => {
    if (done >= 3) throw new Error("power cut");
  };
  await assert.rejects(generateFile({ ...tuned, onProgress: stop }), /power cut/);
  makeAdapter("retrained", 0.3);
  await assert.rejects(generateFile(tuned), /tuned\.jsonl\.partial has completions made with another model/);
  const reported: number[] = [];
  await generateFile(options({ output, onProgress: ({ done }) => reported.push(done) }));
  assert.ok((reported[0] ?? 0) >= kept);
  assert.equal(readFileSync(output, "utf8"), whole);
});

test("a second one at the same output is refused while the first is at work, and takes nothing from it", async () => {
  const output = at("twice.jsonl");
  const second: unknown[] = [];
  const begun: Promise<unknown>[] = [];
  const onProgress = () => {
    if (begun.length === 0)
      begun.push(generateFile(options({ output })).catch((error) => second.push(error)));
  };
  await generateFile(options({ output, limits: { maxRunning: 2 }, onProgress }));
  await Promise.all(begun);
  assert.match(
    String(second[0]),
    /twice\.jsonl\.lock: the output is being written by process \d+, .* or choose another --output\./,
  );
  assert.equal(readFileSync(output, "utf8"), readFileSync(at("answers.jsonl"), "utf8"));
  assert.deepEqual(
    readdirSync(dir.path).filter((name) => name.startsWith("twice")),
    ["twice.jsonl"],
  );
});

test("several adapters and the base answer each prompt, each as it does alone", async () => {
  const [one, two] = [makeAdapter("one", 0.1), makeAdapter("two", -0.2)];
  const output = at("variants.jsonl");
  await generateFile(options({ adapters: [one, `second=${two}`, "base"], output, limit: 3 }));
  const lines = linesOf(output);
  assert.deepEqual(
    lines.map(({ index, adapter }) => `${index} ${adapter}`),
    [0, 1, 2].flatMap((i) => ["one", "second", "base"].map((name) => `${i} ${name}`)),
  );
  const texts = (name: string) =>
    lines.filter(({ adapter }) => adapter === name).map(({ answers }) => answers);
  await generateFile(options({ adapters: [two], output: at("alone.jsonl"), limit: 3 }));
  assert.deepEqual(
    texts("second"),
    linesOf(at("alone.jsonl")).map(({ answers }) => answers),
  );
  assert.deepEqual(
    texts("base"),
    linesOf(at("answers.jsonl"))
      .slice(0, 3)
      .map(({ answers }) => answers),
  );
  assert.notDeepEqual(texts("one"), texts("base"));
});

const settings = ["--model", model, "--dtype", "float32", "--threads", "1", "--max-new-tokens", "8"];

test("one prompt: its answer on stdout, several with numbers, a stop text left out", async () => {
  const [free, many] = await Promise.all([
    preftune("generate", ...settings, "--prompt", "hi", "--temperature", "0"),
    preftune("generate", ...settings, "--prompt", "hi", "--samples", "2", "--top-k", "20", "--min-p", "0.01"),
  ]);
  assert.equal(free.status, 0, free.stderr);
  const text = free.stdout.slice(0, -1);
  assert.match(many.stdout, /^\[1\]\n[\s\S]+\[2\]\n/);
  const stop = [...text].slice(2, 4).join("");
  const cut = await preftune("generate", ...settings, "--prompt", "hi", "--temperature", "0", "--stop", stop);
  assert.equal(cut.stdout, `${text.slice(0, text.indexOf(stop))}\n`);
  const draw = (...more: string[]) => preftune("generate", ...settings, "--prompt", "hi", ...more);
  const [all, same] = [await draw(), await draw("--top-k", "0")];
  assert.deepEqual([same.status, same.stdout], [0, all.stdout], "0: from all tokens");
});

test("--timings: where the time to the first token went, once, on standard error", async () => {
  const command = ["generate", "--model", model, "--max-new-tokens", "3", "--prompt", "hello"];
  const { stdout, stderr, status } = await preftune(...command, "--timings");
  assert.equal(status, 0, stderr);
  const stage =
    "(program|modules|libtorch|files|tokenizer and template|weights|encoding the prompt|first token)";
  assert.match(stderr, new RegExp(`^first token: (${stage} \\d+ ms(, |; )){8}\\d+ ms in all$`, "m"));
  assert.doesNotMatch(stdout, /ms in all/);
  const quiet = await preftune(...command);
  assert.doesNotMatch(quiet.stderr, /ms in all/);
  const refused = await preftune("generate", "--model", model, "--chat", "--timings");
  assert.match(refused.stderr, /--timings goes with --prompt/);
});

test("a chat: each line is answered with what came before in mind, until the input ends", async () => {
  const { child, ended } = start(["generate", ...settings, "--chat", "--temperature", "0"]);
  child.stdin?.end("hi\n/clear\nhi\nhi\n/what\n");
  const { status, stdout, stderr } = await ended;
  assert.equal(status, 0, stderr);
  const alone = await preftune("generate", ...settings, "--prompt", "hi", "--temperature", "0");
  const answer = alone.stdout;
  assert.equal(stdout.split(answer).length - 1, 2, `"${answer}" twice in ${stdout}`);
  assert.equal(stdout.match(/\/clear starts a new conversation/g)?.length, 2);
});

const refusals: [what: string, words: string[], message: RegExp][] = [
  ["nothing to answer", [], /expected --prompt TEXT, --prompts FILE or --chat, got none of them/],
  ["two ways", ["--prompt", "a", "--chat"], /got --prompt and --chat/],
  ["no output", ["--prompts", "p.jsonl"], /--prompts needs --output FILE\.jsonl/],
  ["an output of one prompt", ["--prompt", "a", "--output", "o.jsonl"], /go with --prompts FILE/],
  [
    "another kind of output",
    ["--prompts", "p", "--output", "o.txt"],
    /--output: expected .*\.jsonl, got "o\.txt"/,
  ],
  [
    "equal answers",
    ["--prompt", "a", "--temperature", "0", "-n", "2"],
    /2 completions at temperature 0 are all the same/,
  ],
  ...["--top-p", "--top-k", "--min-p"].map((name): [string, string[], RegExp] => [
    `${name} where nothing is drawn`,
    ["--prompt", "a", "--temperature", "0", name, "1"],
    new RegExp(`^${name} has no effect here: at temperature 0`),
  ]),
  ["no number", ["--prompt", "a", "--top-p", "x"], /Expected a number/],
  [
    "no share",
    ["--prompt", "a", "--top-p", "1.5"],
    /^--top-p: expected a number above 0 and at most 1, got 1\.5/,
  ],
  ["half a token", ["--prompt", "a", "--top-k", "0.5"], /^--top-k: expected a whole number of at least 1/],
  ["no tokens", ["--prompt", "a", "--max-new-tokens", "0"], /^--max-new-tokens: /],
  [
    "no penalty",
    ["--prompt", "a", "--repetition-penalty", "0"],
    /^--repetition-penalty: expected a number from 0\.01/,
  ],
  ["an empty stop", ["--prompt", "a", "--stop", ""], /^--stop: expected a text/],
  ["many in a chat", ["--chat", "-n", "2"], /--chat samples one completion at a time/],
  ["one name twice", ["--prompt", "a", "--adapter", "x/a", "--adapter", "y/a"], /"a" is taken/],
  ["no such model", ["--prompt", "a"], /nowhere/],
];
for (const [what, words, message] of refusals) {
  test(`refused: ${what}`, async () => {
    const program = new Command();
    addGenerateCommand(program);
    const command = program.commands[0] as Command;
    command.exitOverride().configureOutput({ writeErr: () => {} });
    const given = ["--model", "nowhere/at all", ...words];
    await assert.rejects(command.parseAsync(given, { from: "user" }), (error: unknown) => {
      assert.ok(error instanceof PreftuneError || (error as Error).name === "CommanderError", String(error));
      assert.match((error as Error).message, message);
      return true;
    });
  });
}

test("a prompt too long for the model is named by file and line", async () => {
  const long = writeRows(at("long.jsonl"), [{ prompt: "short" }, { prompt: "x".repeat(600) }]);
  await assert.rejects(generateFile(options({ prompts: long, output: at("long-answers.jsonl") })), {
    name: "DataError",
    message:
      /long\.jsonl:2: the prompt has \d+ tokens; the model was made for 512 in all\. Leave the row out\.$/,
  });
});

test("every turn of a row is asked, after the answers before it; each sample is a separate dialogue", async () => {
  const turns = ["say a", "say b", "say c"];
  const file = writeRows(at("turns.jsonl"), [{ question_id: 81, turns }, { prompt: "say d" }]);
  const output = at("turns-out.jsonl");
  const greedy = { ...options().sampling, n: 1, temperature: 0, topP: null };
  await generateFile(options({ prompts: file, output, sampling: greedy }));
  const [line, plain] = readFileSync(output, "utf8")
    .trim()
    .split("\n")
    .map((text) => JSON.parse(text));
  assert.deepEqual([line.prompt, line.follow_ups], ["say a", ["say b", "say c"]]);
  assert.ok(!("follow_ups" in plain) && !("turns" in plain.answers[0]));
  const [answer] = line.answers;
  const said: string[] = answer.turns.map(({ text }: { text: string }) => text);
  assert.equal(said.length, 3);
  assert.equal(answer.text, said[2]);
  // the last turn again, as a conversation that holds what was said
  const talk = turns.flatMap((content, i) => [
    { role: "user", content },
    ...(i < 2 ? [{ role: "assistant", content: said[i] }] : []),
  ]);
  const whole = writeRows(at("talk.jsonl"), [{ prompt: talk }]);
  await generateFile(options({ prompts: whole, output: at("talk-out.jsonl"), sampling: greedy }));
  assert.equal(linesOf(at("talk-out.jsonl"))[0]?.answers[0]?.text, said[2]);
  const { rows } = await readAnswerFile(output);
  assert.deepEqual(rows[0]?.turns, said, "judges read all turns");

  const drawn = { ...options().sampling, n: 3, temperature: 1.5 };
  await generateFile(options({ prompts: file, output: at("many.jsonl"), sampling: drawn }));
  const [many] = readFileSync(at("many.jsonl"), "utf8").trim().split("\n");
  const { answers } = JSON.parse(many ?? "");
  assert.equal(answers.length, 3);
  for (const { turns: each } of answers) assert.equal(each.length, 3);
});

test("a later turn takes what is left of the context, and is left empty where nothing is", async () => {
  const file = writeRows(at("full.jsonl"), [
    { turns: ["say a", "say b"] },
    { turns: ["say a", "x".repeat(600), "say c"] },
  ]);
  const output = at("full-out.jsonl");
  const greedy = { ...options().sampling, n: 1, temperature: 0, topP: null, maxNewTokens: 140 };
  await generateFile(options({ prompts: file, output, sampling: greedy }));
  const turnsOf = readFileSync(output, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line).answers[0].turns);
  // a model of random weights ends at no token of its own: 140 tokens, then the rest of 512 positions
  assert.equal(turnsOf[0][0].tokens, 140);
  assert.ok(turnsOf[0][1].tokens > 0 && turnsOf[0][1].tokens < 140);
  assert.equal(turnsOf[0][1].finish_reason, "length");
  const none = { text: "", ended: false, finish_reason: "length", tokens: 0 };
  assert.deepEqual(turnsOf[1].slice(1), [none, none]);
});

test("a run resumed on another day has the date of its first one in all prompts", async () => {
  const dated = "{{ strftime_now('%d %b %Y') }}{% for m in messages %}{{ m.content }}{% endfor %}";
  const output = at("days.jsonl");
  const settings = (changes: Partial<GenerateFileOptions>) =>
    options({ output, chatTemplate: dated, limits: { maxRunning: 2 }, ...changes });
  const one = at("one-day.jsonl");
  mock.timers.enable({ apis: ["Date"], now: Date.UTC(2026, 2, 4, 23, 59) });
  try {
    await generateFile(settings({ output: one }));
    const stop = ({ done }: { done: number }) => {
      if (done >= 3) throw new Error("power cut");
    };
    await assert.rejects(generateFile(settings({ onProgress: stop })), /power cut/);
    mock.timers.setTime(Date.UTC(2026, 2, 5, 0, 1));
    await generateFile(settings({}));
    assert.equal(readFileSync(output, "utf8"), readFileSync(one, "utf8"));
    const next = at("next-day.jsonl");
    await generateFile(settings({ output: next }));
    assert.notEqual(readFileSync(next, "utf8"), readFileSync(one, "utf8"), "the date is in the prompts");
  } finally {
    mock.timers.reset();
  }
});

test("turns that are no texts, or that no template can hold, are refused with the row", async () => {
  const wrong = writeRows(at("wrong-turns.jsonl"), [{ turns: ["a", 2] }]);
  const output = at("none.jsonl");
  await assert.rejects(
    generateFile(options({ prompts: wrong, output })),
    /:1: turns\[1\]: expected a text, got 2/,
  );
  const two = writeRows(at("two-turns.jsonl"), [{ turns: ["a", "b"] }]);
  await assert.rejects(
    generateFile(options({ prompts: two, output, isPlain: true })),
    /:1: 2 turns are a conversation, which needs a chat template/,
  );
});

test("prompts are the lines of a text file, or come on standard input", async () => {
  writeFileSync(at("lines.txt"), "say one\n\n  \r\nsay two\n");
  const rows = writeRows(at("lines.jsonl"), [{ prompt: "say one" }, { prompt: "say two" }]);
  const output = (name: string) => at(`${name}-out.jsonl`);
  await generateFile(options({ prompts: rows, output: output("rows") }));
  await generateFile(options({ prompts: at("lines.txt"), output: output("lines") }));
  assert.equal(readFileSync(output("lines"), "utf8"), readFileSync(output("rows"), "utf8"));
  const sampling = ["-n", "2", "--max-new-tokens", "6", "--top-p", "0.95", "--seed", "3"];
  const machine = ["--device", "cpu", "--dtype", "float32", "--threads", "1"];
  for (const [name, input] of [
    ["typed", at("lines.txt")],
    ["piped", rows],
  ] as const) {
    const words = ["--prompts", "-", "--output", output(name), ...sampling, ...machine];
    const { status, stderr } = await shell(
      `node bin/preftune.mjs generate --model '${model}' ${words.map((word) => `'${word}'`).join(" ")} < '${input}'`,
    );
    assert.equal(status, 0, stderr);
    assert.equal(readFileSync(output(name), "utf8"), readFileSync(output("rows"), "utf8"), name);
  }
});
