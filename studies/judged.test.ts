/** `preftune study --judge`: win rates of sampled answers, by a judge whose verdicts are known. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { readEvaluations } from "../src/runs/evaluation-records.ts";
import { readJsonLines } from "../src/runs/json-lines.ts";
import { type RunTask, runTrial } from "../src/sweep/run-trial.ts";
import { startJudge } from "../test/support/judge-server.ts";
import { ruleAnswer, verdictByLength } from "../test/support/rule-judge.ts";
import { runFixture } from "../test/support/runs.ts";
import { tinyStudy } from "../test/support/study.ts";
import { type StudyOptions, study } from "./study.ts";

const place = runFixture({ rows: 6, held: 4 });
after(() => place[Symbol.dispose]());

const runs: string[] = [];

function options(baseUrl: string): StudyOptions {
  const changes = { learning_rate: 3e-2, watch_rows: 3, watch_samples: 2, watch_max_new_tokens: 6 };
  const asked = {
    apiKey: null,
    temperature: null,
    maxTokens: null,
    retriesWithoutVerdict: 0,
    extra: {},
    price: null,
  };
  return {
    ...tinyStudy(place, "ablation", changes),
    judge: {
      judge: { baseUrl, model: "rule", ...asked },
      limits: { timeoutMs: 5000, maxRetries: 0, requestsPerMinute: null, tokensPerMinute: null },
      concurrency: 4,
    },
    runTask: async (task: RunTask) => {
      runs.push(task.dir);
      await runTrial(task);
    },
  };
}

/** The first answers of a run, in the prompts' order. */
function answersOf(run: string): string[] {
  const records = readEvaluations(join(place.path("ablation"), "runs", run, "evaluations.jsonl"));
  return (records.at(-1)?.samples ?? []).map(({ answers: [first] }) => first?.text ?? "");
}

test("a judge's win rates are those of its rule; judgments are kept; a judge that is gone costs only its section", async () => {
  await using judge = await startJudge(ruleAnswer);
  const { baseUrl, calls } = judge;
  const { results, summary } = await study(options(baseUrl));
  const rows = readJsonLines(results)
    .map(({ value }) => value as { condition: string; minus: string; metric: string; value: number })
    .filter(({ metric }) => metric === "win_rate");
  assert.equal(rows.length, 8, "each part of two presets against the full objective");
  const wins = { "A>>B": 1, "A>B": 1, "A=B": 0.5, "B>A": 0, "B>>A": 0 };
  const full = answersOf("script-full-s1");
  const own = answersOf("script-without-anchoring-s1");
  assert.equal(full.length, 3);
  const lengths = (texts: string[]): number[] => texts.map((text) => text.trim().length);
  const [mine, theirs] = [lengths(own), lengths(full)];
  const expected = mine.map((length, i) => wins[verdictByLength(length, theirs[i] as number)]);
  const row = rows.find(({ condition }) => condition === "script, without anchoring");
  assert.equal(row?.minus, "script, full");
  assert.equal(row?.value, expected.reduce((a, b) => a + b, 0) / 3);
  assert.match(summary, /script, without anchoring against script, full: win rate/);

  const readable = readJsonLines(join(place.path("ablation"), "judgments.jsonl")).map(
    ({ value }) => value as { id: string; answers: string[]; judgments: { text: string }[] },
  );
  const name = "script-without-anchoring-s1 against script-full-s1, prompt ";
  const between = readable.filter(({ id }) => id.startsWith(name));
  const different = own.flatMap((answer, i) => (answer === full[i] ? [] : [[answer, full[i]]]));
  assert.deepEqual(
    between.map(({ answers }) => answers),
    different,
  );
  assert.ok(between.every(({ judgments }) => judgments.length === 2 && judgments[0]?.text.includes("[[")));

  const asked = calls.length;
  assert.ok(asked > 0);
  const first = readFileSync(results, "utf8");
  await study(options(baseUrl));
  assert.equal(calls.length, asked, "nothing is asked twice");
  assert.equal(runs.length, 10, "and nothing is trained twice");
  assert.equal(readFileSync(results, "utf8"), first);

  await judge[Symbol.asyncDispose]();
  const other = options(baseUrl);
  const gone = await study({
    ...other,
    judge: other.judge && { ...other.judge, judge: { ...other.judge.judge, model: "gone" } },
  });
  assert.match(gone.summary, /No win rates: .*asks for the others again/);
  assert.match(readFileSync(gone.report, "utf8"), /change of chosen/);
});

test("a study without sampled answers refuses a judge and says which have some", async () => {
  await assert.rejects(
    study({ ...options("http://127.0.0.1:9/v1"), name: "anchoring", output: place.path("anchoring") }),
    /anchoring samples no answers that --judge could read.*ablation/,
  );
});
