/** Whether the process that a lock file names still runs, looked up from its own PID namespace and from others. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import {
  HeldFile,
  type Holder,
  holderName,
  holderState,
  LockFile,
  readHolder,
  removeLeft,
} from "./lock-file.ts";

const root = mkdtempSync(join(tmpdir(), "preftune-lock-"));
after(() => rmSync(root, { recursive: true }));
const newFolder = (): string => mkdtempSync(join(root, "folder-"));

const elsewhere: Holder = {
  ...{ pid: 7, host: hostname(), thread: null, started: "1", namespace: "pid:[1]", held: null },
};

test("a process of another PID namespace runs while it holds its file, is gone after it, and unknown without one", () => {
  const folder = newFolder();
  const path = join(folder, "run.lock");
  const file = HeldFile.beside(path) ?? assert.fail("there is SQLite");
  const holder = { ...elsewhere, held: file.name };
  assert.equal(holderState(holder, path), "running");
  assert.equal(holderName(holder), `process 7 in another PID namespace on ${hostname()}`);
  assert.deepEqual(readdirSync(folder), [file.name], "nothing but the file itself");
  // what the kernel does when a process is killed: the file stays, its lock goes
  writeFileSync(join(folder, ".run.lock.held-7-00"), "");
  assert.equal(holderState({ ...elsewhere, held: ".run.lock.held-7-00" }, path), "gone");
  file.release();
  assert.equal(holderState(holder, path), "unknown");
  assert.equal(holderState(elsewhere, path), "unknown");
  assert.equal(holderState({ ...holder, host: "host-a" }, path), "unknown");
});

test("a lock file is removed by who wrote it, not after another took it over", () => {
  const folder = newFolder();
  const path = join(folder, "run.lock");
  const lock = LockFile.create(path, { job: 1 }) ?? assert.fail("it is free");
  assert.equal(LockFile.create(path), null);
  assert.equal(readHolder(path)?.["job"], 1);
  const others = JSON.stringify({ ...elsewhere, pid: process.pid });
  writeFileSync(path, others);
  assert.equal(lock.remove(), true);
  assert.equal(readFileSync(path, "utf8"), others);
});

test("what was left is removed with the file that belongs to it, and no other file that it names", () => {
  const folder = newFolder();
  const path = join(folder, "run.lock");
  for (const held of [".run.lock.held-7-00", "checkpoints", "../x", ".x/../checkpoints"]) {
    writeFileSync(join(folder, "checkpoints"), "");
    writeFileSync(join(folder, ".run.lock.held-7-00"), "");
    writeFileSync(path, JSON.stringify({ ...elsewhere, held }));
    removeLeft(path);
    assert.ok(!existsSync(path));
    assert.ok(existsSync(join(folder, "checkpoints")));
    assert.equal(existsSync(join(folder, ".run.lock.held-7-00")), !held.startsWith(".run"));
  }
});

const unshare = ["--pid", "--fork", "--kill-child", "--mount-proc"];
const canUnshare = spawnSync("unshare", [...unshare, "true"]).status === 0;

test("in a PID namespace of its own: seen as running from here until it is killed, then gone", {
  skip: canUnshare ? false : "PID namespaces cannot be made here",
}, async () => {
  const folder = newFolder();
  const path = join(folder, "run.lock");
  const program = `
    import { LockFile } from ${JSON.stringify(new URL("lock-file.ts", import.meta.url).href)};
    globalThis.lock = LockFile.create(process.argv[1]);
    console.log(process.pid);
    setInterval(() => {}, 1000);`;
  const flags = ["--conditions=preftune-source", "--input-type=module", "-e", program, path];
  const child = spawn("unshare", [...unshare, process.execPath, ...flags], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  const holder = readHolder(path) ?? assert.fail("it wrote its lock");
  assert.equal(holder.pid, 1);
  assert.equal(holderState(holder, path), "running");
  child.kill("SIGKILL");
  await once(child, "exit");
  while (holderState(holder, path) === "running") await new Promise((done) => setTimeout(done, 10));
  assert.equal(holderState(holder, path), "gone");
  removeLeft(path);
  assert.deepEqual(readdirSync(folder), []);
});
