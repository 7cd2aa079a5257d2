/**
 * Rows 5 and 7 for judgments that were paid for: SQLite writes them, so a shim before the C library lets its system calls fail, and
 * logs them for power cuts at every moment. No judgment that was kept is lost by either.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { Random } from "../../src/base/random.ts";
import { JudgmentStore } from "../../src/evaluate/judge/judgment-store.ts";
import { amount, campaignSeed, figure, isNightly } from "../support/campaign.ts";
import { textOf } from "../support/faulty-judgments.ts";
import { Disk, type DiskState, fates, type Op, stateKey, writeState } from "../support/power-loss.ts";
import { compileShim } from "../support/shim.ts";
import { temporaryDirectory } from "../support/tiny-models.ts";

const dir = temporaryDirectory();
after(() => dir[Symbol.dispose]());
const shim = join(dir.path, "shim.so");

const skip = compileShim("fault-shim.c", shim);

/** Runs the child with the shim before it. */
function shimmed(mode: "faults" | "log", env: Record<string, string>): string {
  const program = join(import.meta.dirname, "../support/faulty-judgments.ts");
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, mode], {
    encoding: "utf8",
    env: { ...process.env, ...env, LD_PRELOAD: shim },
  });
  assert.equal(status, 0, stderr);
  return stdout;
}

test("each system call of keeping judgments fails once", { skip }, () => {
  const root = join(dir.path, "faults");
  mkdirSync(root);
  const { calls, wrong } = JSON.parse(shimmed("faults", { FAULT_ROOT: root }));
  assert.deepEqual(wrong.slice(0, 5), []);
  figure(
    5,
    "judgments: each system call of SQLite fails once (EIO, ENOSPC with a half write, EDQUOT, EROFS, EMFILE)",
    `${calls} failures, 0 judgments lost, all told with path and status 5`,
    "100 % of calls",
    calls > 100 && wrong.length === 0,
  );
});

/** The shim's log as operations, and which judgments were kept after how many of them. */
function readLog(path: string): { ops: Op[]; kept: { at: number; key: string }[] } {
  const bytes = readFileSync(path);
  const ops: Op[] = [];
  const kept: { at: number; key: string }[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(10, at);
    const [kind, offset, length, name] = bytes.subarray(at, end).toString().split(" ") as [
      string,
      string,
      string,
      string,
    ];
    const data = Buffer.from(bytes.subarray(end + 1, end + 1 + Number(length)));
    at = end + 1 + data.length;
    if (kind === "mark") kept.push({ at: ops.length, key: name });
    else if (kind === "write") ops.push({ kind, path: name, at: Number(offset), data });
    else if (kind === "truncate") ops.push({ kind, path: name, bytes: Number(offset) });
    else ops.push({ kind: kind as "create" | "remove" | "sync", path: name });
  }
  return { ops, kept };
}

/** What is wrong with the judgments on a disk after a power cut. */
function problemOf(state: DiskState, keys: readonly string[]): string | null {
  const place = join(dir.path, "cut");
  writeState(place, state);
  try {
    using store = new JudgmentStore(join(place, "judgments.sqlite"));
    const lost = keys.filter((key) => store.get(key)?.text !== textOf(key));
    if (lost.length > 0) return `lost: ${lost}`;
    const label = { model: "rule", messages: "[]" };
    store.put("after", label, { text: "after", finishReason: null, usage: null });
    return store.get("after")?.text === "after" ? null : "nothing can be added";
  } catch (error) {
    return (error as Error).message;
  } finally {
    rmSync(place, { recursive: true });
  }
}

test("a power cut at any moment loses no judgment that was kept", { skip }, () => {
  const root = join(dir.path, "disk");
  const log = join(dir.path, "log");
  mkdirSync(root);
  shimmed("log", { FAULT_ROOT: root, FAULT_LOG: log });
  const { ops, kept } = readLog(log);
  assert.deepEqual(
    kept.map(({ key }) => key),
    ["one", "two", "three", "four", "five"],
  );
  const disk = new Disk();
  const random = new Random(campaignSeed);
  const seen = new Set<string>();
  const bad: string[] = [];
  for (let at = 0; at <= ops.length; at++) {
    const keys = kept.filter((each) => each.at <= at).map(({ key }) => key);
    for (const fate of fates(random, amount(1, 30))) {
      const state = disk.cut(fate);
      const key = `${keys.length} ${stateKey(state)}`;
      if (seen.has(key)) continue;
      seen.add(key);
      const problem = problemOf(state, keys);
      if (problem !== null) bad.push(`after operation ${at}: ${problem}`);
    }
    const op = ops[at];
    if (op !== undefined) disk.do(op);
    if (isNightly && at % 20 === 0)
      console.log(`judgments: ${at} of ${ops.length} operations, ${seen.size} states`);
  }
  assert.deepEqual(bad.slice(0, 5), []);
  figure(
    7,
    `power cut after each of ${ops.length} writes and syncs of 5 judgments`,
    `${seen.size} distinct states, 0 judgments lost that were kept`,
    "100 % recover",
    bad.length === 0,
  );
});
