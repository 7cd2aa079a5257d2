/** Signals are answered while JavaScript computes; each program here blocks its event loop until the test lets it go on. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type Running, startProgram } from "../../test/support/command.ts";

/** A program that watches, says "watching", and then computes without a pause until `file` is there. */
function program(file: string, notice: string, windowMs: number): string {
  return `
import { existsSync } from "node:fs";
import { watchStopSignals } from ${JSON.stringify(join(import.meta.dirname, "signal-watch.ts"))};
const stop = watchStopSignals(${windowMs});
stop.${notice};
console.log("watching");
while (!existsSync(${JSON.stringify(file)}));
stop.say("next");
console.log(stop.signal.aborted ? "heard before the next" : "not heard before the next");
stop.say("the one after it");
setImmediate(() => {
  console.log(stop.signal.aborted ? "heard" : "not heard");
  stop[Symbol.dispose]();
});
`;
}

interface Watching {
  running: Running;
  /** Lets the program's loop end. */
  goOn: () => void;
}

async function watching(t: TestContext, notice: string, windowMs: number): Promise<Watching> {
  const folder = mkdtempSync(join(tmpdir(), "preftune-signals-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const go = join(folder, "go");
  const running = startProgram(["--input-type=module-typescript", "-e", program(go, notice, windowMs)]);
  await running.saw("watching");
  return { running, goOn: () => writeFileSync(go, "") };
}

const forever = 1e9;

test("the first signal is answered while a step computes, and heard after it", async (t) => {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    const { running, goOn } = await watching(t, `say("stopping after step 9; again to leave at once")`, 1000);
    running.child.kill(signal);
    // the program cannot have gone on: it waits for what comes next
    await running.said("stopping after step 9; again to leave at once");
    goOn();
    const { status, stdout } = await running.ended;
    assert.equal(status, 0);
    // whoever looks before the next step begins knows, though the event loop has not turned
    assert.match(stdout, /^heard before the next$/m);
    assert.match(stdout, /^heard$/m);
  }
});

test("without a signal nothing is heard", async (t) => {
  const { running, goOn } = await watching(t, `say("stopping")`, 1000);
  goOn();
  const { stdout } = await running.ended;
  assert.match(stdout, /^not heard before the next$/m);
  assert.match(stdout, /^not heard$/m);
});

test("a second signal ends the process while a step computes", async (t) => {
  const { running } = await watching(t, `say("stopping")`, 0);
  running.child.kill("SIGINT");
  await running.said("stopping");
  running.child.kill("SIGINT");
  const { status, stdout } = await running.ended;
  assert.equal(status, 130);
  assert.doesNotMatch(stdout, /heard/);
});

test("a signal that comes twice at once, from a terminal and a launcher, is one", async (t) => {
  const { running, goOn } = await watching(t, `say("stopping")`, forever);
  running.child.kill("SIGINT");
  await running.said("stopping");
  running.child.kill("SIGINT");
  goOn();
  const { status, stderr } = await running.ended;
  assert.equal(status, 0);
  assert.equal(stderr.match(/stopping/g)?.length, 1);
});

test("where there is nothing to finish, the first signal ends the process", async (t) => {
  const { running } = await watching(t, `leave("stopped before the first step")`, 1000);
  running.child.kill("SIGINT");
  const { status, stderr } = await running.ended;
  assert.equal(status, 130);
  assert.match(stderr, /stopped before the first step/);
});

/** Sends `signal` from a process that is not the program's parent. */
function sendFromElsewhere(signal: string, pid: number): void {
  assert.equal(spawnSync("sh", ["-c", `kill -${signal} ${pid}`]).status, 0);
}

test("what the parent passes on, however late, is the signal that came before it", async (t) => {
  const { running, goOn } = await watching(t, `say("stopping")`, 0);
  sendFromElsewhere("INT", running.child.pid as number);
  await running.said("stopping");
  running.child.kill("SIGINT");
  goOn();
  const { status, stderr } = await running.ended;
  assert.equal(status, 0);
  assert.equal(stderr.match(/stopping/g)?.length, 1);
});

test("a second signal of the parent leaves, with the status of its own", async (t) => {
  const { running } = await watching(t, `say("stopping")`, 0);
  running.child.kill("SIGHUP");
  await running.said("stopping");
  running.child.kill("SIGTERM");
  assert.equal((await running.ended).status, 143);
});

test("a signal that comes on the way out, before Node has told of the first, ends nothing", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "preftune-signals-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const [first, second] = ["first", "second"].map((name) => join(folder, name)) as [string, string];
  const text = `
import { existsSync } from "node:fs";
import { watchStopSignals } from ${JSON.stringify(join(import.meta.dirname, "signal-watch.ts"))};
const stop = watchStopSignals();
stop.say("stopping");
console.log("watching");
while (!existsSync(${JSON.stringify(first)}));
stop.say("next");
stop[Symbol.dispose]();
console.log("on the way out");
while (!existsSync(${JSON.stringify(second)}));
process.exit(0);
`;
  const running = startProgram(["--input-type=module-typescript", "-e", text]);
  await running.saw("watching");
  running.child.kill("SIGTERM");
  await running.said("stopping");
  writeFileSync(first, "");
  await running.saw("on the way out");
  running.child.kill("SIGTERM");
  writeFileSync(second, "");
  const { status, signal } = await running.ended;
  assert.deepEqual([status, signal], [0, null]);
});

test("a hangup is never a second signal", async (t) => {
  const { running, goOn } = await watching(t, `say("stopping")`, 0);
  for (const signal of ["SIGTERM", "SIGHUP", "SIGHUP"] as const) {
    running.child.kill(signal);
    await running.said("stopping");
  }
  goOn();
  assert.equal((await running.ended).status, 0);
});
