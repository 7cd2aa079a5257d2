/** The sampling process of a run with `max_staleness` 1: stopped, killed, orphaned, and what only it can find wrong. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { isRunning } from "../../src/base/process-state.ts";
import { startJudge } from "../support/judge-server.ts";
import { onlineFixture } from "../support/online-run.ts";
import {
  assertSameRun,
  childEnd,
  cutBack,
  notesOf,
  runTraining,
  trainInChild,
  type Values,
} from "../support/runs.ts";

const fixture = onlineFixture();
after(() => fixture[Symbol.dispose]());
const steps = 5;
/** Says which process started it: the one that samples. It is slower than a step, so that the run waits for it. */
const pidFile = fixture.path("sampler-pid");
const module = fixture.path("slow.mjs");
writeFileSync(
  module,
  `import { renameSync, writeFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
export async function slow({ completion_ids }) {
  writeFileSync(${JSON.stringify(pidFile)} + process.pid, String(process.ppid));
  renameSync(${JSON.stringify(pidFile)} + process.pid, ${JSON.stringify(pidFile)});
  await setTimeout(100);
  return completion_ids.map((ids) => ids.filter((id) => id % 2 === 0).length / ids.length);
}
`,
);
const samplerPid = (): number => Number(readFileSync(pidFile, "utf8"));
const recipe: Values = {
  ...fixture.online,
  ...{ max_steps: steps, max_staleness: 1, learning_rate: 5e-3, reward_funcs: [`${module}#slow`] },
};
const whole = fixture.path("whole");
await runTraining({ ...recipe, output_dir: whole });

test("nothing of it is left when the run has ended", () => {
  assert.ok(!isRunning(samplerPid()));
  assert.ok(!existsSync(join(whole, "sampler")));
});

for (const at of ["sampling", "scoring", "step", "export"] as const) {
  test(`stopped by a signal while ${at}, and resumed`, async () => {
    const dir = fixture.path(`stopped-${at}`);
    const stop = new AbortController();
    await runTraining(
      { ...recipe, output_dir: dir },
      {
        signal: stop.signal,
        onWork: (work) => {
          if (work.at === at && work.step >= 3) stop.abort();
        },
      },
    );
    assert.ok(stop.signal.aborted);
    assert.ok(!isRunning(samplerPid()));
    if (at !== "export") {
      await runTraining({ ...recipe, output_dir: dir, resume_from_checkpoint: "latest" });
    }
    assertSameRun(dir, whole, steps);
  });
}

test("killed, it is started again and the run continues; a terminal's Ctrl-C it leaves to the run", async () => {
  const dir = fixture.path("killed");
  const record = await runTraining(
    { ...recipe, output_dir: dir },
    {
      onEvent: (event) => {
        if (event.type === "step" && event.step === 1) process.kill(samplerPid(), "SIGINT");
        if (event.type === "step" && event.step === 3) process.kill(samplerPid(), "SIGKILL");
      },
    },
  );
  assertSameRun(dir, whole, steps);
  const notes = notesOf(record).filter((text) => text.includes("sampling process"));
  assert.equal(notes.length, 1);
  assert.match(notes[0] ?? "", /ended by SIGKILL/);
});

test("it does not outlive a run that was killed, which is resumed to the bit", {
  timeout: 600_000,
}, async () => {
  const dir = fixture.path("orphan");
  const child = trainInChild({ ...recipe, output_dir: dir });
  child.stdout.on("data", (text: Buffer) => {
    if (/^3 /m.test(text.toString())) child.kill("SIGKILL");
  });
  assert.equal((await childEnd(child)).signal, "SIGKILL");
  const pid = samplerPid();
  while (isRunning(pid)) await delay(20);
  await runTraining({ ...recipe, output_dir: dir, resume_from_checkpoint: "latest" });
  assertSameRun(dir, whole, steps);
});

test("a judge's marks are paid for once, over a resume too; a spent budget stops the run with a checkpoint", async () => {
  await using judge = await startJudge(({ text }) => `Rating: [[${1 + (text.length % 10)}]]`);
  const { reward_workers: _, ...rest } = recipe;
  const judged = { ...rest, reward_funcs: null, judge: `${judge.baseUrl}#marker`, max_steps: 3 };
  const dir = fixture.path("judged");
  await runTraining({ ...judged, output_dir: dir });
  const paid = judge.calls.length;
  const cut = cutBack(dir, fixture.path("judged-cut"), 1);
  await runTraining({ ...judged, output_dir: cut, resume_from_checkpoint: "latest" });
  assertSameRun(cut, dir, 3);
  assert.equal(judge.calls.length, paid);

  const spent = fixture.path("spent");
  const record = await runTraining({ ...judged, output_dir: spent, judge_budget: { requests: 10 } });
  assert.deepEqual([record.summary.reason, record.summary.step], ["stopped", 1]);
  assert.ok(notesOf(record).some((text) => /^stopped: .*budget/.test(text)));
  await runTraining({ ...judged, output_dir: spent, resume_from_checkpoint: "latest" });
  assertSameRun(spent, dir, 3);
});

test("what cannot be opened in it ends the run before anything is sampled", async () => {
  const { reward_workers: _, ...rest } = recipe;
  const values = {
    ...{ ...rest, output_dir: fixture.path("refused"), reward_funcs: null },
    ...{ judge: "http://127.0.0.1:9/v1#marker", judge_budget: { money: 1 } },
  };
  await assert.rejects(runTraining(values), /judge_budget: money is limited, but the judge has no price/);
  assert.ok(!existsSync(fixture.path("refused", "rollouts.jsonl.gz")));
});

for (const [objective, more] of [
  ["rloo", { importance_sampling_mode: "sequence_truncate" }],
  ["ppo", { num_ppo_epochs: 2, kl_coef: 0 }],
  ["slime", {}],
] as const) {
  test(`${objective} learns from rollouts ahead`, async () => {
    const dir = fixture.path(objective);
    const { events } = await runTraining({
      ...{ ...recipe, output_dir: dir, objective, max_steps: 3, reward_funcs: [`${fixture.rewards}#even`] },
      ...more,
    });
    const rows = events.flatMap((event) => (event.type === "log" ? [event.row] : []));
    assert.ok(rows.every((row) => Number.isFinite(row["loss"])) && rows.length === 3);
    const isWeighted = "sampling/importance_sampling_ratio/mean" in (rows[2] ?? {});
    assert.equal(isWeighted, objective === "rloo" || objective === "ppo");
  });
}
