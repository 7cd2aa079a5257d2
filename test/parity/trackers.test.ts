/** Trackio, MLflow and W&B themselves, killed and started again in between: every number of a run, once, exactly. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { test } from "node:test";
import { stringifyNumbers } from "../../src/base/json-numbers.ts";
import { readSealed } from "../../src/base/sealed.ts";
import { isEvalRow, type MetricRow } from "../../src/runs/metrics.ts";
import { chartName, numbersOf } from "../../src/runs/tracker-names.ts";
import { RunSender } from "../../src/trackers/sender.ts";
import type { TrackerReport } from "../../src/trackers/tracker.ts";
import {
  askTrackers,
  type PeerPoint,
  PeerServer,
  skipWithoutTrackers,
  trackerPrograms,
} from "../support/tracker-peers.ts";

const key = "k3y-of-the-test";
const project = "a project";

const rows: MetricRow[] = [
  { global_step: 0, epoch: 0, eval_loss: 1 / 3, "eval_rewards/margins": Number.NaN },
  { global_step: 1, epoch: 0.5, loss: 0.1 + 0.2, "rewards/f(x)/mean": 5e-324, note: "text" },
  { global_step: 2, epoch: 1, loss: 1e-300, "logps/chosen": Number.NEGATIVE_INFINITY, tokens: 12345678901 },
  { global_step: 2, epoch: 1, eval_loss: 2.5 },
  { global_step: 3, epoch: 1.5, loss: -0.1, grad_norm: Number.POSITIVE_INFINITY },
];

/** A number as Python writes it. */
function python(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  return String(value);
}

function numberOf(text: string): number {
  const special: Record<string, number> = {
    nan: Number.NaN,
    inf: Number.POSITIVE_INFINITY,
    "-inf": Number.NEGATIVE_INFINITY,
  };
  return special[text.replaceAll("'", "")] ?? Number(text);
}

function sorted(points: readonly PeerPoint[]): unknown[] {
  return points
    .map(([step, name, value]) => [step, name, python(numberOf(value))])
    .sort((a, b) => (String(a) < String(b) ? -1 : 1));
}

/** What Trackio and W&B must have. */
function charted(stepOf: (row: MetricRow) => number): unknown[] {
  return sorted(
    rows.flatMap((row) => [
      ...numbersOf(row).map(([name, value]): PeerPoint => [stepOf(row), chartName(name), python(value)]),
      [stepOf(row), "train/global_step", String(row.global_step)] as PeerPoint,
    ]),
  );
}

/** What MLflow must have: its data base keeps the largest number for infinity. */
function atMlflow(): unknown[] {
  return sorted(
    rows.flatMap((row) =>
      numbersOf(row)
        .filter(([name]) => name !== "epoch" || !isEvalRow(row))
        .map(([name, value]): PeerPoint => {
          const kept = Number.isNaN(value)
            ? value
            : Math.max(-Number.MAX_VALUE, Math.min(Number.MAX_VALUE, value));
          return [row.global_step, name.replace(/[()]/g, "_"), python(kept)];
        }),
    ),
  );
}

async function send(runDir: string, some: readonly MetricRow[]): Promise<TrackerReport[]> {
  writeFileSync(join(runDir, "metrics.jsonl"), some.map((row) => `${stringifyNumbers(row)}\n`).join(""));
  const run = {
    name: "a run",
    config: { learning_rate: 1e-4, text: "x".repeat(900), list: ["a"], none: null },
  };
  const sender = new RunSender(
    { runDir, trackers: ["mlflow", "trackio", "wandb"], project, run },
    { end: () => "done", deadline: () => 0, pause: () => Promise.resolve(), onTrouble: () => {} },
  );
  await sender.run();
  return sender.reports();
}

/** Starts a server again where all that it had is gone. */
async function restartEmpty(server: PeerServer, dir: string): Promise<void> {
  await server.kill();
  rmSync(dir, { recursive: true });
  mkdirSync(dir);
  await server.begin();
}

test("rows sent before, during and after the servers are gone are read back by the trackers' own packages", {
  skip: skipWithoutTrackers(),
}, async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "preftune-trackers-"));
  t.after(() => rmSync(dir, { recursive: true }));
  const made = (name: string): string => {
    mkdirSync(join(dir, name));
    return join(dir, name);
  };
  const [runDir, mlflowDir, trackioDir] = [made("run"), made("mlflow"), made("trackio")];
  await using mlflow = await PeerServer.mlflow(mlflowDir);
  await using trackio = await PeerServer.trackio(trackioDir, key);
  const env = {
    MLFLOW_TRACKING_URI: mlflow.url,
    TRACKIO_SERVER_URL: trackio.url,
    TRACKIO_WRITE_TOKEN: key,
    TRACKIO_DIR: trackioDir,
    WANDB_MODE: "offline",
    WANDB_API_KEY: "0123456789".repeat(4),
    PATH: `${trackerPrograms}${delimiter}${process.env["PATH"]}`,
  };
  Object.assign(process.env, env);
  const sent = (reports: readonly TrackerReport[]): number[] => reports.map((report) => report.sent);
  assert.deepEqual(sent(await send(runDir, rows.slice(0, 2))), [2, 2, 2]);
  await mlflow.kill();
  await trackio.kill();
  const reports = await send(runDir, rows.slice(0, 4));
  assert.deepEqual(sent(reports), [2, 2, 4]);
  assert.match(`${reports[0]?.trouble} ${reports[1]?.trouble}`, /fetch failed.*fetch failed/s);
  await mlflow.begin();
  await trackio.begin();
  assert.deepEqual(sent(await send(runDir, rows)), [5, 5, 5]);

  const state = readSealed(join(runDir, "trackers.json")) as Record<string, { key: string }>;
  const keys = Object.fromEntries(Object.entries(state).map(([name, { key: runKey }]) => [name, runKey]));
  const read = askTrackers({ project, keys, dir: runDir }, env);
  await restartEmpty(mlflow, mlflowDir);
  await restartEmpty(trackio, trackioDir);
  assert.deepEqual(sent(await send(runDir, rows)), [5, 5, 5]);
  assert.deepEqual(askTrackers({ project, keys, dir: runDir }, env), read);

  assert.deepEqual(sorted(read.mlflow.points), atMlflow());
  assert.equal(read.mlflow.status, "FINISHED");
  assert.deepEqual([read.mlflow.params["learning_rate"], read.mlflow.params["list"]], ["0.0001", '["a"]']);
  assert.deepEqual(
    sorted(read.trackio),
    charted((row) => row.global_step),
  );
  assert.deepEqual(
    sorted(read.wandb),
    charted((row) => 2 * row.global_step + (isEvalRow(row) ? 1 : 0)),
  );
  for (const file of readdirSync(runDir, { recursive: true, withFileTypes: true })) {
    if (!file.isFile()) continue;
    const content = readFileSync(join(file.parentPath, file.name));
    for (const secret of [key, env.WANDB_API_KEY]) assert.equal(content.includes(secret), false, file.name);
  }
});
