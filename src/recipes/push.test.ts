/** A run on the hub: its card says what its files say, and no more of the machine than that. */
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { parse } from "yaml";
import { fakePushHub } from "../../test/support/fake-hub.ts";
import { runFixture, runTraining } from "../../test/support/runs.ts";
import { isEvalRow } from "../runs/metrics.ts";
import { openRun } from "../runs/run-directory.ts";
import { shareInterval } from "../stats/bootstrap.ts";
import { type PushRunOptions, pushRun, runFiles } from "./push.ts";

const fixture = runFixture({ rows: 12, held: 6 });
after(() => fixture[Symbol.dispose]());
const runDir = fixture.path("runs", "first");
const values = {
  ...fixture.values,
  ...{
    output_dir: runDir,
    use_peft: true,
    max_steps: 4,
    logging_steps: 1,
    eval_steps: 2,
    learning_rate: 1e-2,
  },
  ...{ train_batch_size: 4, export_merged: true, run_name: "the first" },
};
const trained = runTraining(values);

const token = "hf_secret-of-the-test";
const hub = fakePushHub("o/n");
const options: PushRunOptions = {
  ...{ what: "adapter", baseModel: "owner/base", license: null },
  hub: { fetch: hub.fetch, hubUrl: "http://hub.invalid", accessToken: token, pause: async () => {} },
};

/** The row of the card's table of results with this metric: start, end, interval. */
function resultOf(card: string, key: string): string[] {
  const row = card.split("\n").find((line) => line.includes(`(\`${key}\``)) ?? "";
  return row
    .split(" | ")
    .slice(1)
    .map((cell) => cell.replace(/ \|$/, ""));
}

test("the card's numbers are those of the run's files", async () => {
  await trained;
  const run = openRun(runDir);
  const { card } = await runFiles(runDir, options);
  const rows = run.metrics.filter(isEvalRow);
  const [first, last] = [rows[0], rows.at(-1)];
  assert.equal(last?.global_step, 4);
  let shown = 0;
  for (const key of Object.keys(last ?? {})) {
    const [start, end] = resultOf(card, key);
    if (end === undefined) continue;
    shown += 1;
    assert.equal(Number(end), last?.[key], key);
    if (start !== "–") assert.equal(Number(start), first?.[key], key);
  }
  assert.ok(shown >= 8, `${shown} metrics`);
  const accuracy = Number(last?.["eval_logps/accuracies"]);
  const { low, high } = shareInterval(accuracy * 6, 6);
  assert.equal(resultOf(card, "eval_logps/accuracies")[2], `${low.toFixed(4)} to ${high.toFixed(4)}`);
  const changes = run.evaluations.at(-1)?.pair_changes.map(([chosen]) => chosen) ?? [];
  const interval = /^(\S+) to (\S+), over 6 pairs of 6 prompts$/.exec(
    resultOf(card, "eval_logps/chosen_delta_init")[2] ?? "",
  );
  const mean = changes.reduce((sum, value) => sum + value, 0) / 6;
  assert.ok(Number(interval?.[1]) < mean && mean < Number(interval?.[2]), `${mean} in ${interval?.[0]}`);

  const preflight = run.preflight as {
    lengthBias: { heldOutAccuracy: number };
    findings: { code: string }[];
  };
  assert.match(card, new RegExp(`is right for ${preflight.lengthBias.heldOutAccuracy} of 6 held-out pairs`));
  for (const { code } of preflight.findings) assert.ok(card.includes(`(${code}, `), code);
  for (const digest of Object.values(run.fingerprints?.data ?? {})) assert.ok(card.includes(`\`${digest}\``));
  const [check] = run.exported as { tokens: number; maxDifference: number; meanDifference: number }[];
  assert.match(
    card,
    new RegExp(
      `^${check?.tokens} tokens of .*largest difference to the model as trained ${check?.maxDifference} nats, mean ${check?.meanDifference}`,
      "m",
    ),
  );
  assert.match(
    card,
    new RegExp(`\\| torch \\| ${run.fingerprints?.torch_version.replaceAll("+", "\\+")} \\|`),
  );
});

test("its head names base model and relation; what was not measured is said", async () => {
  await trained;
  const [adapter, model] = [
    await runFiles(runDir, { ...options, license: "apache-2.0" }),
    await runFiles(runDir, { ...options, what: "model", baseModel: null }),
  ];
  const head = (card: string): unknown => parse(/^---\n(.*?)\n---\n/s.exec(card)?.[1] ?? "");
  assert.deepEqual(head(adapter.card), {
    ...{
      base_model: "owner/base",
      base_model_relation: "adapter",
      license: "apache-2.0",
      library_name: "peft",
    },
    ...{ pipeline_tag: "text-generation", tags: ["preftune", "slime", "lora"] },
  });
  assert.deepEqual(head(model.card), {
    ...{ library_name: "transformers", pipeline_tag: "text-generation", tags: ["preftune", "slime", "lora"] },
  });
  assert.match(adapter.card, /^# the first$/m);
  assert.match(
    model.card,
    /## What was not measured\n\n- other runs: .*\n(- .*\n)*- the origin of the base model: it was a local directory$/m,
  );
  assert.match(model.card, /- the licence: the base model's files name none/);
  assert.doesNotMatch(adapter.card, /- the licence|- held-out rows/);
});

test("what is pushed is the export, the card and the manifest; no path of this machine and no token is in any of it", async () => {
  await trained;
  const result = await pushRun(runDir, "o/n", { ...options, isPublic: false, isDryRun: false });
  const files = hub.commits[result.commit ?? ""] ?? {};
  assert.deepEqual(Object.keys(files).sort(), [
    ...[".gitattributes", "README.md", "adapter_config.json", "adapter_model.safetensors"],
    ...["preftune.json", "tokenizer.json", "tokenizer_config.json"],
  ]);
  assert.equal(
    JSON.parse(Buffer.from(files["adapter_config.json"] ?? "").toString()).base_model_name_or_path,
    "owner/base",
  );
  for (const [path, content] of Object.entries(files)) {
    const text = Buffer.from(content).toString("latin1");
    for (const secret of [fixture.dir, process.cwd(), token])
      assert.equal(text.includes(secret), false, path);
  }
  const again = await pushRun(runDir, "o/n", { ...options, isPublic: false, isDryRun: false });
  assert.equal(again.commit, null);
});

test("two exports, a base model that nobody else has, and a run without an export are refused", async () => {
  await trained;
  await assert.rejects(
    runFiles(runDir, { ...options, what: null }),
    /has an adapter and a model: expected --export/,
  );
  await assert.rejects(
    runFiles(runDir, { ...options, baseModel: null }),
    /expected --base-model OWNER\/NAME/,
  );
  rmSync(join(runDir, "model"), { recursive: true });
  await assert.rejects(
    runFiles(runDir, { ...options, what: "model" }),
    /expected its export in model\/, it has adapter\/ alone\. Leave --export out\./,
  );
  rmSync(join(runDir, "adapter"), { recursive: true });
  await assert.rejects(
    runFiles(runDir, { ...options, what: null }),
    /expected a finished run with its export in adapter\/ or model\/.*preftune train \S+\/config\.yaml --resume$/,
  );
});
