import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
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
