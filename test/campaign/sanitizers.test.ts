/**
 * The addon compiled with AddressSanitizer and UndefinedBehaviorSanitizer: tests that use it, trainings, generation and hostile
 * arguments come to their ends without a report. In full only: it is compiled anew, in about a minute.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { campaignSeed, figure, isNightly } from "../support/campaign.ts";
import { runFixture, type Values } from "../support/runs.ts";
import {
  buildCanary,
  buildSanitized,
  CANARY,
  findSanitizers,
  runSanitized,
  type SanitizedRun,
  type Sanitizers,
} from "../support/sanitized-addon.ts";
import { temporaryDirectory } from "../support/tiny-models.ts";

/** Each is a file's tests; what measures memory is left out, because the sanitizers keep what was freed. */
const files = [
  ...["matmul", "signal-watch", "torch"].map((name) => `src/torch/${name}`),
  ...["dropout", "kv-cache", "lora", "mlp", "module", "own-operators"].map((name) => `src/nn/${name}`),
  ...["packed-attention", "quantised-linear", "rms-norm", "rotary", "varlen-attention"].map(
    (name) => `src/nn/${name}`,
  ),
  ...["mapped-file", "load", "save", "finite", "build", "sliced-source", "stored-head"].map(
    (name) => `src/models/${name}`,
  ),
  ...["engine", "sample", "choose", "prompt-logprobs", "prompt-parts", "forward", "int8", "prefix-cache"].map(
    (name) => `src/generate/${name}`,
  ),
  ...["adamw", "adamw-8bit", "adamw-bf16", "clip"].map((name) => `src/optim/${name}`),
  "src/methods/losses",
  ...["head", "score-batch", "token-logps", "walk"].map((name) => `src/forward/${name}`),
  ...["groups", "meta", "sharded-walk", "step", "trained-slices"].map((name) => `src/train/${name}`),
  ...["half-copies", "merge", "threads", "batches"].map((name) => `test/invariants/${name}`),
];

const steps = { per_device_train_batch_size: 2, gradient_accumulation_steps: 2, max_steps: 6, save_steps: 3 };
/** Widths that no vector register divides. */
const odd = { hidden_size: 72, intermediate_size: 747 };

const trainings: Record<string, Values> = {
  "LoRA with dropout": { use_peft: true, lora_dropout: 0.1 },
  "LoRA with dropout, bfloat16": { use_peft: true, lora_dropout: 0.1, dtype: "bfloat16" },
  "DoRA with dropout": { use_peft: true, use_dora: true, lora_dropout: 0.05 },
  "LoRA on four bits": { use_peft: true, load_in_4bit: true, bnb_4bit_use_double_quant: true },
  "LoRA on eight bits": { use_peft: true, load_in_8bit: true },
  "all weights": { use_peft: false },
  "all weights, averages in eight bits": { use_peft: false, optim: "adamw_8bit" },
  "all weights, averages in bfloat16": { use_peft: false, optim: "adamw_bf16" },
  "all weights, two threads": { use_peft: false, threads: 2, gradient_checkpointing: true },
};

/** Programs that run under the sanitizers as well. */
const trainer = "test/support/train-child.ts";
const caller = "test/support/operators-fuzz-child.ts";

test("the files that run under the sanitizers are there", {
  skip: isNightly
    ? "in `npm test`: alone it would make a file of a machine without sanitizers count as passed"
    : false,
}, () => {
  const all = [...files.map((name) => `${name}.test.ts`), trainer, caller, CANARY];
  assert.deepEqual(
    all.filter((file) => !existsSync(join(import.meta.dirname, "../..", file))),
    [],
  );
});

/** What was run, and what was reported of it. */
const tally = { files: 0, tests: 0, trainings: 0, reports: [] as string[] };

function count(run: SanitizedRun, what: string): void {
  tally.reports.push(...run.reports);
  assert.deepEqual(run.reports, [], what);
  assert.equal(run.status, 0, `${what}: ${run.output.slice(-4000)}`);
}

