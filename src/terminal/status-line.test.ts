/** Progress on terminals of any width and off them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { formatDuration, formatNumber } from "../base/number-text.ts";
import { PhaseProgress } from "./phases.ts";
import type { ProgressStream } from "./status-line.ts";
import { TrainingProgress } from "./training-progress.ts";

class Screen implements ProgressStream {
  text = "";
  isTTY: boolean;
  columns: number;

  constructor(isTTY: boolean, columns = 80) {
    this.isTTY = isTTY;
    this.columns = columns;
  }

  write(text: string): void {
    this.text += text;
  }
}

const ROW = {
  global_step: 10,
  loss: 0.712345,
  "rewards/margins": 0.25,
  "rewards/accuracies": 0.875,
  tokens_per_second: 12345,
  peak_memory_bytes: 1.5 * 2 ** 30,
};

test("without a terminal each row is a JSON line and steps are silent", () => {
  const out = new Screen(false);
  const progress = new TrainingProgress(20, out);
  progress.step(9);
  progress.log({ ...ROW, loss: Number.NaN });
  progress.note("resumed");
  const lines = out.text.trimEnd().split("\n");
  assert.equal(lines.length, 2);
  assert.match(lines[0] ?? "", /^\{"global_step":10,"loss":NaN,/);
  assert.equal(lines[1], '{"note":"resumed"}');
});

test("on a terminal one line is rewritten, with every figure, and stays at the end", () => {
  const out = new Screen(true, 120);
  const progress = new TrainingProgress(10, out);
  progress.step(1);
  progress.log(ROW);
  const last = out.text.split("\r\u001b[K").at(-1);
  assert.match(
    last ?? "",
    /^step 10\/10 · loss 0\.7123 · 0 s left · margin 0\.25 · acc 88% · 12\.3k tok\/s · 1\.5 GiB\n$/,
  );
});

test("before the first row of metrics: how far the step is, and tokens a second", () => {
  const out = new Screen(true, 120);
  const progress = new TrainingProgress(10, out);
  const drawn = () => out.text.split("\r\u001b[K").at(-1) ?? "";
  progress.begin(4);
  assert.equal(drawn(), "step 4/10");
  // the line is drawn at most ten times a second: what it would say is drawn by the last step
  progress.within({ done: 0, total: 2, tokens: 0 });
  progress.within({ done: 1, total: 2, tokens: 500 });
  progress.count(1000);
  progress.step(10, { loss: 1.5, "rewards/margins": 0.25, peak_memory_bytes: 2 ** 30 });
  assert.match(drawn(), /^step 10\/10 · loss 1\.5 · [\d.]+ s left · margin 0\.25 · .* tok\/s · 1\.0 GiB\n$/);
});

test("NaN is shown as NaN", () => {
  const out = new Screen(true);
  new TrainingProgress(10, out).log({ global_step: 10, loss: Number.NaN });
  assert.match(out.text, /loss NaN/);
});

test("a prefix stands in front of every line, within the width", () => {
  const out = Object.assign(new Screen(true, 40), { prefix: "[2/4] DPO: " });
  const progress = new TrainingProgress(10, out);
  progress.begin(1);
  progress.note("resumed");
  progress.log(ROW);
  assert.deepEqual(out.text.split("\r\u001b[K"), [
    "",
    "[2/4] DPO: step 1/10",
    "[2/4] DPO: resumed\n",
    "[2/4] DPO: step 10/10 · loss 0.7123\n",
  ]);
});

test("no line is ever wider than the terminal", () => {
  for (let columns = 1; columns <= 90; columns++) {
    const out = new Screen(true, columns);
    new TrainingProgress(10, out).log(ROW);
    const [line = ""] = (out.text.split("\u001b[K").at(-1) ?? "").split("\n");
    assert.ok(line.length <= Math.max(1, columns - 1), `${columns}: ${line}`);
  }
});

test("long phases", () => {
  const screen = new Screen(true);
  const phase = new PhaseProgress("tokenising", 200, screen);
  phase.update(50);
  assert.match(screen.text, /tokenising 50\/200 \(25%\)$/);
  phase.update(200);
  phase.done();
  assert.match(screen.text, /tokenising 200\/200 \(100%\) in (under 1 ms|\d+ ms|\d+\.\d s)\n$/);
  const pipe = new Screen(false);
  const silent = new PhaseProgress("loading", null, pipe);
  silent.update(7);
  assert.equal(pipe.text, '{"phase":"loading","total":null}\n');
  silent.done();
  const [, last = ""] = pipe.text.split("\n");
  assert.deepEqual(Object.keys(JSON.parse(last)), ["phase", "count", "seconds"]);
});

test("a phase whose line goes from the screen is over in a log, too", () => {
  const screen = new Screen(true);
  const shown = new PhaseProgress("rows read", null, screen);
  shown.update(7);
  shown.clear();
  assert.ok(screen.text.endsWith("rows read 7\r\u001b[K"));
  const log = new Screen(false);
  let time = 0;
  const logged = new PhaseProgress("rows read", null, log, () => time);
  logged.update(7);
  time = 2500;
  logged.clear();
  assert.equal(log.text.split("\n")[1], '{"phase":"rows read","count":7,"seconds":2.5}');
});

test("numbers and times for people", () => {
  assert.deepEqual([0.123456, -1234.5, 98765, 1e-7, Number.NaN].map(formatNumber), [
    "0.1235",
    "-1235",
    "98.8k",
    "1e-7",
    "NaN",
  ]);
  assert.deepEqual([0.44, 12.3, 185, 7800, 59.7].map(formatDuration), [
    "0.4 s",
    "12 s",
    "3 min 05 s",
    "2 h 10 min",
    "1 min 00 s",
  ]);
});

test("a long phase goes on to tell of itself in a log: every ten seconds, with its note and rate", () => {
  const log = new Screen(false);
  let time = 0;
  const phase = new PhaseProgress("rows tokenised", null, log, () => time);
  for (time = 1000; time <= 25_000; time += 1000) phase.update(time / 10, "1.0 MiB of 9.0 MiB");
  const lines = log.text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  assert.deepEqual(
    lines.map(({ count }) => count),
    [undefined, 1000, 2000],
  );
  assert.deepEqual(lines[1], {
    phase: "rows tokenised",
    total: null,
    count: 1000,
    note: "1.0 MiB of 9.0 MiB",
    rate: "100/s",
  });
});
