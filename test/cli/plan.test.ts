/** `preftune plan` as a user meets it. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { test } from "node:test";
import { preftune } from "../support/command.ts";
import { runFixture } from "../support/runs.ts";
import { tinyConfig } from "../support/tiny-models.ts";

test("a run is planned from its YAML, keys can be set behind it, and nothing is written", async () => {
  using fixture = runFixture({ rows: 6, held: 0 });
  const file = fixture.path("run.yaml");
  const values = { ...fixture.values, output_dir: fixture.path("run") };
  writeFileSync(
    file,
    Object.entries(values)
      .map(([key, value]) => `${key}: ${JSON.stringify(value)}\n`)
      .join(""),
  );
  const planned = await preftune("plan", file, "--objective", "dpo", "--gpu", "h100", "--json", "--use_peft");
  assert.equal(planned.status, 0, planned.stderr);
  const plan = JSON.parse(planned.stdout);
  assert.equal(plan.rows.pairs, 6);
  assert.equal(plan.training.kind, "lora");
  assert.equal(plan.device.id, "h100");
  const own = plan.methods.filter((method: { isOwn: boolean }) => method.isOwn);
  assert.deepEqual(
    own.map((method: { method: string }) => method.method),
    ["dpo-precomputed"],
  );
  const text = await preftune("plan", file);
  assert.equal(text.status, 0, text.stderr);
  assert.doesNotMatch(text.stderr, /preftune/);
  for (const word of [
    "parameters",
    "gradients",
    "optimiser",
    "activations",
    "SLIME",
    "SimPO",
    "DPO, precomputed",
  ]) {
    assert.ok(text.stdout.includes(word), word);
  }
});

test("what is doubtful in the configuration is told, by the plan and by the data check", async () => {
  using fixture = runFixture({ rows: 6, held: 0 });
  const file = fixture.path("run.yaml");
  writeFileSync(file, JSON.stringify({ ...fixture.values, output_dir: fixture.path("run") }));
  const steps = ["--tokens_per_step", "512", "--gradient_accumulation_steps", "4"];
  for (const command of [
    ["plan", file, "--gpu", "h100"],
    ["data", "check", file],
  ]) {
    const { status, stderr } = await preftune(...command, ...steps);
    assert.equal(status, 0, stderr);
    assert.match(
      stderr,
      /^preftune: .*gradient_accumulation_steps has no effect here: tokens_per_step decides/m,
    );
  }
});

test("a config.json alone, for eight GPUs of two hosts: how the ranks share the model, and why", async () => {
  using fixture = runFixture({ rows: 2, held: 0 });
  const file = fixture.path("config.json");
  writeFileSync(file, JSON.stringify(tinyConfig("llama_untied")));
  const { status, stdout, stderr } = await preftune(
    ...[
      "plan",
      "--model-config",
      file,
      "--gpu",
      "h100",
      "--count",
      "8",
      ...["--nodes", "2", "--link", "25"],
      "--pairs",
      "1000",
      "--use_peft",
      "true",
    ],
  );
  assert.equal(status, 0, stderr);
  assert.match(
    stdout,
    /^ranks +8 on 2 hosts \(4 each\); 300 GB\/s .* 25 GB\/s a rank between hosts \(--link\)$/m,
  );
  assert.match(stdout, /^layout +shard: none is the fastest that fits/m);
  assert.match(stdout, /^ +node +true /m);
  assert.match(stdout, /lengths assumed/);
});

test("mistakes end with status 2 and say what to do", async () => {
  using fixture = runFixture({ rows: 2, held: 0 });
  const file = fixture.path("config.json");
  writeFileSync(file, JSON.stringify(tinyConfig("llama_untied")));
  const gpu = await preftune("plan", "--model-config", file, "--gpu", "h10");
  assert.equal(gpu.status, 2);
  assert.match(gpu.stderr, /expected one of h100.*got "h10".*Did you mean "h100"/);
  const uneven = ["--gpu", "h100", "--count", "8", "--nodes", "3"];
  const hosts = await preftune("plan", "--model-config", file, ...uneven);
  assert.equal(hosts.status, 2);
  assert.match(hosts.stderr, /--count 8 on --nodes 3: expected equally many.*Give a multiple of 3/);
  const nothing = await preftune("plan");
  assert.equal(nothing.status, 2);
  assert.match(nothing.stderr, /--model-config FILE/);
  const both = await preftune("plan", "--model-config", file, "--gpu", "h100", "--gflops", "100");
  assert.equal(both.status, 2);
  const share = await preftune("plan", "--model-config", file, "--mfu", "40");
  assert.equal(share.status, 2);
});
