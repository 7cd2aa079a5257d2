/** Tests of task.ts, child.ts and failure.ts with a program that does as it is told (test/support/task-child.ts). */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { ChildFailure } from "./failure.ts";
import { runTask, type TaskOptions } from "./task.ts";

const program = join(import.meta.dirname, "../../test/support/task-child.ts");

function run(what: string, options: Partial<TaskOptions<string>> = {}): Promise<unknown> {
  return runTask({ what }, { program, isSilent: true, onAbort: "stop", ...options });
}

const failed = (kind: string | null, exitCode: number, message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof ChildFailure);
  assert.deepEqual([error.kind, error.exitCode], [kind, exitCode]);
  assert.match(error.message, message);
  return true;
};

test("a task's events and its result come over, with what JSON has no form for", async () => {
  const events: string[] = [];
  const result = await run("give", { onEvent: (event) => events.push(event) });
  assert.deepEqual(result, { number: Number.NaN, set: new Set([1]) });
  assert.deepEqual(events, ["began"]);
});

test("a task that fails says which error it was; one that dies, how, and what it wrote", async () => {
  await assert.rejects(run("refuse"), failed("DataError", 4, /^row 3 is wrong\.$/));
  await assert.rejects(run("bug"), failed("TypeError", 1, /no such thing\n +at /));
  await assert.rejects(run("die"), failed(null, 1, /^its process ended by SIGKILL\. last words$/));
  await assert.rejects(
    run("give", { program: `${program}.missing` }),
    failed(null, 1, /ended with status 1\. /),
  );
});

test("an abort asks the task to stop, or kills its process", async () => {
  for (const isEarly of [true, false]) {
    for (const onAbort of ["stop", "kill"] as const) {
      const abort = new AbortController();
      if (isEarly) abort.abort();
      const end = run("wait", { onAbort, signal: abort.signal, onEvent: () => abort.abort() });
      if (onAbort === "kill") await assert.rejects(end, failed(null, 1, /^its process ended by SIGKILL/));
      else assert.equal(await end, "stopped");
    }
  }
});
