/**
 * Row 5: every system call of merge, score, generate and an evaluation with a judge fails in turn: the error names the path and
 * ends the command with status 5, what was there before stays whole, and the command done again leaves the same bytes.
 */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { finishJudging } from "../../src/cli/judge-options.ts";
import { pairPage, pairReportText } from "../../src/evaluate/judge/pair-report.ts";
import { evaluatePairwise, type PairwiseOptions } from "../../src/evaluate/pairwise/evaluate-pairwise.ts";
import { resolveModelDirectory } from "../../src/hub/hub-model.ts";
import { loadModel } from "../../src/models/load.ts";
import { writeAdapter } from "../../src/models/save.ts";
import { generateFile } from "../../src/recipes/generate.ts";
import { merge } from "../../src/recipes/merge.ts";
import { score, writeScores } from "../../src/recipes/score.ts";
import { scope } from "../../src/torch/index.ts";
import { adapterParameters } from "../../src/train/parameters.ts";
import { amount, figure } from "../support/campaign.ts";
import { fakeModelHub } from "../support/fake-hub.ts";
import { type FaultyCommand, failEachCall } from "../support/fault-loop.ts";
import { startJudge } from "../support/judge-server.ts";
import { runFixture } from "../support/runs.ts";
import { writeRows } from "../support/tiny-model.ts";
import { adaptPatterned, tinyAdapterConfig } from "../support/tiny-models.ts";

const fixture = runFixture({ rows: 2, held: 0, config: { num_hidden_layers: 1 } });
after(() => fixture[Symbol.dispose]());
const model = String(fixture.values["model_name_or_path"]);
const data = String(fixture.values["train_data"]);
const machine = { device: "cpu", dtype: "float32", threads: 1 } as const;
const adapter = fixture.path("adapter");
const place = fixture.path("loops");
before(() => {
  mkdirSync(place);
  mkdirSync(adapter);
  using _ = scope();
  const adapted = loadModel(model);
  const { config } = adaptPatterned(adapted, tinyAdapterConfig({ targetModules: ["q_proj"] }));
  writeAdapter(adapter, config, adapterParameters(adapted).tensors);
});

async function loop(command: FaultyCommand, stride: number): Promise<void> {
  const { calls, failed } = await failEachCall(command, place, stride);
  figure(
    5,
    `${command.name}: each system call that writes fails in one of the ways that it can (EIO, ENOSPC, EDQUOT, EROFS, EMFILE)`,
    `${failed} of ${calls.length} calls tried, all told with path and status 5, the bytes needed where a write finds no room, same bytes when done again`,
    "100 % of calls",
    failed >= Math.floor(calls.length / stride),
  );
}

test("merge in place of a former model", async () => {
  const output = "merged";
  const options = { model, adapter, device: "cpu", threads: 1, tolerance: 1e-3 };
  const run = (dir: string) => merge({ ...options, output: join(dir, output), replace: true });
  const former = fixture.path("former");
  await merge({ ...options, output: former, exportDtype: "bfloat16" });
  const { copyTree } = await import("../../src/base/copy-files.ts");
  const lay = (dir: string): void => copyTree(former, join(dir, output));
  await loop({ name: "merge", before: lay, run, outputs: [output] }, amount(4, 1));
});

test("score over a former file", async () => {
  const run = async (dir: string): Promise<void> =>
    writeScores(join(dir, "scores.jsonl"), await score({ ...machine, model, data }));
  const lay = (dir: string): void => writeFileSync(join(dir, "scores.jsonl"), "former\n");
  await loop({ name: "score", before: lay, run, outputs: ["scores.jsonl"] }, 1);
});

test("generate over a former file", async () => {
  const prompts = writeRows(
    fixture.path("prompts.jsonl"),
    [0, 1, 2].map((i) => ({ prompt: `say ${i}` })),
  );
  const sampling = {
    ...{ n: 1, maxNewTokens: 3, temperature: 1, topK: null, topP: null, minP: null },
    ...{ repetitionPenalty: null, stop: [], seed: 3, logprobs: null },
  };
  const run = (dir: string) =>
    generateFile({
      ...{ ...machine, model, adapters: [], prompts, limit: null, sampling },
      output: join(dir, "answers.jsonl"),
    });
  const lay = (dir: string): void => writeFileSync(join(dir, "answers.jsonl"), "former\n");
  await loop({ name: "generate", before: lay, run, outputs: ["answers.jsonl"] }, 1);
});

test("an evaluation with a judge: answers of an endpoint, judgments, results and report", async () => {
  await using judge = await startJudge(({ text }) =>
    text.includes("<answer_A>") ? (text.includes("FILE\n</answer_A>") ? "[[B>A]]" : "[[A>>B]]") : "ENDPOINT",
  );
  const rows = [0, 1, 2].map((i) => ({ prompt: `say ${i}` }));
  const prompts = writeRows(fixture.path("questions.jsonl"), rows);
  const file = writeRows(
    fixture.path("file.jsonl"),
    rows.map((row) => ({ ...row, response: "FILE" })),
  );
  const asked = {
    apiKey: null,
    temperature: null,
    maxTokens: null,
    retriesWithoutVerdict: 0,
    extra: {},
    price: null,
  };
  const options = (dir: string): PairwiseOptions => ({
    ...{
      ...machine,
      answerers: [`${judge.baseUrl}#answers`, file],
      prompts,
      judgePrompts: null,
      limit: null,
    },
    ...{ temperature: 0, strongWeight: 3, maxNewTokens: 8, seed: 1, chatTemplate: null, answerKey: null },
    dir,
    judge: { baseUrl: judge.baseUrl, model: "rule", ...asked },
    limits: { timeoutMs: 5000, maxRetries: 0, requestsPerMinute: null, tokensPerMinute: null },
    concurrency: 1,
    bootstrapRounds: 10,
  });
  const run = async (dir: string): Promise<void> => {
    const at = join(dir, "evaluation");
    const report = await evaluatePairwise(options(at));
    const shown = process.stdout.write;
    process.stdout.write = () => true;
    try {
      finishJudging({ ...report, answerers: ["a", "b"] }, at, pairPage(report), pairReportText(report));
    } finally {
      process.stdout.write = shown;
    }
  };
  const before = judge.calls.length;
  await loop(
    {
      name: "evaluate",
      run,
      outputs: ["evaluation/results.json", "evaluation/report.html", "evaluation/judgments.jsonl"],
      // how much was asked anew and what was kept differs after an interruption, as it should
      essence: (text) =>
        text
          .replace(/"(cached|requests|promptTokens|completionTokens)":\s?\d+/g, "")
          .replace(/(tokens (read|written) in this run|kept from before)[\s\S]{0,60}?<\/td>/g, ""),
    },
    amount(2, 1),
  );
  assert.ok(judge.calls.length > before);
});

test("a model fetched from the hub", async () => {
  const commit = "a".repeat(40);
  const files = {
    "config.json": '{"model_type": "llama"}',
    "tokenizer.json": "{}",
    "model.safetensors": "weights",
  };
  const hub = fakeModelHub("o/n", { [commit]: files });
  const run = (dir: string) =>
    resolveModelDirectory("o/n", {
      fetch: hub.fetch,
      hubUrl: "http://hub.invalid",
      cacheDirectory: join(dir, "cache"),
    });
  await loop({ name: "fetch", run, outputs: ["cache"] }, amount(5, 1));
});
