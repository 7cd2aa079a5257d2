/** `preftune evaluate arena-hard` and `pairwise` as a user meets them, with judges of the tests whose verdicts are known. */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { loadModel } from "../../src/models/load.ts";
import { writeAdapter } from "../../src/models/save.ts";
import { scope } from "../../src/torch/index.ts";
import { adapterParameters } from "../../src/train/parameters.ts";
import { preftune, start, startProcess } from "../support/command.ts";
import { startJudge } from "../support/judge-server.ts";
import { ruleAnswer, verdictByLength } from "../support/rule-judge.ts";
import { runFixture } from "../support/runs.ts";
import { requireShared, skipWithoutShared } from "../support/shared.ts";
import { rowOf } from "../support/table.ts";
import { writeRows } from "../support/tiny-model.ts";
import { adaptPatterned, tinyAdapterConfig } from "../support/tiny-models.ts";

const fixture = runFixture({ held: 0 });
after(() => fixture[Symbol.dispose]());
const evaluate = (...words: string[]) => preftune("evaluate", ...words);
const results = (dir: string) => JSON.parse(readFileSync(join(dir, "results.json"), "utf8"));

test("Arena-Hard on the published answers, judged by a rule: the statistics are those of the rule", {
  skip: skipWithoutShared("data", "arena_hard"),
}, async () => {
  const bench = requireShared("data", "arena_hard");
  const limit = 60;
  await using judge = await startJudge(ruleAnswer);
  const dir = fixture.path("arena-run");
  const own = join(bench, "answers_v0.1_gpt-3.5-turbo-0125.jsonl");
  const words = [
    "arena-hard",
    own,
    "--bench",
    bench,
    "--limit",
    String(limit),
    "--output",
    dir,
    "--bootstrap",
    "200",
  ];
  const said = await evaluate(...words, "--judge", `${judge.baseUrl}#rule`);
  assert.equal(said.status, 0, said.stderr);
  assert.equal(judge.calls.length, 2 * limit);

  const lengths = (name: string): Map<string, number> =>
    new Map(
      readFileSync(join(bench, `answers_v0.1_${name}.jsonl`), "utf8")
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line))
        .map(({ uid, messages }) => [uid, messages[1].content.answer.trim().length]),
    );
  const [ours, theirs] = [lengths("gpt-3.5-turbo-0125"), lengths("gpt-4-0314")];
  const ids = readFileSync(join(bench, "question_v0.1.jsonl"), "utf8")
    .split("\n")
    .slice(0, limit)
    .map((line) => JSON.parse(line).uid);
  const verdicts = ids.map((id) => verdictByLength(ours.get(id) ?? 0, theirs.get(id) ?? 0));
  const count = (verdict: string): number => verdicts.filter((one) => one === verdict).length;
  const [much, more, same, less, far] = ["A>>B", "A>B", "A=B", "B>A", "B>>A"].map(count) as [
    number,
    number,
    number,
    number,
    number,
  ];
  const { statistics, models } = results(dir);
  assert.deepEqual(models, ["gpt-3.5-turbo-0125", "gpt-4-0314"]);
  const { wins, ties, losses } = statistics.outcomes;
  assert.deepEqual([wins, ties, losses], [much + more, same, less + far]);
  const expected = (3 * much + more + same / 2) / (3 * (much + far) + more + same + less);
  assert.ok(Math.abs(statistics.bradleyTerry.winRate.value - expected) < 1e-12);
  assert.equal(statistics.positionBias.changed.value, 0);
  assert.ok(statistics.lengthBias.longerShare.value > 0.9, "a judge by length is found out");
  const { lengthControlled, winRate } = statistics.bradleyTerry;
  assert.ok(lengthControlled.winRate.value > winRate.value + 0.1, "the shorter model gains at equal length");
});

