/** Two processes that find the same lock left behind, in every order that their system calls can come in. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { io } from "../base/file-io.ts";
import { HeldFile } from "../base/lock-file.ts";
import { lockHolder, RunLock, RunLockedError, stopHolder } from "./run-lock.ts";

const root = mkdtempSync(join(tmpdir(), "preftune-lock-"));
after(() => rmSync(root, { recursive: true }));

const dead = spawnSync("true").pid;
const leftBehind = JSON.stringify({ pid: dead, host: hostname(), started: null });

/** The lock, or null where it is held. */
function tryTake(path: string): RunLock | null {
  try {
    return new RunLock(path);
  } catch (error) {
    if (error instanceof RunLockedError) return null;
    throw error;
  }
}

/** Does `work`, and `other` before the `n`-th system call of it; whether there were so many. */
function interrupted<T>(n: number, work: () => T, other: () => void): { result: T; wasReached: boolean } {
  const whole = { ...io };
  let calls = 0;
  for (const name of ["openSync", "writeSync", "fsyncSync", "closeSync", "renameSync", "rmSync"] as const) {
    const call = whole[name] as (...args: unknown[]) => unknown;
    Object.assign(io, {
      [name]: (...args: unknown[]) => {
        calls += 1;
        if (calls === n) {
          Object.assign(io, whole);
          other();
        }
        return call(...args);
      },
    });
  }
  try {
    return { result: work(), wasReached: calls >= n };
  } finally {
    Object.assign(io, whole);
  }
}

test("of two that find a lock left behind, one takes it over, whenever the other comes in between", () => {
  const path = join(root, "run.lock");
  let n = 1;
  for (let goesOn = true; goesOn; n++) {
    writeFileSync(path, leftBehind);
    let other: RunLock | null = null;
    const first = interrupted(
      n,
      () => tryTake(path),
      () => {
        other = tryTake(path);
      },
    );
    const held = [first.result, other as RunLock | null].filter((lock) => lock !== null);
    assert.equal(held.length, 1, `call ${n}`);
    assert.ok(
      readFileSync(path, "utf8").includes(`"pid":${process.pid}`),
      `call ${n}: the lock names its holder`,
    );
    held[0]?.release();
    assert.ok(!existsSync(path) && !existsSync(`${path}.taking`));
    goesOn = first.wasReached;
  }
  assert.ok(n > 5, "system calls were seen");
});

test("a process that was killed while it took a lock over is no obstacle", () => {
  const path = join(root, "half.lock");
  writeFileSync(path, leftBehind);
  writeFileSync(`${path}.taking`, leftBehind);
  assert.throws(() => new RunLock(path), RunLockedError);
  utimesSync(`${path}.taking`, 0, 0);
  new RunLock(path).release();
  assert.ok(!existsSync(`${path}.taking`));
});

test("a lock of another host is taken over from an earlier start of the same job alone; else the message says what to do, and that works", () => {
  const path = join(root, "o'clock.lock");
  const held = { pid: 812, host: "host-a", started: "1" };
  const first = { id: "Slurm 17", restarts: 0 };
  for (const [job, own] of [
    [first, null],
    [first, first],
    [first, { id: "Slurm 18", restarts: 1 }],
    [
      { id: "Slurm 17", restarts: 2 },
      { id: "Slurm 17", restarts: 1 },
    ],
    [
      { id: null, restarts: 0 },
      { id: null, restarts: 1 },
    ],
    // of an earlier version
    [undefined, { id: "Slurm 17", restarts: 1 }],
  ] as const) {
    writeFileSync(path, JSON.stringify({ ...held, job }));
    let message = "";
    assert.throws(
      () => new RunLock(path, own),
      (error: unknown) => {
        message = (error as Error).message;
        return error instanceof RunLockedError;
      },
    );
    assert.match(
      message,
      /written by process 812 on host-a, which cannot be looked up from here\. If that process is gone/,
    );
    const remedy = /\((rm .*)\) and start again\.$/.exec(message)?.[1] ?? assert.fail(message);
    assert.equal(spawnSync("sh", ["-c", remedy]).status, 0);
    new RunLock(path, own).release();
  }
  writeFileSync(path, JSON.stringify({ ...held, job: first }));
  const lock = new RunLock(path, { id: "Slurm 17", restarts: 1 });
  assert.match(lock.note ?? "", /left locked by process 812 on host-a, which is gone/);
  assert.deepEqual(JSON.parse(readFileSync(path, "utf8")).job, { id: "Slurm 17", restarts: 1 });
  lock.release();
});

test("a lock of another PID namespace of this host: held while its process lives, then taken over; refused where nothing tells", () => {
  const path = join(root, "contained.lock");
  const file = HeldFile.beside(path) ?? assert.fail("there is SQLite");
  const held = { pid: dead, host: hostname(), started: "1", namespace: "pid:[1]", held: file.name };
  writeFileSync(path, JSON.stringify(held));
  const who = `process ${dead} in another PID namespace on ${hostname()}`;
  assert.deepEqual(lockHolder(path), { name: who, state: "running", isOwn: false });
  assert.match(stopHolder(path) ?? "", /^it runs in another PID namespace of .*: stop it there$/);
  assert.throws(() => new RunLock(path), {
    message: /in another PID namespace on .*, which is running\. Wait/,
  });
  file.release();
  let message = "";
  assert.throws(
    () => new RunLock(path),
    (error: unknown) => {
      message = (error as Error).message;
      return (
        error instanceof RunLockedError && message.includes(`${who}, which cannot be looked up from here`)
      );
    },
  );
  // as after a kill
  const left = join(root, file.name);
  writeFileSync(left, "");
  const lock = new RunLock(path);
  assert.match(lock.note ?? "", /in another PID namespace on .*, which is gone; its lock was taken over/);
  assert.ok(!existsSync(left));
  lock.release();
  for (const name of [path, left]) writeFileSync(name, "{}");
  assert.equal(spawnSync("sh", ["-c", /\((rm .*)\)/.exec(message)?.[1] ?? "false"]).status, 0);
  assert.ok(!existsSync(path) && !existsSync(left));
});

test("a lock that another process has taken over is not given back by the first", () => {
  const path = join(root, "others.lock");
  const lock = new RunLock(path);
  writeFileSync(path, JSON.stringify({ pid: 812, host: "host-a" }));
  lock.release();
  assert.ok(existsSync(path));
});