async function canaries(found: Sanitizers, dir: string): Promise<void> {
  // it is no module of node's, which is told only after it was loaded
  const load = `try { process.dlopen({ exports: {} }, ${JSON.stringify(buildCanary(found, dir))}) } catch {}`;
  for (const [kind, words] of [
    ["address", /AddressSanitizer: heap-buffer-overflow/],
    ["undefined", /runtime error: signed integer overflow/],
    ["container", /Assertion '__n < this->size\(\)' failed/],
    ["none", null],
  ] as const) {
    const env = { SANITIZER_CANARY: kind };
    const { status, reports } = await runSanitized(found, ["-e", load], { reports: join(dir, kind), env });
    if (words === null) assert.deepEqual([status, reports], [0, []]);
    else assert.deepEqual([status, reports.length], [null, 1], kind);
    if (words !== null) assert.match(reports[0] as string, words);
  }
}

async function runFile(
  t: TestContext,
  name: string,
  run: (args: string[]) => Promise<SanitizedRun>,
): Promise<void> {
  const file = `${name}.test.ts`;
  await t.test(file, async () => {
    const began = performance.now();
    const ended = await run(["--test-reporter=tap", file]);
    count(ended, file);
    const passed = Number(/^# pass (\d+)$/m.exec(ended.output)?.[1] ?? 0);
    assert.ok(passed > 0, `no test of ${file} was run`);
    tally.files++;
    tally.tests += passed;
    console.log(`${file}: ${passed} tests, ${((performance.now() - began) / 1000).toFixed(0)} s`);
  });
}

async function runTrainings(t: TestContext, run: (args: string[]) => Promise<SanitizedRun>): Promise<void> {
  using fixture = runFixture({ rows: 12, held: 4, config: odd });
  for (const [name, values] of Object.entries(trainings)) {
    await t.test(`training: ${name}`, async () => {
      const outputDir = fixture.path(name.replaceAll(/\W+/g, "-"));
      const all = JSON.stringify({ ...fixture.values, ...steps, ...values, output_dir: outputDir });
      const ended = await run([trainer, all]);
      count(ended, name);
      assert.match(ended.output, /^6 /m);
      tally.trainings++;
      console.log(`training, ${name}: 6 steps`);
    });
  }
}

/** Calls of the addon's own operators with arguments that are nearly right. */
async function runCalls(t: TestContext, run: (args: string[]) => Promise<SanitizedRun>): Promise<number> {
  let calls = 0;
  for (let part = 0; part < 4; part++) {
    await t.test(`operators with arguments that are nearly right, part ${part + 1} of 4`, async () => {
      const ended = await run([caller, "10000", `${4 * campaignSeed + part}`]);
      count(ended, "calls of operators");
      const reported = JSON.parse(/^\{.*\}$/m.exec(ended.output)?.[0] ?? "{}") as {
        calls: number;
        refused: number;
      };
      assert.ok(reported.refused > 0 && reported.refused < reported.calls);
      calls += reported.calls;
      console.log(`operators: ${reported.calls} calls, ${reported.refused} of them refused`);
    });
  }
  return calls;
}

const found = isNightly ? findSanitizers() : "in the nightly run only: the addon is compiled anew";
const skip = typeof found === "string" ? found : false;

test("the addon runs under the address and undefined-behaviour sanitizers without a report", {
  skip,
}, async (t) => {
  const sanitizers = found as Sanitizers;
  using dir = temporaryDirectory();
  await t.test("the sanitizers find what they are to find", () => canaries(sanitizers, dir.path));
  const env = { PREFTUNE_ADDON: await buildSanitized(sanitizers) };
  const run = async (args: string[]) => {
    const began = performance.now();
    const progress = () =>
      console.log(
        `${args.find((arg) => arg.endsWith(".ts"))}: ${((performance.now() - began) / 1000).toFixed(0)} s`,
      );
    const timer = setInterval(progress, 20_000).unref();
    const ended = await runSanitized(sanitizers, args, { reports: join(dir.path, "report"), env });
    clearInterval(timer);
    return ended;
  };
  for (const name of files) await runFile(t, name, run);
  await runTrainings(t, run);
  const calls = await runCalls(t, run);
  const [fileCount, trainingCount] = [files.length, Object.keys(trainings).length];
  const isWhole = tally.files === fileCount && tally.trainings === trainingCount && calls === 40_000;
  figure(
    18,
    `Addon under address and undefined-behaviour sanitizers: the tests of ${fileCount} files, ${trainingCount} trainings, and its operators called with arguments that are nearly right`,
    `${tally.tests} tests, ${tally.trainings} trainings, ${calls.toLocaleString("en")} calls, ${tally.reports.length} reports`,
    "0 reports",
    isWhole && tally.reports.length === 0,
  );
});