test("pairwise: a local model against a file; interrupted answers come out the same", async () => {
  const prompts = writeRows(
    fixture.path("prompts.jsonl"),
    Array.from({ length: 20 }, (_, i) => ({ prompt: `say ${i}` })),
  );
  const file = writeRows(
    fixture.path("file.jsonl"),
    Array.from({ length: 20 }, (_, i) => ({ prompt: `say ${i}`, response: "FILE" })),
  );
  await using judge = await startJudge(({ text }) =>
    /<answer_A>\nFILE\n/.test(text) ? "[[B>A]]" : "[[A>>B]]",
  );
  const dir = fixture.path("pairs");
  const model = String(fixture.values["model_name_or_path"]);
  const words = [
    "pairwise",
    model,
    file,
    "--prompts",
    prompts,
    "--judge",
    `${judge.baseUrl}#j`,
    "--output",
    dir,
  ];
  const machine = ["--max-new-tokens", "6", "--temperature", "1", "--dtype", "float32", "--threads", "1"];
  const first = await evaluate(...words, ...machine);
  assert.equal(first.status, 0, first.stderr);
  assert.deepEqual(rowOf(first.stdout, "all")?.slice(0, 5), ["20", "20", "0", "0", "100.0 %"]);
  const calls = judge.calls.length;
  assert.ok(calls <= 40 && calls > 2);

  const [name = ""] = readdirSync(join(dir, "answers"));
  assert.match(name, /^base-[0-9a-f]{8}\.jsonl$/);
  const log = join(dir, "answers", name);
  const answersIn = (text: string): Map<number, string> =>
    new Map(
      text
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line))
        .map(({ question_id, choices }) => [question_id, choices[0].turns[0]]),
    );
  const whole = readFileSync(log, "utf8");
  const kept = whole.split("\n").filter((_, i) => i % 7 !== 3);
  writeFileSync(log, kept.join("\n"));
  const again = await evaluate(...words, ...machine);
  assert.equal(again.status, 0, again.stderr);
  assert.deepEqual(
    new Map([...answersIn(readFileSync(log, "utf8"))].sort(([a], [b]) => a - b)),
    answersIn(whole),
  );
  assert.equal(judge.calls.length, calls, "the same answers need no new judgment");

  const other = await evaluate(...words, ...machine, "--seed", "7");
  assert.equal(other.status, 0, other.stderr);
  assert.equal(readdirSync(join(dir, "answers")).length, 2, "other settings, another file");
});

test("pairwise: parts of an adapter against its base; at 0 it answers as the base does", async () => {
  const model = String(fixture.values["model_name_or_path"]);
  const adapter = fixture.path("run", "adapter");
  mkdirSync(adapter, { recursive: true });
  {
    using _ = scope();
    const adapted = loadModel(model);
    const { config } = adaptPatterned(adapted, tinyAdapterConfig());
    writeAdapter(adapter, config, adapterParameters(adapted).tensors);
  }
  const prompts = writeRows(fixture.path("parts.jsonl"), [
    { prompt: "who is there?" },
    { prompt: "and now?" },
  ]);
  await using judge = await startJudge(() => "[[A=B]]");
  const dir = fixture.path("parts");
  const answersAt = async (scale: number): Promise<string[]> => {
    const parts = `${model}+${adapter}@scale=${scale}`;
    const words = ["pairwise", model, parts, "--prompts", prompts, "--judge", `${judge.baseUrl}#j`];
    const machine = ["--max-new-tokens", "6", "--dtype", "float32", "--threads", "1", "--output", dir];
    const said = await evaluate(...words, ...machine);
    assert.equal(said.status, 0, said.stderr);
    const name = scale === 0 ? "base+run_adapter_scale_0-" : "base+run_adapter_scale_0.4-";
    const file = readdirSync(join(dir, "answers")).find((one) => one.startsWith(name));
    return answersOf(join(dir, "answers", file ?? assert.fail(name)));
  };
  const answersOf = (path: string): string[] =>
    readFileSync(path, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line).choices[0].turns[0]);
  const atZero = await answersAt(0);
  const own = readdirSync(join(dir, "answers")).find((one) => /^base-/.test(one)) ?? assert.fail();
  assert.deepEqual(answersOf(join(dir, "answers", own)), atZero);
  assert.notDeepEqual(await answersAt(0.4), atZero);
});

