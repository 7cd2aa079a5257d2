import assert from "node:assert/strict";
import { test } from "node:test";
import { runWithProgress, startProgress } from "./run-with-progress.ts";
import type { ProgressStream } from "./status-line.ts";

function collect(isTTY: boolean): { sink: ProgressStream; text: () => string } {
  let text = "";
  const write = (more: string) => {
    text += more;
  };
  return { sink: { isTTY, columns: 40, write }, text: () => text };
}

test("away from a terminal: a line at the start and one at the end", () => {
  const { sink, text } = collect(false);
  const progress = startProgress("building", sink);
  progress.detail("half way");
  progress.end("done");
  assert.equal(text(), "preftune: building ...\npreftune: building: done (0 s)\n");
});

test("on a terminal: the line is redrawn within the width, and a plain line stays", async () => {
  const { sink, text } = collect(true);
  const progress = startProgress("building", sink);
  progress.detail("a detail that is far too long for a line of forty columns");
  await new Promise((resolve) => setTimeout(resolve, 250));
  progress.end("done");
  const drawn = text().split("\r\u001b[K").filter(Boolean);
  assert.ok(drawn.length >= 2, text());
  assert.ok(drawn.slice(0, -1).every((line) => line.length <= 39 && line.includes("preftune: building")));
  assert.match(drawn.at(-1) ?? "", /^preftune: building: done \(\d+ s\)\n$/);
});

test("a child's output and status come back; a program that is not there has status 127", async () => {
  const script = "console.log('one'); console.error('two'); process.exitCode = 3";
  const { sink, text } = collect(false);
  const outcome = await runWithProgress("test child", process.execPath, ["-e", script], sink);
  assert.equal(outcome.status, 3);
  assert.match(outcome.output, /one/);
  assert.match(outcome.output, /two/);
  const absent = await runWithProgress("test absent", "/nowhere/program", [], sink);
  assert.equal(absent.status, 127);
  assert.match(absent.output, /ENOENT/);
  assert.match(text(), /^preftune: test child: failed \(\d+ s\)$/m);
});
