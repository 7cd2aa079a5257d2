/** Trackers beside a training run: not a bit of it changes, and a kill doubles and loses no row. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { sha256File } from "../../src/base/files.ts";
import { readMetrics } from "../../src/runs/metrics.ts";
import type { TrainEvent } from "../../src/runs/train-events.ts";
import { trackRun } from "../../src/trackers/track-run.ts";
import { endWithFile } from "../support/command.ts";
import { type FakeTracker, fakeTracker } from "../support/fake-trackers.ts";
import { metricsOf, runFixture, runTraining, type Values } from "../support/runs.ts";
import { listenToWarnings } from "../support/warnings.ts";

const fixture = runFixture({ rows: 8, held: 4 });
after(() => fixture[Symbol.dispose]());
const recipe: Values = { ...fixture.values, use_peft: true, max_steps: 4, logging_steps: 1, save_steps: 2 };
const key = "k3y-of-the-test";

/** Steps of the rows that Trackio has, training and evaluation apart. */
function stepsOf({ rows }: FakeTracker): string[] {
  return [...rows.keys()].map((id) => id.replace(/^\w+-/, ""));
}

/** The same of a run's metrics. */
function stepsIn(dir: string): string[] {
  return readMetrics(join(dir, "metrics.jsonl")).map(
    (row) => `${"eval_runtime" in row ? "eval" : "train"}-${row.global_step}`,
  );
}

/** Holds a run in a step until the tracker has more than `rows`: at its end a run waits five seconds, in which a process may not have begun. */
function heldAt(
  step: number,
  tracker: FakeTracker,
  rows = 0,
): { onEvent: (event: TrainEvent) => Promise<void> } {
  return {
    onEvent: async (event) => {
      if (event.type !== "step" || event.step !== step) return;
      while (tracker.rows.size <= rows) await setTimeout(20);
    },
  };
}

test("with a tracker that answers and one that never does a run has the same bits; the second is reported, and the rest is sent afterwards", async (t) => {
  const warnings = listenToWarnings(t);
  await using well = await fakeTracker();
  await using stalled = await fakeTracker();
  stalled.mood = "stalled";
  process.env["TRACKIO_SERVER_URL"] = `${well.url}?write_token=${key}`;
  process.env["MLFLOW_TRACKING_URI"] = stalled.url;
  const [plain, tracked] = [fixture.path("plain"), fixture.path("tracked")];
  await runTraining({ ...recipe, output_dir: plain });
  const values = { ...recipe, output_dir: tracked, report_to: ["trackio", "mlflow"] };
  await runTraining(values, heldAt(3, well));
  assert.deepEqual(metricsOf(tracked), metricsOf(plain));
  const weights = (dir: string): string => sha256File(join(dir, "adapter", "adapter_model.safetensors"));
  assert.equal(weights(tracked), weights(plain));
  assert.deepEqual(stepsOf(well), stepsIn(tracked));
  const total = readMetrics(join(tracked, "metrics.jsonl")).length;
  const reported = await warnings("mlflow has");
  assert.equal(reported.length, 1);
  assert.match(reported[0] ?? "", new RegExp(`has 0 of ${total} rows.*preftune track .*tracked --to mlflow`));
  for (const name of readdirSync(tracked, { recursive: true, withFileTypes: true })) {
    if (!name.isFile()) continue;
    assert.equal(readFileSync(join(name.parentPath, name.name)).includes(key), false, name.name);
  }

  stalled.mood = "well";
  const [report] = await trackRun(tracked, { trackers: ["mlflow"] });
  assert.deepEqual([report?.sent, report?.unsent], [total, 0]);
  const losses = stalled.runs[0]?.points.filter((point) => point.key === "loss");
  assert.deepEqual(
    losses?.map(({ step, value }) => [step, value]),
    readMetrics(join(tracked, "metrics.jsonl")).flatMap((row) =>
      "loss" in row ? [[row.global_step, row["loss"]]] : [],
    ),
  );
});

/** Trains in a separate process. */
function trainApart(values: Values): ChildProcess {
  const program = join(import.meta.dirname, "../support/train-child.ts");
  return endWithFile(
    spawn(process.execPath, [...process.execArgv, program, JSON.stringify(values)], {
      stdio: ["ignore", "pipe", "inherit"],
    }),
    false,
  );
}

test("a trainer that is killed and resumed: every row is at the tracker once, those before the kill from the process beside it", async () => {
  await using tracker = await fakeTracker();
  process.env["TRACKIO_SERVER_URL"] = tracker.url;
  const dir = fixture.path("killed");
  const values = { ...recipe, max_steps: 60, save_steps: 10, output_dir: dir, report_to: ["trackio"] };
  const child = trainApart(values);
  for await (const line of child.stdout ?? []) if (/^1[5-9] /m.test(String(line))) break;
  child.kill("SIGKILL");
  await once(child, "close");
  const atKill = stepsIn(dir);
  for (let i = 0; i < 3000 && existsSync(join(dir, "trackers.lock")); i++) await setTimeout(100);
  assert.deepEqual(stepsOf(tracker), atKill);
  const resumed = { ...values, resume_from_checkpoint: "latest" };
  await runTraining(resumed, heldAt(58, tracker, atKill.length));
  assert.deepEqual(stepsOf(tracker), stepsIn(dir));
  assert.equal(new Set([...tracker.rows.values()].map((row) => row.run_id)).size, 1);
});