test("a judge that breaks down: status 7, nothing lost, and the rest is asked later", async () => {
  const turns = Array.from({ length: 30 }, (_, i) => ({ id: `q${i}`, prompt: `p ${i}`, answer: `x ${i}` }));
  const a = writeRows(fixture.path("one.jsonl"), turns);
  const b = writeRows(
    fixture.path("two.jsonl"),
    turns.map((row) => ({ ...row, answer: "y" })),
  );
  let isBroken = true;
  await using judge = await startJudge((_, before) =>
    isBroken && before >= 25 ? { status: 403, body: `{"error":{"message":"no more"}}` } : "[[A=B]]",
  );
  const dir = fixture.path("broken");
  const words = ["pairwise", a, b, "--prompts", a, "--judge", `${judge.baseUrl}#j`, "--output", dir];
  const broken = await evaluate(...words);
  assert.equal(broken.status, 7);
  assert.match(broken.stderr, /model j: expected an answer, got status 403: no more\. Check the key/);
  assert.equal(broken.stdout, "");
  isBroken = false;
  const before = judge.calls.length;
  const fixed = await evaluate(...words);
  assert.equal(fixed.status, 0, fixed.stderr);
  assert.equal(judge.calls.length - before, 60 - 25);
  assert.match(fixed.stdout, /60 judgments \(25 answers kept from before\)/);
});

test("killed in the middle: what was judged is there", async () => {
  const turns = Array.from({ length: 40 }, (_, i) => ({ id: `q${i}`, prompt: `p ${i}`, answer: `x ${i}` }));
  const a = writeRows(fixture.path("killed-a.jsonl"), turns);
  const b = writeRows(
    fixture.path("killed-b.jsonl"),
    turns.map((row) => ({ ...row, answer: "y" })),
  );
  let answered = 0;
  let reached: () => void = () => {};
  const middle = new Promise<void>((resolve) => {
    reached = resolve;
  });
  await using judge = await startJudge(() => {
    if (++answered === 30) reached();
    return "[[B>A]]";
  });
  const dir = fixture.path("killed");
  const words = ["pairwise", a, b, "--prompts", a, "--judge", `${judge.baseUrl}#j`, "--output", dir];
  const running = start(["evaluate", ...words, "--concurrency", "2", "--requests-per-minute", "6000"]);
  await middle;
  running.child.kill("SIGKILL");
  await running.ended;
  const before = judge.calls.length;
  const fixed = await evaluate(...words);
  assert.equal(fixed.status, 0, fixed.stderr);
  const all = judge.calls.length;
  // At most the two that were under way, and the one before each, are asked a second time.
  assert.ok(all - before >= 80 - before && all <= 80 + 4, `${all} calls, ${before} before the kill`);
});

test("pairwise with MT-Bench's prompts: categories are told apart, and none asks for a reference", async () => {
  const rows = ["math", "math", "writing"].map((category, i) => ({ id: `${i}`, category, prompt: `q ${i}` }));
  const prompts = writeRows(fixture.path("categories.jsonl"), rows);
  const answers = (answer: string) =>
    writeRows(
      fixture.path(`categories-${answer}.jsonl`),
      rows.map((row) => ({ ...row, answer })),
    );
  const judgePrompts = writeRows(fixture.path("judge_prompts.jsonl"), [
    {
      ...{ name: "pair-v2", type: "pairwise", system_prompt: "S" },
      prompt_template: "<{question}> A<{answer_a}> B<{answer_b}>",
    },
  ]);
  await using judge = await startJudge(({ text }) => {
    if (text.includes("q 2")) return "[[C]]";
    return text.includes("A<good>") ? "[[A]]" : "[[B]]";
  });
  const said = await evaluate(
    ...["pairwise", answers("good"), answers("bad"), "--prompts", prompts, "--judge-prompts", judgePrompts],
    ...["--judge", `${judge.baseUrl}#j`, "--output", fixture.path("categories")],
  );
  assert.equal(said.status, 0, said.stderr);
  assert.deepEqual(rowOf(said.stdout, "math")?.slice(0, 5), ["2", "2", "0", "0", "100.0 %"]);
  assert.deepEqual(rowOf(said.stdout, "writing")?.slice(0, 5), ["1", "0", "1", "0", "50.0 %"]);
  assert.deepEqual(Object.keys(results(fixture.path("categories")).statistics.perCategory), [
    "math",
    "writing",
  ]);
});

