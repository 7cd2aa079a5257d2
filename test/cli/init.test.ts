/** `preftune init`: what it writes is a configuration that fits, and it asks only on a terminal. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { stripVTControlCharacters } from "node:util";
import { ConfigError } from "../../src/base/errors.ts";
import { loadConfig } from "../../src/config/load-config.ts";
import { type FirstConfig, firstConfig } from "../../src/recipes/first-config.ts";
import { endWithFile, preftune } from "../support/command.ts";
import { runFixture } from "../support/runs.ts";
import { requireShared, skipWithoutShared } from "../support/shared.ts";
import { pairRows, writeRows } from "../support/tiny-model.ts";

const fixture = runFixture({ rows: 60, held: 0 });
after(() => fixture[Symbol.dispose]());
const model = String(fixture.values["model_name_or_path"]);
const data = String(fixture.values["train_data"]);

test("given everything it asks nothing, and train takes what it wrote", async () => {
  const file = fixture.path("run.yaml");
  const output = fixture.path("out");
  const given = ["--model", model, "--data", data, "--objective", "simpo", "--learning_rate", "3e-4"];
  const made = await preftune("init", file, ...given, "--output_dir", output);
  assert.equal(made.status, 0, made.stderr);
  assert.match(made.stdout, /simpo, 5\d rows to train on, \d held out; planned memory/);
  const text = readFileSync(file, "utf8");
  assert.match(text, /^# yaml-language-server: \$schema=.*run\.schema\.json\n/);
  const { config, warnings } = loadConfig({ file });
  assert.deepEqual(warnings, []);
  const { learning_rate, use_peft, plain_strings, output_dir } = config;
  assert.deepEqual(
    { learning_rate, use_peft, plain_strings, output_dir },
    {
      ...{ learning_rate: 3e-4, use_peft: true, plain_strings: "chat", output_dir: output },
    },
  );
  const trained = await preftune(
    "train",
    file,
    "--max_steps",
    "1",
    "--save_strategy",
    "no",
    "--eval_on_start",
    "false",
  );
  assert.equal(trained.status, 0, trained.stderr);
  assert.ok(existsSync(join(output, "adapter")));

  const again = await preftune("init", file, ...given);
  assert.equal(again.status, 2);
  assert.match(again.stderr, /is there already/);
  assert.equal(readFileSync(file, "utf8"), text);
});

test("an objective on sampled completions needs something that scores them; the message says which options", async () => {
  const file = fixture.path("grpo.yaml");
  const given = ["--model", model, "--data", data, "--objective", "grpo"];
  const none = await preftune("init", file, ...given);
  assert.equal(none.status, 2);
  assert.match(
    none.stderr,
    /^preftune: grpo trains on completions.*Add --reward_funcs '\["rewards.ts#brevity"\]'/,
  );
  assert.equal(existsSync(file), false);
  const scored = await preftune(
    "init",
    file,
    ...given,
    "--reward-funcs",
    '["length"]',
    "--max-completion-length",
    "8",
  );
  assert.equal(scored.status, 0, scored.stderr);
  assert.equal(loadConfig({ file }).config.method.objective, "grpo");
});

test("on own answers a step has whole prompts, and so has a micro-batch that makes pairs of them", async () => {
  const sizesOf = async (objective: string, given: [string, string][]) => {
    const overrides: [string, string][] = [
      ["reward_funcs", '["length"]'],
      ["max_completion_length", "8"],
    ];
    const { config, yaml } = await firstConfig({
      model,
      data,
      objective,
      overrides: [...overrides, ...given],
    });
    const steps = Number(/An epoch is (\d+) steps/.exec(yaml)?.[1]);
    return [config.train_batch_size, config.per_device_train_batch_size, steps];
  };
  // 54 prompts to train on
  assert.deepEqual(await sizesOf("grpo", [["num_generations", "16"]]), [16, 8, 54]);
  assert.deepEqual(await sizesOf("slime", [["num_generations", "3"]]), [18, 6, 9]);
  assert.deepEqual(await sizesOf("dpo", []), [16, 8, 27]);
});

test("without a terminal it names what is missing; faulty rows and wishes write no file", async () => {
  const bare = await preftune("init", fixture.path("bare.yaml"));
  assert.equal(bare.status, 2);
  assert.match(bare.stderr, /expected --model NAME and --data PATH/);
  const bad = writeRows(fixture.path("bad.jsonl"), [{ prompt: "a", chosen: "b", rejected: "b" }]);
  const faulty = await preftune("init", fixture.path("faulty.yaml"), "--model", model, "--data", bad);
  assert.equal(faulty.status, 4);
  assert.match(faulty.stderr, /bad\.jsonl:1/);
  const wishes = { model, data, objective: "slime" };
  await assert.rejects(
    firstConfig({ ...wishes, overrides: [["learning_rat", "1"]] }),
    (error: unknown) =>
      error instanceof ConfigError &&
      /^--learning_rat: unknown key .* Did you mean "learning_rate"/.test(error.message),
  );
  await assert.rejects(firstConfig({ ...wishes, objective: "slim", overrides: [] }), /expected one of slime/);
  for (const name of ["bare.yaml", "faulty.yaml"]) assert.ok(!existsSync(fixture.path(name)), name);
});

test("rows beyond the model's context are left out, as those beyond the usual length are", async () => {
  const long = { prompt: "why ".repeat(30_000), chosen: "because", rejected: "no" };
  const rows = writeRows(fixture.path("long.jsonl"), [...pairRows(12), long]);
  const { config, yaml } = await firstConfig({ model, data: rows, objective: "slime", overrides: [] });
  assert.equal(config.overflow, "drop");
  assert.match(
    yaml,
    /within the model's context has \d+ tokens; 1 of 13 rows is longer than this and left out\./,
  );
});

test("what is given stands: all weights, steps by tokens, held-out rows, no adapter's keys", async () => {
  const held = writeRows(fixture.path("held.jsonl"), pairRows(70).slice(60));
  const overrides: [string, string][] = [
    ["use_peft", "false"],
    ["tokens_per_step", "512"],
    ["max_steps", "3"],
    ["eval_data", held],
    ["lr_scheduler_type", "constant"],
  ];
  const { config, yaml } = await firstConfig({ model, data, objective: "dpo", overrides });
  const { use_peft, tokens_per_step, max_steps, eval_fraction, eval_strategy } = config;
  assert.deepEqual(
    [use_peft, tokens_per_step, max_steps, eval_fraction, eval_strategy],
    [false, 512, 3, 0, "steps"],
  );
  assert.ok(!/lora|train_batch_size: 16|warmup/.test(yaml), yaml);
  assert.match(yaml, /^per_device_train_batch_size: 8$/m);
  const capped = [...overrides, ["max_tokens_per_micro_batch", "256"] as [string, string]];
  const cut = await firstConfig({ model, data, objective: "dpo", overrides: capped });
  assert.doesNotMatch(cut.yaml, /per_device_train_batch_size/);
  for (const text of [yaml, cut.yaml]) assert.deepEqual(loadConfig({ yaml: text }).warnings, []);
});

const shared = ["models", "SmolLM2-135M-Instruct-Q4_1"] as const;

test("less memory: activations are computed again, micro-batches get smaller, then it is refused with what would help", {
  skip: skipWithoutShared(...shared),
}, async () => {
  const rows = Array.from({ length: 12 }, (_, i) => ({
    ...{
      prompt: `Question ${i}: ${"why ".repeat(200)}`,
      chosen: "because ".repeat(200),
      rejected: "no ".repeat(100 + i),
    },
  }));
  const wishes = {
    ...{
      model: requireShared(...shared),
      data: writeRows(fixture.path("long.jsonl"), rows),
      objective: "slime",
    },
    overrides: [
      ["dtype", "float32"],
      ["device", "cpu"],
    ] as [string, string][],
  };
  const sizeOf = ({ config, plan }: FirstConfig) => {
    assert.ok(plan.memory.fits && plan.memory.total <= plan.device.usableBytes);
    assert.equal(config.train_batch_size, 16);
    return [config.gradient_checkpointing, config.per_device_train_batch_size];
  };
  assert.deepEqual(sizeOf(await firstConfig({ ...wishes, memoryGiB: 16 })), [false, 8]);
  const [isRecomputed, size] = sizeOf(await firstConfig({ ...wishes, memoryGiB: 1 }));
  assert.ok(isRecomputed === true && Number(size) < 8, `${size}`);
  await assert.rejects(firstConfig({ ...wishes, memoryGiB: 0.2 }), /What would change it:\n {2}.*MiB/);
});

const skip = spawnSync("sh", ["-c", "command -v script"]).status === 0 ? false : "script is not installed";

/** `preftune init FILE` on a terminal. */
function onTerminal(file: string) {
  const main = join(import.meta.dirname, "../../src/cli/main.ts");
  const command = `${process.execPath} ${process.execArgv.join(" ")} --conditions=preftune-source ${main} init ${file}`;
  return endWithFile(spawn("script", ["-qec", command, "/dev/null"], { cwd: fixture.dir }), false);
}

