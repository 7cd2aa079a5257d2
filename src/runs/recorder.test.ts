/** What the recorder makes of a run's events: each is written before it is passed on, and an error is logged. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { FileError, FormatError } from "../base/errors.ts";
import { loadConfig } from "../config/load-config.ts";
import { readEvaluations } from "./evaluation-records.ts";
import { readMetrics } from "./metrics.ts";
import { Recorder } from "./recorder.ts";
import { createRun, type OpenRun, openRun } from "./run-directory.ts";
import type { TrainEvent, TrainSummary } from "./train-events.ts";

const root = mkdtempSync(join(tmpdir(), "preftune-recorder-"));
after(() => rmSync(root, { recursive: true }));
let count = 0;

const start: TrainEvent = {
  ...{ type: "start", step: 0, totalSteps: 1, trainable: 5, trainRows: 2, evaluationRows: 1 },
  ...{ device: "cpu", dtype: "float32", threads: 1 },
};
const baseline = { step: 0, means: [-1, -2], watch: null };
const evaluation: TrainEvent = {
  type: "evaluation",
  tokens: null,
  row: { global_step: 0, eval_loss: 2 },
  record: { global_step: 0, rejected_logps: null, pair_changes: [], samples: [] },
  baseline,
};
const log: TrainEvent = { type: "log", row: { global_step: 1, loss: Number.NaN } };

function opened(): { run: OpenRun; recorder: Recorder; reports: string[] } {
  const values = { model_name_or_path: "m", train_data: "a.jsonl", output_dir: join(root, String(count++)) };
  const resolved = loadConfig({ values });
  const run = createRun(resolved);
  const reports: string[] = [];
  return {
    run,
    recorder: new Recorder(run, resolved, { writeReport: (dir) => void reports.push(dir) }),
    reports,
  };
}

test("metrics, evaluations, log and report of a run are made from its events alone", async () => {
  const { run, recorder, reports } = opened();
  const { paths } = run;
  const summary: TrainSummary = {
    ...{ outputDir: paths.dir, step: 1, reason: "done", collapse: null, skippedSteps: 1, best: null },
    ...{ lastLog: null, lastEvaluation: null, exported: [], report: paths.report },
  };
  const skipped: TrainEvent = {
    ...{ type: "skipped", step: 1, reason: "not finite", loss: Number.NaN, gradNorm: 3, rows: ["a.jsonl:1"] },
  };
  async function* events(): AsyncGenerator<TrainEvent, string> {
    yield start;
    yield evaluation;
    yield skipped;
    yield log;
    yield { type: "end", summary };
    return "the end";
  }
  const passed: TrainEvent[] = [];
  const recorded = recorder.recorded(events());
  let next = await recorded.next();
  for (; next.done !== true; next = await recorded.next()) {
    passed.push(next.value);
    // what has been passed on is on disk
    if (next.value === log) assert.deepEqual(readMetrics(paths.metrics).at(-1), log.row);
  }
  run.release();
  assert.equal(next.value, "the end");
  assert.deepEqual(passed, [start, evaluation, skipped, log, { type: "end", summary }]);
  assert.deepEqual(readMetrics(paths.metrics), [evaluation.row, log.row]);
  assert.deepEqual(readEvaluations(paths.evaluations), [evaluation.record]);
  assert.deepEqual(JSON.parse(readFileSync(paths.evaluationStart, "utf8")).means, baseline.means);
  const logged = openRun(paths.dir).events.map(({ time: _, ...rest }) => rest);
  assert.deepEqual(logged, [
    { event: "start", step: 0, total_steps: 1, trainable: 5 },
    { event: "skipped", step: 1, reason: "not finite", loss: "NaN", grad_norm: "3", rows: ["a.jsonl:1"] },
    { event: "done", step: 1, exported: [] },
  ]);
  // at the evaluation, and at the end
  assert.deepEqual(reports, [paths.dir, paths.dir]);
  assert.ok(!existsSync(paths.exportJson));
});

test("an error of the run is logged and thrown on; a consumer that leaves ends the run", async () => {
  const { run, recorder, reports } = opened();
  let isClosed = false;
  async function* failing(): AsyncGenerator<TrainEvent, void> {
    try {
      yield start;
      throw new Error("no more");
    } finally {
      isClosed = true;
    }
  }
  const failed = recorder.recorded(failing());
  await failed.next();
  await assert.rejects(failed.next(), /no more/);
  assert.ok(isClosed);
  assert.deepEqual(openRun(run.paths.dir).events.at(-1)?.["message"], "no more");
  assert.equal(reports.length, 1, "of the failure");

  isClosed = false;
  const left = recorder.recorded(failing());
  await left.next();
  await left.return();
  assert.ok(isClosed);
  assert.equal(reports.length, 2, "of the run that was left");
  run.release();
});

test("a report that cannot be written ends nothing and is noted; a slow one is not written at every evaluation", async (t) => {
  const values = { model_name_or_path: "m", train_data: "a.jsonl", output_dir: join(root, String(count++)) };
  const resolved = loadConfig({ values });
  const run = createRun(resolved);
  let [calls, now] = [0, 0];
  t.mock.method(performance, "now", () => now);
  const writeReport = (): void => {
    calls += 1;
    now += 300;
    throw new Error("no space");
  };
  const recorder = new Recorder(run, resolved, { writeReport });
  async function* events(): AsyncGenerator<TrainEvent, void> {
    yield start;
    for (let i = 0; i < 3; i++) yield evaluation;
    throw new Error("no more");
  }
  const recorded = recorder.recorded(events());
  const all = async () => {
    for await (const _ of recorded);
  };
  await assert.rejects(all, /no more/);
  run.release();
  assert.equal(calls, 2, "at the first evaluation and at the end");
  const noted = openRun(run.paths.dir).events.filter(({ event }) => event === "no report");
  assert.deepEqual(
    noted.map(({ message }) => message),
    ["no space", "no space"],
  );
});

for (const error of [new FormatError("damaged."), new FileError("no space.")]) {
  test(`a run whose last report cannot be made is done all the same and says so, but for a full disk: ${error.name}`, async () => {
    const values = {
      model_name_or_path: "m",
      train_data: "a.jsonl",
      output_dir: join(root, String(count++)),
    };
    const resolved = loadConfig({ values });
    const run = createRun(resolved);
    const { paths } = run;
    const writeReport = (): void => {
      throw error;
    };
    const endings: string[] = [];
    const track = () => ({ end: async (how: string) => void endings.push(how) });
    const recorder = new Recorder(run, resolved, { writeReport, track });
    const summary: TrainSummary = {
      ...{ outputDir: paths.dir, step: 1, reason: "done", collapse: null, skippedSteps: 0, best: null },
      ...{ lastLog: null, lastEvaluation: null, exported: [], report: paths.report },
    };
    async function* events(): AsyncGenerator<TrainEvent, void> {
      yield start;
      yield { type: "end", summary };
    }
    const passed: TrainEvent[] = [];
    const all = async () => {
      for await (const event of recorder.recorded(events())) passed.push(event);
    };
    if (error instanceof FileError) {
      await assert.rejects(all, error);
      assert.deepEqual([passed, endings], [[start], ["failed"]]);
    } else {
      await all();
      const text = `${paths.report} is not written: damaged. preftune report ${paths.dir} writes it when that is corrected`;
      assert.deepEqual(passed, [start, { type: "note", text }, { type: "end", summary }]);
      assert.deepEqual(endings, ["done"]);
      const logged = openRun(paths.dir).events.map(({ event }) => event);
      assert.deepEqual(logged, ["start", "done", "no report"]);
    }
    run.release();
  });
}

test("records are cut back to where a run begins again", async () => {
  const { run, recorder } = opened();
  async function* events(): AsyncGenerator<TrainEvent, void> {
    yield start;
    yield evaluation;
  }
  for await (const _ of recorder.recorded(events()));
  recorder.cutTo(null);
  run.release();
  assert.deepEqual(readMetrics(run.paths.metrics), []);
  assert.deepEqual(readEvaluations(run.paths.evaluations), []);
  assert.ok(!existsSync(run.paths.evaluationStart));
});
