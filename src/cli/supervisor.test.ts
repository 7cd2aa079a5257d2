/** A trainer that cannot be started: `train --max-restarts` tries again where one ran before, and ends. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { superviseTraining } from "./supervisor.ts";

const root = mkdtempSync(join(tmpdir(), "preftune-supervisor-"));
after(() => rmSync(root, { recursive: true }));
const scripted = join(import.meta.dirname, "../../test/support/scripted-trainer.ts");

/** Watches over trainers, of which those from start `from` on find no Node, or have an argument that the system does not take. */
async function withoutNode(from: number, maxRestarts: number, { isTooLong = false } = {}) {
  const folder = mkdtempSync(join(root, "run-"));
  const file = join(folder, "behaviours.json");
  writeFileSync(file, JSON.stringify(["SIGKILL", "SIGKILL", 0]));
  const said: string[] = [];
  let starts = 0;
  const { execPath } = process;
  try {
    const { status } = await superviseTraining({
      program: scripted,
      argv: () => {
        if (starts++ < from) return [file];
        if (isTooLong) return [file, "x".repeat(3e6)];
        process.execPath = join(folder, "no-node");
        return [file];
      },
      outputDir: join(folder, "run"),
      maxRestarts,
      stoppedStatus: 0,
      heartbeatTimeoutMs: 60_000,
      policy: { firstDelayMs: 1, maxDelayMs: 1 },
      say: (line) => said.push(line),
    });
    return { status, starts, said };
  } finally {
    process.execPath = execPath;
  }
}

test("where none was ever started it ends at once, with the reason, and nothing keeps the process running", async () => {
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
  const before = timers();
  const { status, starts, said } = await withoutNode(0, 3);
  assert.deepEqual([status, starts, timers()], [1, 1, before]);
  assert.match(said.join(), /^the trainer could not be started: .*ENOENT; a restart would not fix that$/);
});

test("after one that trained it is tried again, as often as --max-restarts allows", async () => {
  const { status, starts, said } = await withoutNode(1, 2);
  assert.deepEqual([status, starts], [1, 3]);
  assert.match(said[0] ?? "", /killed \(SIGKILL\).*restart 1 of 2/);
  assert.match(said[1] ?? "", /could not be started: .*ENOENT, before its first step; restart 2 of 2/);
  assert.match(
    said[2] ?? "",
    /could not be started: .*started again 2 times, as --max-restarts allows: given up/,
  );
});

test("a system that refuses to start one at once, without an event, is one that could not be started", async () => {
  const first = await withoutNode(0, 3, { isTooLong: true });
  assert.deepEqual([first.status, first.starts], [1, 1]);
  assert.match(
    first.said.join(),
    /^the trainer could not be started: .*E2BIG; a restart would not fix that$/,
  );
  const later = await withoutNode(1, 1, { isTooLong: true });
  assert.deepEqual([later.status, later.starts], [1, 2]);
  assert.match(later.said[1] ?? "", /E2BIG, before its first step; started again once, .* given up/);
});
