import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { HeldFile } from "../base/lock-file.ts";
import { oneAtATime } from "./one-at-a-time.ts";

const dir = mkdtempSync(join(tmpdir(), "preftune-lock-"));
after(() => rmSync(dir, { recursive: true, force: true }));

test("bodies of one lock follow each other; who waits says for whom", async () => {
  const lock = join(dir, "a.lock");
  const lines: string[] = [];
  const order: string[] = [];
  const body = (name: string) => async () => {
    order.push(`${name} begins`);
    await sleep(30);
    order.push(`${name} ends`);
    return name;
  };
  const say = (line: string) => void lines.push(line);
  const both = await Promise.all([oneAtATime(lock, say, body("1")), oneAtATime(lock, say, body("2"))]);
  assert.deepEqual(both, ["1", "2"]);
  assert.deepEqual(order, ["1 begins", "1 ends", "2 begins", "2 ends"]);
  assert.match(lines.join(), new RegExp(`^waiting for process ${process.pid} on .*a\\.lock\\)$`));
  assert.ok(!existsSync(lock));
});

test("the lock of a process that is gone is taken over, and given back after an error", async () => {
  const lock = join(dir, "b.lock");
  writeFileSync(lock, JSON.stringify({ host: hostname(), pid: process.pid, started: "1" }));
  const failing = oneAtATime(
    lock,
    () => {},
    () => Promise.reject(new Error("no compiler")),
  );
  await assert.rejects(failing, /no compiler/);
  assert.ok(!existsSync(lock));
});

test("the lock of a process in another PID namespace of this host is waited for while it lives", async () => {
  const lock = join(dir, "d.lock");
  const file = HeldFile.beside(lock) ?? assert.fail("there is SQLite");
  const owner = { host: hostname(), pid: 7, started: "1", namespace: "pid:[1]", held: file.name };
  writeFileSync(lock, JSON.stringify(owner));
  let hasRun = false;
  const waiting = oneAtATime(
    lock,
    () => {},
    async () => {
      hasRun = true;
    },
  );
  await sleep(500);
  assert.equal(hasRun, false);
  file.release();
  writeFileSync(join(dir, file.name), "");
  await waiting;
  assert.ok(!existsSync(lock) && !existsSync(join(dir, file.name)));
});

test("processes follow each other, also behind one that is gone, and who comes later finds what the first has made", async () => {
  const [lock, made] = [join(dir, "c.lock"), join(dir, "made")];
  const program = `
    import { appendFileSync, existsSync, readFileSync } from "node:fs";
    import { setTimeout as sleep } from "node:timers/promises";
    import { oneAtATime } from ${JSON.stringify(new URL("one-at-a-time.ts", import.meta.url).href)};
    const [lock, made] = process.argv.slice(1);
    await oneAtATime(lock, () => {}, async () => {
      if (existsSync(made) && readFileSync(made, "utf8").endsWith("done\\n")) return;
      appendFileSync(made, "begun\\n");
      await sleep(300);
      appendFileSync(made, "done\\n");
    });`;
  const flags = ["--conditions=preftune-source", "--input-type=module", "-e", program, lock, made];
  writeFileSync(lock, JSON.stringify({ host: hostname(), pid: process.pid, started: "1" }));
  const ends = [1, 2, 3].map(() => once(spawn(process.execPath, flags, { stdio: "inherit" }), "exit"));
  for (const [status] of await Promise.all(ends)) assert.equal(status, 0);
  assert.equal(readFileSync(made, "utf8"), "begun\ndone\n");
  assert.ok(!existsSync(lock));
});
