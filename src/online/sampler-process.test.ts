/** Tests of sampler-process.ts with a program that dies after some tasks (test/support/dying-sampler-child.ts). */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { isRunning } from "../base/process-state.ts";
import { ChildFailure } from "../process/failure.ts";
import type { SamplerSettings, SamplerTask } from "./sampler-messages.ts";
import { SamplerProcess } from "./sampler-process.ts";

const program = join(import.meta.dirname, "../../test/support/dying-sampler-child.ts");
const task: SamplerTask = { type: "rollout", request: { round: 0, step: 0, prompts: [] }, weights: "" };

/** A process that dies at its task number `tasks` + 1. */
function started(tasks: number): SamplerProcess {
  const settings = {
    config: { max_steps: tasks },
    matmul: null,
    stopIds: new Set(),
  } as unknown as SamplerSettings;
  return new SamplerProcess({ program, settings, policy: { firstDelayMs: 1, maxDelayMs: 1 } });
}

test("tasks of a process that died are given to another, which is reported", async () => {
  await using sampler = started(2);
  const results = [1, 2, 3, 4, 5].map(() => sampler.ask<number>(task).result);
  assert.deepEqual(await Promise.all(results), [0, 1, 2, 3, 4]);
  const notes = sampler.takeNotes();
  assert.equal(notes.length, 2);
  assert.match(notes[0] ?? "", /^the sampling process ended by SIGKILL/);
});

test("a process that never does a task is given up, by name; later tasks fail at once", async () => {
  await using sampler = started(0);
  const failed = (error: unknown) => {
    assert.ok(error instanceof ChildFailure);
    assert.match(
      error.message,
      /^the sampling process ended by SIGKILL, 3 times in a row .* max_staleness: 0/,
    );
    return true;
  };
  await assert.rejects(sampler.ask(task).result, failed);
  await assert.rejects(sampler.ask(task).result, failed);
});

test("the process ends when it is disposed of", async () => {
  let pid: number | null;
  {
    await using sampler = started(9);
    await sampler.ask(task).result;
    pid = sampler.pid;
  }
  assert.ok(pid !== null && !isRunning(pid));
});
