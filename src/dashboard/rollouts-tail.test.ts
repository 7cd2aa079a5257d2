/** What a page shows of rollouts: each is read once, and all again where a resumed run has cut them. */
import assert from "node:assert/strict";
import {
  appendFileSync,
  closeSync,
  mkdtempSync,
  openSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { FormatError } from "../base/errors.ts";
import { RolloutsFile } from "../runs/rollouts.ts";
import type { RolloutRow } from "../runs/train-events.ts";
import { RolloutsTail } from "./rollouts-tail.ts";

/** The rows of a rollout, whose best completion is of the word. Longer than what is looked at again. */
function rolloutOf(rollout: number, word: string): RolloutRow[] {
  return [0, 1].map((reward) => ({
    ...{ step: rollout + 1, rollout, group: 0, row: "p.jsonl:1", ids: [1], ended: true, reward },
    ...{ completion: reward === 1 ? word : "worst", rewards: { a: reward } },
    ids: Array.from({ length: 500 }, (_, i) => (i * i) % 251),
  }));
}

/** Overwrites bytes of a file without changing its length. */
function overwrite(path: string, bytes: number): void {
  const fd = openSync(path, "r+");
  writeSync(fd, Buffer.alloc(bytes, 7), 0, bytes, 0);
  closeSync(fd);
}

test("each rollout is unpacked once; one that is being written is left for later; a cut file is read again", async () => {
  const dir = mkdtempSync(join(tmpdir(), "preftune-rollouts-"));
  try {
    const path = join(dir, "rollouts.jsonl.gz");
    const tail = new RolloutsTail(path);
    assert.equal(await tail.html(), "");
    const file = new RolloutsFile(path);
    file.append(rolloutOf(0, "apple"));
    const first = statSync(path).size;
    file.append(rolloutOf(1, "berry"));
    const both = await Promise.all([tail.html(), tail.html()]);
    for (const html of both) {
      assert.match(html, /apple[\s\S]*berry/);
      assert.match(html, /1 of 2</);
      assert.doesNotMatch(html, /1 of 4</, "two that ask at once read it once");
    }
    // what was read is not looked at again
    overwrite(path, 64);
    file.append(rolloutOf(2, "cherry"));
    assert.match(await tail.html(), /apple[\s\S]*berry[\s\S]*cherry/);
    await assert.rejects(new RolloutsTail(path).html(), FormatError);
    // resumed from a checkpoint before
    rmSync(path);
    const again = new RolloutsFile(path);
    again.append(rolloutOf(0, "apple"));
    truncateSync(path, first);
    const cut = await tail.html();
    assert.match(cut, /apple/);
    assert.doesNotMatch(cut, /berry/);
    again.append(rolloutOf(1, "damson"));
    const whole = statSync(path).size;
    again.append(rolloutOf(2, "elder"));
    truncateSync(path, whole + 100);
    assert.match(await tail.html(), /apple[\s\S]*damson/);
    assert.doesNotMatch(await tail.html(), /elder/);
    truncateSync(path, whole);
    again.append(rolloutOf(2, "elder"));
    assert.match(await tail.html(), /damson[\s\S]*elder/);
    appendFileSync(path, "no gzip");
    await assert.rejects(tail.html(), /The completions before can be read\. Move the file/);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
