/** Signals to the commands beside `train`: what each leaves behind, and that no process of it stays. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { Random } from "../../src/base/random.ts";
import { listCheckpoints } from "../../src/runs/checkpoints.ts";
import { amount, campaignSeed, figure, isNightly } from "../support/campaign.ts";
import { type Running, startLaunched } from "../support/command.ts";
import {
  allGone,
  signalCases as cases,
  skipOffLinux as onLinux,
  programOf,
  type Signal,
  send,
  type Target,
} from "../support/launched-signals.ts";
import { runFixture, runTraining } from "../support/runs.ts";
import { isGroupGone, until } from "../support/signalled.ts";
import { makeTinyModel, pairRows, writeRows } from "../support/tiny-model.ts";

const fixture = runFixture({ rows: 8, held: 4 });
after(() => fixture[Symbol.dispose]());
const random = new Random(campaignSeed);
const model = makeTinyModel(fixture.path("patient"), { config: { max_position_embeddings: 32_768 } });
const rows = writeRows(fixture.path("many.jsonl"), pairRows(4000));
// long enough to be stopped in its reading
const large = fixture.path("large.jsonl");
writeFileSync(large, readFileSync(rows, "utf8").repeat(50));
const checked = fixture.path("checked.yaml");
writeFileSync(
  checked,
  `model_name_or_path: ${model}\ntrain_data: ${large}\noutput_dir: ${fixture.path("left")}\n`,
);

/** Starts a server whose engine is at work on an answer of many minutes. */
async function serving(): Promise<{ running: Running; engine: number }> {
  const key = "k";
  const words = [
    "--port",
    "0",
    "--dtype",
    "float32",
    "--threads",
    "1",
    "--api-key",
    key,
    "--drain-timeout",
    "0",
  ];
  const running = startLaunched(["serve", "--model", model, ...words]);
  let log = "";
  running.child.stdout?.on("data", (chunk: Buffer) => {
    log += chunk.toString();
  });
  await running.saw('"event":"engine ready"');
  const url = /"url":"([^"]+)"/.exec(log)?.[1];
  const engine = Number(/"pid":(\d+)/.exec(log)?.[1]);
  const body = JSON.stringify({ model: "patient", prompt: "hi", max_tokens: 32_000, stream: true, n: 4 });
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  const { body: stream } = await fetch(`${url}/v1/completions`, { method: "POST", headers, body });
  void stream?.pipeTo(new WritableStream()).catch(() => {});
  return { running, engine };
}

test(
  "serve: each signal ends it with 0 and its engine with it; twice within a second is once",
  onLinux,
  async () => {
    for (const [signal, target] of isNightly ? cases : cases.slice(2)) {
      const { running } = await serving();
      send(running, signal, target);
      await wait(random.next() * 100);
      if (!isGroupGone(running.child.pid as number)) running.child.kill(signal);
      const { status, stdout, stderr } = await running.ended;
      assert.equal(status, 0, `${signal} to the ${target}: ${stdout} ${stderr}`);
      assert.match(stdout, /"event":"stopped"/);
      await allGone(running);
      if (isNightly) console.log(`serve, ${signal} to the ${target}`);
    }
  },
);

test("serve: SIGKILL of the HTTP process or of the launcher leaves no process", onLinux, async () => {
  const rounds = amount(1, 10);
  for (let round = 0; round < rounds; round++) {
    for (const target of ["program", "launcher"] as const) {
      const { running } = await serving();
      process.kill(target === "program" ? programOf(running) : (running.child.pid as number), "SIGKILL");
      await allGone(running);
      if (isNightly) console.log(`serve, SIGKILL to the ${target}: ${round + 1} of ${rounds}`);
    }
  }
  const what = "SIGKILL to the server's HTTP process, and to its launcher, in the middle of an answer";
  figure(
    16,
    what,
    `${2 * rounds} of ${2 * rounds} left no process, the engine's included`,
    "0 orphans",
    true,
  );
});

test("a sweep that is killed: its run stops with a checkpoint of its last step", onLinux, async () => {
  const rounds = amount(1, 10);
  const values = { ...fixture.values, max_steps: 100_000, logging_steps: 1, warmup_ratio: 0, max_length: 96 };
  const file = fixture.path("sweep.yaml");
  const quiet = { eval_strategy: "no", eval_on_start: false, save_strategy: "no", num_train_epochs: 100_000 };
  writeFileSync(file, `values: ${JSON.stringify({ ...values, ...quiet })}\nparameters:\n  lambda_w: [0.1]\n`);
  for (let round = 0; round < rounds; round++) {
    for (const target of isNightly ? (["program", "launcher"] as const) : (["program"] as const)) {
      const output = fixture.path("sweep");
      const running = startLaunched(["sweep", file, "--output", output]);
      const run = join(output, "runs", "lambda-w-0.1-s1");
      const metrics = join(run, "metrics.jsonl");
      await until(() => existsSync(metrics) && readFileSync(metrics, "utf8").includes("\n"), "a step");
      process.kill(target === "program" ? programOf(running) : (running.child.pid as number), "SIGKILL");
      await allGone(running);
      const last = JSON.parse(readFileSync(metrics, "utf8").trim().split("\n").at(-1) ?? "") as {
        global_step: number;
      };
      assert.deepEqual(
        listCheckpoints(join(run, "checkpoints")).map(({ step }) => step),
        [last.global_step],
      );
      assert.equal(existsSync(join(run, "run.lock")), false);
      rmSync(output, { recursive: true });
      if (isNightly) console.log(`sweep, SIGKILL to the ${target}: ${round + 1} of ${rounds}`);
    }
  }
  figure(
    17,
    "SIGKILL to a sweep or its launcher",
    `${rounds} rounds: the run under way left a checkpoint of its last step and a free lock`,
    "0 lost",
    true,
  );
});