test("a question that an endpoint under test refuses is left out for both models, and counted", async () => {
  const rows = [0, 1, 2].map((i) => ({ id: `${i}`, prompt: `q ${i}`, answer: "FILE" }));
  const file = writeRows(fixture.path("refused.jsonl"), rows);
  await using answers = await startJudge(({ text }) => (text === "q 1" ? { status: 400 } : "own"));
  await using judge = await startJudge(() => "[[A=B]]");
  const dir = fixture.path("refused");
  const said = await evaluate(
    ...["pairwise", `${answers.baseUrl}#m`, file, "--prompts", file, "--judge", `${judge.baseUrl}#j`],
    ...["--output", dir],
  );
  assert.equal(said.status, 0, said.stderr);
  assert.match(said.stdout, /^m against refused, 2 questions \(1 more refused\) /);
  assert.match(
    said.stderr,
    /m: 1 question was refused and is left out; the first: \S+refused\.jsonl:2: http/,
  );
  assert.equal(judge.calls.length, 4);
  const { questions, unanswered } = results(dir);
  assert.deepEqual([questions, unanswered], [2, 1]);
});

test("verdicts that nobody can read are no result", async () => {
  const rows = [{ id: "1", prompt: "p", answer: "x" }];
  const a = writeRows(fixture.path("mute-a.jsonl"), rows);
  await using judge = await startJudge(() => "both are fine");
  const dir = fixture.path("mute");
  const said = await evaluate(
    "pairwise",
    a,
    a,
    "--prompts",
    a,
    "--judge",
    `${judge.baseUrl}#j`,
    "--output",
    dir,
  );
  assert.equal(said.status, 7);
  assert.match(said.stderr, /expected verdicts, got none in 2 judgments: 2 answers could not be read as one/);
});

test("a default directory with the results of files of the same names elsewhere is refused before anything is asked", async () => {
  for (const folder of ["one", "two"]) mkdirSync(fixture.path("named", folder), { recursive: true });
  const rows = [{ id: "1", prompt: "p", answer: "x" }];
  for (const file of ["one/a.jsonl", "one/b.jsonl", "two/a.jsonl"])
    writeRows(fixture.path("named", file), rows);
  await using judge = await startJudge(() => "[[A=B]]");
  const program = join(import.meta.dirname, "../../src/cli/main.ts");
  const compare = (a: string, b: string, ...more: string[]) =>
    startProcess(
      process.execPath,
      [
        ...["--conditions=preftune-source", program, "evaluate", "pairwise", a, b],
        ...["--prompts", "one/a.jsonl", "--judge", `${judge.baseUrl}#j`, ...more],
      ],
      { cwd: fixture.path("named") },
    ).ended;
  assert.equal((await compare("one/a.jsonl", "one/b.jsonl")).status, 0);
  assert.equal((await compare("./one/a.jsonl", "one/b.jsonl")).status, 0, "the same models once more");
  const before = judge.calls.length;
  const said = await compare("two/a.jsonl", "one/b.jsonl");
  assert.equal(said.status, 2);
  const [first, second] = ["one/a.jsonl", "one/b.jsonl"].map((file) => fixture.path("named", file));
  assert.ok(
    said.stderr.includes(`has the results of ${first} and ${second}, not of two/a.jsonl`),
    said.stderr,
  );
  assert.equal(judge.calls.length, before);
  assert.equal((await compare("two/a.jsonl", "one/b.jsonl", "--output", "other")).status, 0);
});
