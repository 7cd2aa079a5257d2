import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { removeLeftovers } from "./install-torch.ts";

test("what a killed installation left is removed; a running one's folder and everything else stay", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "preftune-install-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const running = `torch.new-${process.pid}`;
  for (const name of [
    "torch",
    running,
    "torch.new-999999999",
    "torch.old-999999998",
    "peers.new-999999997",
  ]) {
    mkdirSync(join(folder, name, "inside"), { recursive: true });
  }
  removeLeftovers(join(folder, "torch"));
  assert.deepEqual(readdirSync(folder).sort(), ["peers.new-999999997", "torch", running].sort());
});
