/** Tests of process-state.ts */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { cpuMsOf, isRunning, startOf } from "./process-state.ts";

test("this process runs; one that has ended, and a number that none has, do not", async () => {
  assert.equal(isRunning(process.pid), true);
  const child = spawn(process.execPath, ["--version"], { stdio: "ignore" });
  await once(child, "close");
  assert.equal(isRunning(child.pid ?? 0), false);
  assert.equal(isRunning(999_999_999), false);
  assert.equal(isRunning(Number.NaN), false);
});

test("start and computing time of a process, where the system tells", {
  skip: process.platform !== "linux",
}, () => {
  assert.match(startOf(process.pid) ?? "", /^\d+$/);
  assert.equal(startOf(process.pid, process.pid), startOf(process.pid));
  assert.ok((cpuMsOf(process.pid) ?? 0) > 0);
  assert.equal(startOf(999_999_999), null);
  assert.equal(cpuMsOf(999_999_999), null);
});
