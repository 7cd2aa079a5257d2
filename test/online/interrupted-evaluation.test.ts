/** An evaluation that a signal or a spent budget interrupts: the run stops with a checkpoint, and the resumed one makes it up. */
import assert from "node:assert/strict";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, test } from "node:test";
import { onlineFixture } from "../support/online-run.ts";
import { assertSameRun, notesOf, runTraining, type Values } from "../support/runs.ts";

const fixture = onlineFixture({ held: 3 });
after(() => fixture[Symbol.dispose]());
const steps = 3;
const recipe: Values = {
  ...fixture.online,
  ...{
    max_steps: steps,
    eval_strategy: "steps",
    eval_steps: 1,
    eval_on_start: true,
    watch_prompts: null,
    lr_scheduler_type: "constant",
  },
};

/** Scores as `even` does; waits where the held-out prompts are scored for the time that the file `wait` is there. */
const wait = fixture.path("wait");
const rewards = fixture.path("waiting.mjs");
writeFileSync(
  rewards,
  `import { existsSync, writeFileSync } from "node:fs";
const scores = (ids) => ids.filter((id) => id % 2 === 0).length / Math.max(1, ids.length);
export async function even({ completion_ids, columns, step }) {
  if (columns.limit[0] >= 10 && existsSync(${JSON.stringify(wait)} + step)) {
    writeFileSync(${JSON.stringify(fixture.path("waits"))}, "");
    for (;;) await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  return completion_ids.map(scores);
}
`,
);

for (const step of [0, 2]) {
  test(`a signal in the evaluation after step ${step} is answered in it`, async () => {
    const waiting = { ...recipe, reward_funcs: [`${rewards}#even`], reward_timeout: 60 };
    const [whole, dir] = [fixture.path(`whole ${step}`), fixture.path(`signal ${step}`)];
    await runTraining({ ...waiting, output_dir: whole });
    writeFileSync(`${wait}${step}`, "");
    const stop = new AbortController();
    const timer = setInterval(() => existsSync(fixture.path("waits")) && stop.abort(), 50);
    const record = await runTraining({ ...waiting, output_dir: dir }, { signal: stop.signal }).finally(() =>
      clearInterval(timer),
    );
    for (const name of [`wait${step}`, "waits"]) rmSync(fixture.path(name));
    assert.deepEqual([record.summary.reason, record.summary.step], ["stopped", step]);
    await runTraining({ ...waiting, output_dir: dir, resume_from_checkpoint: "latest" });
    assertSameRun(dir, whole, steps);
  });
}

test("an evaluation that is made up and finds the model collapsed ends the run, after its last step too", async () => {
  const bounded = {
    ...recipe,
    ...{ reward_funcs: [`${rewards}#even`], reward_timeout: 60, eval_on_start: false, learning_rate: 0.05 },
    ...{ watch_action: "stop", watch_thresholds: { kl: 1e-9, chosen_fall: null } },
  };
  const rest = { ...bounded, eval_steps: 2, max_steps: 2 };
  const dir = fixture.path("collapsed");
  writeFileSync(`${wait}2`, "");
  const stop = new AbortController();
  const timer = setInterval(() => existsSync(fixture.path("waits")) && stop.abort(), 50);
  const record = await runTraining({ ...rest, output_dir: dir }, { signal: stop.signal }).finally(() =>
    clearInterval(timer),
  );
  for (const name of ["wait2", "waits"]) rmSync(fixture.path(name));
  assert.deepEqual([record.summary.reason, record.summary.step], ["stopped", 2]);
  const { summary } = await runTraining({ ...rest, output_dir: dir, resume_from_checkpoint: "latest" });
  assert.deepEqual([summary.reason, summary.step, summary.exported], ["collapsed", 2, []]);
});

test("a judge's budget that is spent in an evaluation stops the run as in training", async () => {
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (part) => (body += part));
    request.on("end", () => {
      const message = { role: "assistant", content: `Rating: [[${1 + (body.length % 10)}]]` };
      const usage = { prompt_tokens: 10, completion_tokens: 5 };
      response
        .writeHead(200, { "content-type": "application/json" })
        .end(JSON.stringify({ choices: [{ message, finish_reason: "stop" }], usage }));
    });
  });
  server.listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  using _ = { [Symbol.dispose]: () => void server.close() };
  const { port } = server.address() as AddressInfo;
  const { reward_workers: _workers, ...rest } = recipe;
  const judged = { ...rest, reward_funcs: null, judge: `http://127.0.0.1:${port}/v1#marker` };
  const whole = fixture.path("whole judged");
  await runTraining({ ...judged, output_dir: whole });
  // 8 completions a step; 12 an evaluation
  for (const [requests, step] of [
    [4, 0],
    [24, 1],
  ] as const) {
    const dir = fixture.path(`spent ${step}`);
    const record = await runTraining({ ...judged, output_dir: dir, judge_budget: { requests } });
    assert.deepEqual([record.summary.reason, record.summary.step], ["stopped", step], notesOf(record).join());
    assert.match(notesOf(record).join("\n"), /stopped: judge_budget does not suffice .* Raise it and resume/);
    await runTraining({ ...judged, output_dir: dir, resume_from_checkpoint: "latest" });
    assertSameRun(dir, whole, steps);
  }
});