function sizesIn(folder: string): string[] {
  return readdirSync(folder)
    .sort()
    .map((name) => `${name} ${statSync(join(folder, name)).size}`);
}

test(
  "merge: a signal in the middle of its writing leaves nothing, or the whole directory",
  onLinux,
  async () => {
    const config = { hidden_size: 256, intermediate_size: 1024, num_hidden_layers: 6 };
    const base = makeTinyModel(fixture.path("large"), { config });
    const run = {
      ...fixture.values,
      model_name_or_path: base,
      output_dir: fixture.path("run"),
      max_steps: 1,
    };
    await runTraining({ ...run, eval_strategy: "no", eval_on_start: false, use_peft: true, lora_r: 2 });
    const folder = fixture.path("merged");
    mkdirSync(folder);
    let cut = 0;
    const rounds = amount(1, 3);
    const output = join(folder, "out");
    const inputs = ["--model", base, "--adapter", fixture.path("run", "adapter")];
    const words = ["merge", ...inputs, "--output", output, "--threads", "1"];
    assert.equal((await startLaunched(words).ended).status, 0);
    const complete = sizesIn(output);
    rmSync(output, { recursive: true });
    const tried = cases
      .slice(0, amount(1, cases.length))
      .flatMap((each) => Array<[Signal, Target]>(rounds).fill(each));
    for (const [signal, target] of tried) {
      const running = startLaunched(words);
      await until(() => readdirSync(folder).length > 0 || running.child.exitCode !== null, "the writing");
      await wait(random.next() * 50);
      if (!isGroupGone(running.child.pid as number)) send(running, signal, target);
      const { status, stderr } = await running.ended;
      await allGone(running);
      const left = readdirSync(folder);
      const said = `${signal} to the ${target}: ${status} ${left} ${stderr}`;
      assert.ok(status === 0 || status === 128 + constants.signals[signal], said);
      // a signal that comes after the last file is in place and before the end finds it all there
      assert.deepEqual(left, status === 0 || left.length > 0 ? ["out"] : [], said);
      if (left.length > 0) assert.deepEqual(sizesIn(output), complete, said);
      else cut += 1;
      rmSync(output, { recursive: true, force: true });
      if (isNightly) console.log(`merge, ${signal} to the ${target}: ${status}`);
    }
    const reached = `${tried.length} of ${tried.length} left nothing (${cut}) or the whole directory`;
    figure(17, "one signal in the middle of merge's writing", reached, "0 left over", true);
  },
);

/** Commands that leave at once, and what they say when they are at work. */
const leaving: Record<string, { words: (output: string) => string[] | Promise<string[]>; says: string }> = {
  "generate --prompts": {
    words: (output) => [
      "generate",
      "--model",
      model,
      "--prompts",
      rows,
      "--output",
      output,
      "--threads",
      "1",
    ],
    says: "prompts answered",
  },
  score: {
    words: (output) => ["score", "--model", model, "--data", rows, "--output", output, "--threads", "1"],
    says: "rows scored",
  },
  "evaluate diversity": {
    words: (output) => [
      "evaluate",
      "diversity",
      "--model",
      model,
      "--prompts",
      rows,
      "--samples",
      "2",
      "--output",
      output,
    ],
    says: "prompts answered",
  },
  "data check": { words: () => ["data", "check", checked], says: "rows tokenised" },
  scale: {
    words: async () => ["scale", await trained(), "--prompts", "0", "--threads", "1"],
    says: "scales: as many passes",
  },
};

/** A finished run with held-out rows enough for many seconds at each scale. */
async function trained(): Promise<string> {
  const run = fixture.path("scaled");
  if (existsSync(run)) return run;
  const values = {
    ...fixture.values,
    eval_data: rows,
    invalid_rows: "drop",
    eval_strategy: "no",
    max_steps: 1,
  };
  await runTraining({ ...values, eval_on_start: false, use_peft: true, lora_r: 2, output_dir: run });
  return run;
}

test("commands that leave at once leave nothing half-written and no process", onLinux, async () => {
  let runs = 0;
  const names = Object.keys(leaving);
  for (const [i, [signal, target]] of cases.entries()) {
    for (const name of names.filter((_, k) => isNightly || k % cases.length === i)) {
      const { words, says } = leaving[name] ?? assert.fail(name);
      const output = fixture.path("left", "out.jsonl");
      const running = startLaunched(await words(output));
      await Promise.race([running.said(says), running.saw(says)]);
      await wait(random.next() * 200);
      send(running, signal, target);
      const { status, signal: by } = await running.ended;
      const number = constants.signals[signal];
      const isRight = by === signal || status === 128 + number;
      assert.ok(isRight, `${name}, ${signal} to the ${target}: ${status} ${by}`);
      await allGone(running);
      const left = existsSync(fixture.path("left")) ? readdirSync(fixture.path("left")) : [];
      // the answers so far, which the same command goes on with, and the lock that it takes over
      assert.deepEqual(
        left.filter((file) => !/\.(partial(\.jsonl)?|lock)$/.test(file)),
        [],
        `${name}, ${signal} to the ${target}`,
      );
      rmSync(fixture.path("left"), { recursive: true, force: true });
      runs += 1;
      if (isNightly) console.log(`${name}, ${signal} to the ${target}`);
    }
  }
  assert.equal(existsSync(join(await trained(), "scale.json")), false);
  figure(
    17,
    `one signal to ${names.join(", ")}`,
    `${runs} of ${runs} left at once: no half file, no process`,
    "0 left over",
    true,
  );
});