test("Ctrl-D at a question ends it with a sentence, and nothing is written", { skip }, async () => {
  const child = onTerminal("cut.yaml");
  let seen = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    const isFirst = !/Model[^\n]*: $/.test(stripVTControlCharacters(seen));
    seen += text;
    if (isFirst && /Model[^\n]*: $/.test(stripVTControlCharacters(seen))) child.stdin.write("\u0004");
  });
  const [status] = await new Promise<unknown[]>((done) => child.once("close", (...end) => done(end)));
  assert.equal(status, 2, seen);
  assert.match(seen, /preftune: init: the input ended before all was answered; nothing was written\./);
  assert.ok(!existsSync(fixture.path("cut.yaml")));
});

test("on a terminal it asks for model, rows, objective and memory, and again where an answer cannot be", {
  skip,
}, async () => {
  const child = onTerminal("asked.yaml");
  let seen = "";
  const answers: [RegExp, string][] = [
    [/Model[^\n]*: $/, model],
    [/Rows to train on[^\n]*: $/, data],
    [/Objective \([^\n]*\[slime\]: $/, "simp0"],
    [/got "simp0"\. Did you mean "simpo"\?[\s\S]*Objective \([^\n]*\[slime\]: $/, "dpo"],
    [/Memory[^\n]*\]: $/, "8GB"],
    [/Expected a number above 0\. It is of GiB[\s\S]*Memory[^\n]*\]: $/, ""],
  ];
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    seen += text;
    const plain = stripVTControlCharacters(seen);
    if (answers[0]?.[0].test(plain) === true) child.stdin.write(`${answers.shift()?.[1]}\r`);
  });
  await new Promise((resolve) => child.once("close", resolve));
  assert.deepEqual(answers, [], seen);
  assert.equal(loadConfig({ file: fixture.path("asked.yaml") }).config.method.objective, "dpo");
});
