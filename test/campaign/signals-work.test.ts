/** Signals to commands that have a program or a training of theirs at work: it ends with them, and nothing half-written stays. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { listCheckpoints } from "../../src/runs/checkpoints.ts";
import { figure, isNightly } from "../support/campaign.ts";
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
import { runFixture } from "../support/runs.ts";
import { until } from "../support/signalled.ts";
import { roundFixture } from "../support/tiny-round.ts";

const fixture = runFixture({ rows: 8, held: 4 });
after(() => fixture[Symbol.dispose]());
const model = String(fixture.values["model_name_or_path"]);
const rounds = roundFixture();
after(() => rounds[Symbol.dispose]());

test(
  "export gguf: a signal ends llama-quantize as well and leaves nothing; what SIGKILL leaves the next one removes",
  onLinux,
  async () => {
    const folder = fixture.path("gguf");
    mkdirSync(folder);
    const program = (name: string, line: string): string => {
      writeFileSync(fixture.path(name), `#!/bin/sh\n${line}\n`, { mode: 0o755 });
      return fixture.path(name);
    };
    // as the program does, it writes a line for each tensor
    const slow = program("slow", 'echo begun > "$2"; while echo a tensor; do sleep 0.1; done');
    const begin = (quantizer: string): Running => {
      const given = ["--type", "q4_k_m", "--llama-quantize", quantizer, "--threads", "1"];
      return startLaunched(["export", "gguf", model, ...given, "--output", join(folder, "out.gguf")]);
    };
    const atWork = ({ child }: Running) =>
      until(() => readdirSync(folder).length === 2 || child.exitCode !== null, "llama-quantize");
    const short: [Signal, Target][] = [
      ["SIGTERM", "program"],
      ["SIGINT", "group"],
    ];
    const tried = isNightly ? cases : short;
    for (const [signal, target] of tried) {
      const running = begin(slow);
      await atWork(running);
      send(running, signal, target);
      const { status, stderr } = await running.ended;
      assert.equal(status, 128 + constants.signals[signal], `${signal} to the ${target}: ${stderr}`);
      assert.match(stderr, /stopped; nothing is left of what was being written/);
      await allGone(running);
      assert.deepEqual(readdirSync(folder), [], `${signal} to the ${target}`);
      if (isNightly) console.log(`export gguf, ${signal} to the ${target}`);
    }
    if (isNightly) {
      const killed = begin(slow);
      await atWork(killed);
      process.kill(programOf(killed), "SIGKILL");
      await allGone(killed);
      assert.equal(readdirSync(folder).length, 2);
      assert.equal((await begin(program("failing", "exit 1")).ended).status, 3);
      assert.deepEqual(readdirSync(folder), []);
    }
    const reached = `${tried.length} of ${tried.length} left nothing, llama-quantize included`;
    figure(17, "one signal to export gguf in llama-quantize", reached, "0 left over", true);
  },
);

/** Commands that train: how each is begun, and where its run is. */
const training: Record<string, (dir: string) => { words: string[]; run: string }> = {
  round(dir) {
    const { values, ...round } = JSON.parse(rounds.roundText({ output_dir: dir, reward_funcs: ["length"] }));
    const file = fixture.path("round.yaml");
    const endless = { max_steps: 100_000, eval_strategy: "no", eval_on_start: false, save_strategy: "no" };
    const { eval_steps: _, ...kept } = values;
    writeFileSync(file, JSON.stringify({ ...round, values: { ...kept, ...endless, logging_steps: 1 } }));
    return { words: ["round", file], run: join(dir, "run") };
  },
  study(dir) {
    const { train_data, eval_data } = fixture.values as Record<string, string>;
    const given = ["--model", model, "--data", train_data ?? "", "--eval-data", eval_data ?? ""];
    const endless = ["--max_steps", "100000", "--logging_steps", "1", "--save_strategy", "no"];
    const words = [
      "study",
      "anchoring",
      ...given,
      "--jobs",
      "1",
      "--seeds",
      "1",
      "--output",
      dir,
      ...endless,
    ];
    return { words, run: join(dir, "runs") };
  },
};

test("round and study: a signal in a training ends it with a checkpoint", {
  skip: isNightly ? onLinux.skip : "in full only: each waits for a training to begin",
}, async () => {
  for (const [name, begin] of Object.entries(training)) {
    for (const [signal, target] of cases) {
      const dir = fixture.path("stopped");
      const { words, run } = begin(dir);
      const running = startLaunched(words);
      const runOf = (): string =>
        name === "round" ? run : join(run, existsSync(run) ? (readdirSync(run)[0] ?? "") : "");
      const metrics = () => join(runOf(), "metrics.jsonl");
      await until(
        () =>
          running.child.exitCode !== null ||
          (existsSync(metrics()) && readFileSync(metrics(), "utf8").includes("\n")),
        "a step",
      );
      send(running, signal, target);
      const { status, stdout, stderr } = await running.ended;
      await allGone(running);
      assert.equal(status, 0, `${name}, ${signal} to the ${target}: ${stdout} ${stderr}`);
      assert.equal(listCheckpoints(join(runOf(), "checkpoints")).length, 1, `${name}: ${stdout} ${stderr}`);
      assert.equal(existsSync(join(runOf(), "run.lock")), false);
      rmSync(dir, { recursive: true });
      console.log(`${name}, ${signal} to the ${target}`);
    }
  }
  const reached = `${2 * cases.length} of ${2 * cases.length} stopped with a checkpoint and a free lock`;
  figure(17, "one signal to round and study in a training", reached, "0 lost", true);
});
