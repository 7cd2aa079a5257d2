/**
 * Bad input of on-policy runs: a configuration, rows or reward functions that cannot work end in a clear error before anything
 * is sampled; what goes wrong later is counted, reported, or ends the run so that it can be resumed.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { ConfigError, DataError, FileError, type PreftuneError } from "../../src/base/errors.ts";
import { loadConfig } from "../../src/config/load-config.ts";
import { RewardError } from "../../src/rewards/reward-error.ts";
import { readMetrics } from "../../src/runs/metrics.ts";
import { readRollouts } from "../../src/runs/rollouts.ts";
import { armFault } from "../support/faults.ts";
import { onlineFixture } from "../support/online-run.ts";
import {
  assertSameRun,
  cutBack,
  notesOf,
  type RunRecord,
  runTraining,
  type Values,
} from "../support/runs.ts";
import { writeRows } from "../support/tiny-model.ts";

const fixture = onlineFixture();
after(() => fixture[Symbol.dispose]());
const { online, rewards } = fixture;

/** Values that are refused without looking at any file. */
const configurations: [string, Values, RegExp[]][] = [
  ["one completion a prompt", { num_generations: 1 }, [/num_generations/, /at least 2/]],
  ["temperature 0", { temperature: 0 }, [/temperature/, /above 0|greater than 0/, /got 0|0/]],
  ["a temperature that is as good as 0", { temperature: 1e-7 }, [/temperature/, /the same/, /Set it to 1/]],
  ["one token to choose from", { top_k: 1 }, [/top_k/, /the same/, /Take it out/]],
  ["only the most probable token", { min_p: 1 }, [/min_p/, /the same/, /Take it out/]],
  [
    "cispo bounded below 1",
    { loss_type: "cispo", epsilon_high: 0.2 },
    [/epsilon_high/, /cispo/, /Set epsilon_high: 5/],
  ],
  [
    "a repetition penalty under a ratio",
    { repetition_penalty: 1.2 },
    [/repetition_penalty/, /another distribution/, /Set it to 1/],
  ],
  [
    "a repetition penalty under a KL",
    { objective: "slime", kl_coef: 0.1, repetition_penalty: 1.2 },
    [/repetition_penalty/, /whose KL kl_coef weighs/, /Set it to 1, or the weight to 0/],
  ],
  [
    "the best model by a judge's comparisons within groups",
    {
      ...{
        reward_funcs: null,
        reward_workers: undefined,
        judge: "http://127.0.0.1:1/v1#m",
        judge_mode: "pairs",
      },
      ...{ eval_fraction: 0.5, load_best_model_at_end: true },
    },
    [/metric_for_best_model/, /eval_reward is 0\.5 at every evaluation/, /metric_for_best_model: eval_gold/],
  ],
  [
    "comparisons of one completion",
    { judge: "http://127.0.0.1:1/v1#m", judge_mode: "pairs", eval_fraction: 0.5, num_generations_eval: 1 },
    [/num_generations_eval/, /at least 2/],
  ],
  [
    "a key among the fields of requests to the judge",
    {
      reward_funcs: null,
      reward_workers: undefined,
      judge: "http://127.0.0.1:1/v1#m",
      judge_extra: { api_key: "s" },
    },
    [/judge_extra/, /"api_key" would stand in the run's records/, /PREFTUNE_JUDGE_KEY/],
  ],
  [
    "weights by token for an objective with a ratio by completion",
    { objective: "rloo", max_staleness: 1, importance_sampling_mode: "token_mask" },
    [/importance_sampling_mode/, /one ratio for a completion/, /Set sequence_mask/],
  ],
  [
    "weights without a bound",
    { max_staleness: 1, importance_sampling_clip_max: null },
    [/importance_sampling_mode/, /needs a bound/, /importance_sampling_clip_max/],
  ],
  [
    "bounds of the weights the wrong way round",
    { max_staleness: 1, importance_sampling_clip_max: 2, importance_sampling_clip_min: 3 },
    [/importance_sampling_clip_min/, /not below/],
  ],
  [
    "weights without rollouts ahead",
    { importance_sampling_mode: "token_mask" },
    [/importance_sampling_mode/, /max_staleness is 0/],
  ],
  [
    "weights for an objective without a ratio",
    { objective: "raft", max_staleness: 1, importance_sampling_clip_max: 2 },
    [/importance_sampling_clip_max/, /raft, whose loss has no ratio/],
  ],
  [
    "TRL's name of the weights' mode",
    { vllm_importance_sampling_mode: "token_mask" },
    [/vllm_importance_sampling_mode/, /write `importance_sampling_mode`/],
  ],
  [
    "no rewards",
    { reward_funcs: null },
    [/grpo trains on completions that the model samples/, /reward_funcs/],
  ],
  [
    "a reward model for an objective that cannot",
    { objective: "sft", reward_funcs: null, reward_model: "rm" },
    [/reward_model: sft trains on rows as they are/],
  ],
  ["an objective that cannot", { objective: "sft" }, [/reward_funcs: sft trains on rows as they are/]],
  [
    "completions that are no whole groups",
    { per_device_train_batch_size: 3, gradient_accumulation_steps: 1 },
    [/3 completions/, /no multiple of num_generations 4/],
  ],
  [
    "weights for other functions",
    { reward_weights: [1, 2] },
    [/reward_weights: expected 1 numbers/, /got 2/],
  ],
  [
    "a bound on what is not measured",
    { watch_thresholds: { gold_fall: 0.1 }, eval_fraction: 0.34 },
    [/gold_fall/, /eval_reward_funcs/],
  ],
  [
    "bounds without evaluations",
    { watch_action: "stop" },
    [/watch_action has no effect/, /eval_strategy is no/],
  ],
];

for (const [kind, values, says] of configurations) {
  test(`refused at once: ${kind}`, () => {
    assert.throws(
      () => loadConfig({ values: { ...without(online, values), output_dir: fixture.path("never") } }),
      (error) => {
        assert.ok(error instanceof ConfigError, `${error}`);
        for (const pattern of says) assert.match(error.message, pattern);
        return true;
      },
    );
  });
}

/** The good values with others; keys that only an on-policy run has are left out of one that is none. */
function without(good: Values, values: Values): Values {
  const all = { ...good, ...values };
  if (values["reward_funcs"] !== null) return all;
  const { num_generations: _, reward_workers: __, max_completion_length: ___, ...rest } = all;
  return rest;
}

let runs = 0;

/** Runs to an error, and asserts that nothing was sampled before it. */
async function assertRefused(
  values: Values,
  error: new (message: string) => PreftuneError,
  says: readonly RegExp[],
): Promise<void> {
  let sampled = false;
  const run = runTraining(
    { ...online, ...values, output_dir: fixture.path(`refused-${++runs}`) },
    { onWork: ({ at }) => (sampled ||= at === "sampling") },
  );
  await assert.rejects(run, (got: unknown) => {
    assert.ok(got instanceof error, `expected ${error.name}, got ${got}`);
    for (const pattern of says) assert.match(got.message, pattern);
    return true;
  });
  assert.equal(sampled, false, "nothing was sampled");
}

/** A module of reward functions. */
function moduleOf(name: string, text: string): string {
  const path = fixture.path(name);
  writeFileSync(path, text);
  return path;
}

const constant = "export const one = ({ completions }) => completions.map(() => 1);\n";

test("refused before sampling: a reward file that is missing", () =>
  assertRefused({ reward_funcs: [`${fixture.path("none.mjs")}#one`] }, RewardError, [
    /none\.mjs: there is no such file/,
  ]));

test("refused before sampling: a reward file without the export", () =>
  assertRefused({ reward_funcs: [`${moduleOf("a.mjs", constant)}#two`] }, RewardError, [
    /a\.mjs: expected an export "two", found one/,
  ]));

test("refused before sampling: a reward file that throws when it is loaded", () =>
  assertRefused({ reward_funcs: [`${moduleOf("b.mjs", 'throw new Error("no key");')}#one`] }, RewardError, [
    /b\.mjs cannot be loaded: no key \(line 1\)/,
  ]));

test("refused before sampling: rows without prompts", () =>
  assertRefused(
    { train_data: writeRows(fixture.path("no.jsonl"), [{ text: "a" }, { text: "b" }]) },
    DataError,
    [/prompt/, /no\.jsonl:1/],
  ));

test("refused before sampling: a prompt that leaves no room for a completion", () =>
  assertRefused({ max_completion_length: 100_000 }, ConfigError, [
    /prompts\.jsonl:\d+: the prompt has \d+ tokens/,
    /Set max_completion_length to at most \d+/,
  ]));

test("refused before sampling: a held-out prompt that leaves no room", () => {
  const prompt = "who is at the river? ".repeat(15);
  const evalData = writeRows(fixture.path("long-held.jsonl"), [{ prompt }]);
  return assertRefused({ eval_data: evalData, max_completion_length: 300 }, ConfigError, [
    /long-held\.jsonl:1: the prompt has \d+ tokens.*the model was made for 512 in all/,
  ]);
});

async function run(values: Values, name = `run-${++runs}`): Promise<{ dir: string; record: RunRecord }> {
  const dir = fixture.path(name);
  return { dir, record: await runTraining({ ...online, ...values, output_dir: dir }) };
}

test("a repetition penalty without a ratio is trained with, and the sampler's other law is not taken for noise", async () => {
  const { dir } = await run({ objective: "raft", repetition_penalty: 1.3, max_steps: 1 });
  const [row] = readMetrics(join(dir, "metrics.jsonl"));
  assert.ok((row?.["sampling/sampling_logp_difference/max"] as number) > 1e-3);
});

test("NaN, null and infinite rewards are counted, and the rest is learned", async () => {
  const odd = moduleOf(
    "odd.mjs",
    "export const odd = ({ completion_ids }) => completion_ids.map((ids, i) => [NaN, null, Infinity, ids[0]][i % 4]);",
  );
  const { dir } = await run({ reward_funcs: [`${odd}#odd`], num_generations: 8, max_steps: 1 });
  const [row] = readMetrics(join(dir, "metrics.jsonl"));
  const counts = ["unscored", "failures", "not_finite"].map((count) => row?.[`rewards/odd/${count}`]);
  assert.deepEqual(counts, [2, 4, 4]);
  assert.ok(Number.isFinite(row?.["reward"]) && Number.isFinite(row?.["loss"]));
  const unscored = readRollouts(join(dir, "rollouts.jsonl.gz")).filter(({ reward }) => reward === null);
  assert.equal(unscored.length, 6);
});

test("rewards that stay equal and completions that are all cut are reported once, with what to do", async () => {
  const { record } = await run({
    reward_funcs: [`${rewards}#alike`],
    max_steps: 7,
    max_completion_length: 1,
  });
  const notes = notesOf(record);
  assert.equal(
    notes.filter((text) => /rewards of every group were all equal.*dynamic_sampling/.test(text)).length,
    1,
  );
  assert.equal(
    notes.filter((text) => /every completion was cut at max_completion_length 1\b/.test(text)).length,
    1,
  );
});

test("a reward file that changed since the run began is reported when the run is resumed", async () => {
  const path = moduleOf(
    "changing.mjs",
    "export const first = ({ completion_ids }) => completion_ids.map((i) => i[0]);\n",
  );
  const values = { reward_funcs: [`${path}#first`], max_steps: 2 };
  const { dir } = await run(values);
  const again = cutBack(dir, fixture.path("changed"), 1);
  writeFileSync(path, `// another\n${readFileSync(path, "utf8")}`);
  const record = await runTraining({
    ...{ ...online, ...values, output_dir: again, resume_from_checkpoint: "latest" },
  });
  const reported = notesOf(record).filter((text) =>
    /changed since the run began: reward_funcs .*changing\.mjs/.test(text),
  );
  assert.equal(reported.length, 1);
});

const losses: [name: string, lose: (path: string, bytes: Buffer) => void, note: RegExp][] = [
  [
    "truncated",
    (path) => truncateSync(path, 60),
    /^rollouts\.jsonl\.gz has 60 bytes, not \d+: \d+ completions until step 2 /,
  ],
  [
    "missing",
    (path) => rmSync(path),
    /^rollouts\.jsonl\.gz is missing: the completions until step 2 are lost/,
  ],
  [
    "damaged",
    (path, bytes) =>
      writeFileSync(
        path,
        bytes.map((byte, i) => (i === 40 ? byte ^ 4 : byte)),
      ),
    /^rollouts\.jsonl\.gz has changed since it was written: 0 completions until step 2 can be read and are kept/,
  ],
];
for (const [what, lose, note] of losses) {
  test(`a rollouts file that is ${what} when a run is resumed is noted, and changes nothing else`, async () => {
    const { dir } = await run({});
    const again = cutBack(dir, fixture.path(`rollouts-${what}`), 2);
    const path = join(again, "rollouts.jsonl.gz");
    lose(path, readFileSync(path));
    const record = await runTraining({ ...online, output_dir: again, resume_from_checkpoint: "latest" });
    assert.equal(notesOf(record).filter((text) => note.test(text)).length, 1, notesOf(record).join("\n"));
    assertSameRun(again, dir, 4, false);
    assert.ok(existsSync(join(again, "report.html")));
    const rows = readRollouts(path);
    assert.deepEqual(rows.slice(-16), readRollouts(join(dir, "rollouts.jsonl.gz")).slice(-16));
    // what is there now is what later checkpoints have of it
    const resumed = await runTraining({ ...online, output_dir: again, resume_from_checkpoint: "latest" });
    assert.deepEqual(
      notesOf(resumed).filter((text) => text.startsWith("rollouts")),
      [],
    );
  });
}

test("rollouts that are damaged when the last report is made leave the run done, with a note", async () => {
  const dir = fixture.path("damaged-at-the-end");
  const record = await runTraining(
    { ...online, output_dir: dir },
    { onEvent: ({ type }) => type === "export" && writeFileSync(join(dir, "rollouts.jsonl.gz"), "{}\n") },
  );
  assert.equal(record.summary.reason, "done");
  assert.match(
    notesOf(record).at(-1) ?? "",
    /report\.html is not written: .*rollouts\.jsonl\.gz: .*preftune report /,
  );
});

for (const [name, at] of [
  ["writeSync", 3],
  // each checkpoint syncs the file
  ["closeSync", 5],
] as const) {
  test(`a disk that is full when a rollout is written ends the run, and the run continues when there is room: ${name}`, async () => {
    const { dir: whole } = await run({});
    const dir = fixture.path(`full-${name}`);
    {
      using _ = armFault({ code: "ENOSPC", at, names: [name], on: /rollouts\.jsonl\.gz$/ });
      await assert.rejects(runTraining({ ...online, output_dir: dir }), (error) => {
        assert.ok(error instanceof FileError, `${error}`);
        assert.match(error.message, /rollouts\.jsonl\.gz/);
        assert.match(error.message, /earlier rollouts are untouched/);
        return true;
      });
    }
    assert.equal(readRollouts(join(dir, "rollouts.jsonl.gz")).length, 16);
    await runTraining({ ...online, output_dir: dir, resume_from_checkpoint: "latest" });
    assertSameRun(dir, whole, 4);
  });
}
