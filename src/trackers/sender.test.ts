/** Rows of a run at its trackers: each once, whatever they do. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { type FakeTracker, fakeTracker } from "../../test/support/fake-trackers.ts";
import { listenToWarnings } from "../../test/support/warnings.ts";
import { stringifyNumbers } from "../base/json-numbers.ts";
import { isEvalRow, type MetricRow } from "../runs/metrics.ts";
import { RunSender, type SendControl } from "./sender.ts";
import { trackerSettings } from "./settings.ts";
import type { RemoteTracker, RunEnd, TrackerReport } from "./tracker.ts";

const key = "k3y-of-the-test";
const basic = Buffer.from("user:secret-word").toString("base64");
const secret = new RegExp(`k3y|secret-word|${basic}`);
let dir: string;
let tracker: FakeTracker;

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), "preftune-trackers-"));
  tracker = await fakeTracker();
  Object.assign(process.env, {
    MLFLOW_TRACKING_URI: tracker.url.replace("//", "//user:secret-word@"),
    MLFLOW_TRACKING_TOKEN: key,
    TRACKIO_SERVER_URL: `${tracker.url}/?write_token=${key}`,
  });
});

afterEach(async () => {
  await tracker[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true });
});

const rows: MetricRow[] = [
  { global_step: 0, epoch: 0, eval_loss: 1 / 3, "eval_rewards/margins": Number.NaN },
  {
    global_step: 1,
    epoch: 0.5,
    loss: 0.1 + 0.2,
    "rewards/f(x)/mean": Number.POSITIVE_INFINITY,
    note: "text",
  },
  { global_step: 2, epoch: 1, loss: 1e-300, "logps/chosen": Number.NEGATIVE_INFINITY },
  { global_step: 2, epoch: 1, eval_loss: 2.5 },
];

function write(some: readonly MetricRow[], torn = ""): void {
  writeFileSync(join(dir, "metrics.jsonl"), some.map((row) => `${stringifyNumbers(row)}\n`).join("") + torn);
}

interface Sent {
  reports: TrackerReport[];
  troubles: string[];
}

/** Sends what is there; `moods` are those of the server, one after each failure. */
async function send(
  trackers: readonly RemoteTracker[],
  { moods = [], ...control }: { moods?: FakeTracker["mood"][] } & Partial<SendControl> = {},
): Promise<Sent> {
  const troubles: string[] = [];
  const run = { name: "a run", config: { learning_rate: 1e-4, data: ["x"] } };
  const sender = new RunSender(
    { runDir: dir, trackers, project: "p", run },
    {
      end: (): RunEnd => "done",
      deadline: () => (moods.length > 0 ? Number.POSITIVE_INFINITY : 0),
      async pause() {
        tracker.mood = moods.shift() ?? tracker.mood;
      },
      onTrouble: (name, why) => troubles.push(`${name}: ${why}`),
      ...control,
    },
  );
  await sender.run();
  return { reports: sender.reports(), troubles };
}

/** Each number of the rows by its name at MLflow, as `name step value`. */
function points(some: readonly MetricRow[]): string[] {
  return some.flatMap((row) =>
    Object.entries(row)
      .filter(([name, value]) => typeof value === "number" && name !== "global_step")
      .filter(([name]) => name !== "epoch" || !isEvalRow(row))
      .map(([name, value]) => `${name.replace(/[()]/g, "_")} ${row.global_step} ${value}`),
  );
}

function pointsAtMlflow(): string[] {
  assert.equal(tracker.runs.length, 1);
  return (tracker.runs[0]?.points ?? []).map(({ key: name, step, value }) => `${name} ${step} ${value}`);
}

test("every number under the names of transformers' callbacks, the configuration, the end, and the keys in their headers alone", async () => {
  write(rows, '{"global_step": 3, "lo');
  const { reports, troubles } = await send(["mlflow", "trackio"]);
  assert.deepEqual(troubles, []);
  assert.deepEqual(
    reports.map(({ tracker: name, sent, unsent }) => [name, sent, unsent]),
    [
      ["mlflow", 4, 0],
      ["trackio", 4, 0],
    ],
  );
  assert.deepEqual(pointsAtMlflow(), points(rows));
  const [run] = tracker.runs;
  assert.deepEqual([run?.info.status, run?.info.run_name], ["FINISHED", "a run"]);
  assert.deepEqual(run?.data.params, [
    { key: "learning_rate", value: "0.0001" },
    { key: "data", value: '["x"]' },
  ]);
  const [first, second] = [...tracker.rows.values()];
  assert.deepEqual(first?.metrics, {
    "train/epoch": 0,
    "eval/loss": 1 / 3,
    "eval/rewards/margins": "NaN",
    "train/global_step": 0,
  });
  assert.equal(second?.metrics["train/rewards/f(x)/mean"], "Infinity");
  assert.equal(first?.config?.["learning_rate"], 1e-4);
  assert.deepEqual(new Set(tracker.keys), new Set([`Basic ${basic}`, key]));
  for (const name of readdirSync(dir)) {
    assert.doesNotMatch(readFileSync(join(dir, name), "utf8"), secret, name);
  }
});

test("a resumed run continues the same run: steps that a tracker has are not sent again, also where the resumed run made them anew", async () => {
  write(rows.slice(0, 3));
  await send(["mlflow", "trackio"], { end: () => "left" });
  assert.equal(tracker.runs[0]?.info.status, "KILLED");
  // resumed from step 1: step 2 is trained again, with other measurements of time
  const more: MetricRow[] = [{ global_step: 3, loss: 4 }];
  write([...rows.slice(0, 2), { ...rows[2], step_time: 9 } as MetricRow, rows[3] as MetricRow, ...more]);
  await send(["mlflow", "trackio"]);
  assert.deepEqual(pointsAtMlflow(), points([...rows, ...more]));
  assert.deepEqual(
    [...tracker.rows.values()].map(({ step }) => step),
    [0, 1, 2, 2, 3],
  );
  assert.equal(new Set([...tracker.rows.values()].map((row) => row.run_id)).size, 1);
  assert.equal(tracker.runs[0]?.info.status, "FINISHED");
});

test("an answer that is lost, a restart in between and a server that comes back double and lose nothing", async () => {
  write(rows);
  tracker.mood = "lost";
  const lost = await send(["mlflow", "trackio"], { moods: ["lost", "lost", "lost"] });
  assert.deepEqual(
    lost.reports.map(({ sent }) => sent),
    [0, 0],
  );
  tracker.mood = "well";
  await send(["mlflow", "trackio"]);
  assert.deepEqual(pointsAtMlflow().sort(), points(rows).sort());
  assert.equal(tracker.rows.size, rows.length);
});

for (const mood of ["garbage", "full"] as const) {
  test(`a tracker that is ${mood} is told once, counted, and no key stands in what is told`, async () => {
    write(rows);
    tracker.mood = mood;
    const { reports, troubles } = await send(["mlflow", "trackio"], { moods: [mood, mood, mood] });
    assert.equal(troubles.length, 2);
    assert.match(
      troubles.join("\n"),
      mood === "full" ? /status 507: no space left/ : /expected JSON, got <html>/,
    );
    for (const { sent, unsent, trouble } of reports) {
      assert.deepEqual([sent, unsent], [0, 4]);
      assert.doesNotMatch(`${trouble} ${troubles}`, secret);
    }
    const state = readFileSync(join(dir, "trackers.json"), "utf8");
    assert.doesNotMatch(state, secret);
    tracker.mood = "well";
    assert.deepEqual(
      (await send(["mlflow"])).reports.map(({ sent }) => sent),
      [4],
    );
    assert.deepEqual(pointsAtMlflow(), points(rows));
  });
}

test("rows are read while they are written, a part of the file at a time", async () => {
  const long = "x".repeat(1000);
  const many = Array.from(
    { length: 700 },
    (_, i): MetricRow => ({ global_step: i + 1, loss: i, note: long }),
  );
  write(many.slice(0, 300));
  let pauses = 0;
  const { reports } = await send(["trackio"], {
    end: () => (pauses < 3 ? null : "done"),
    async pause() {
      pauses += 1;
      if (pauses === 2) write(many);
    },
  });
  assert.deepEqual([reports[0]?.sent, tracker.rows.size], [700, 700]);
  assert.deepEqual(
    [...tracker.rows.values()].map(({ step }) => step),
    many.map((row) => row.global_step),
  );
});

test("a tracker at another place begins the run there from its first row", async () => {
  write(rows);
  await send(["trackio"]);
  await using other = await fakeTracker();
  process.env["TRACKIO_SERVER_URL"] = other.url;
  await send(["trackio"]);
  assert.equal(other.rows.size, rows.length);
});

test("a tracker whose data are gone, or that lost the run, gets all rows again, be the run at its end or resumed", async () => {
  write(rows.slice(0, 3));
  await send(["mlflow", "trackio"], { end: () => "left" });
  for (const some of [rows.slice(0, 3), rows]) {
    tracker.runs = [];
    tracker.rows.clear();
    write(some);
    const { reports, troubles } = await send(["mlflow", "trackio"]);
    assert.deepEqual([reports.map(({ sent }) => sent), troubles], [[some.length, some.length], []]);
    assert.deepEqual(pointsAtMlflow(), points(some));
    assert.equal(tracker.rows.size, some.length);
    assert.equal(tracker.runs[0]?.info.status, "FINISHED");
  }
});

test("an end that a tracker does not take is told; once it takes it, nothing is", async () => {
  write(rows);
  let pauses = 0;
  const { reports } = await send(["mlflow"], {
    end: () => (pauses === 0 ? null : "done"),
    async pause() {
      pauses += 1;
      tracker.mood = "full";
    },
  });
  const [report] = reports;
  assert.deepEqual([report?.sent, report?.unsent, report?.isClosed], [4, 0, false]);
  assert.match(report?.trouble ?? "", /status 507/);
  tracker.mood = "well";
  tracker.requests.length = 0;
  const again = await send(["mlflow"], { moods: ["full", "well"] });
  assert.deepEqual(
    again.reports.map(({ isClosed, trouble }) => [isClosed, trouble]),
    [[true, null]],
  );
  assert.deepEqual(pointsAtMlflow(), points(rows));
});

test("what does not say where a tracker is, is refused with the remedy", () => {
  const refused = (name: RemoteTracker, env: Record<string, string>, message: RegExp): void => {
    assert.throws(() => trackerSettings(name, null, env), { name: "ConfigError", message });
  };
  refused("mlflow", {}, /MLFLOW_TRACKING_URI; it is not set\. Start `mlflow server`/);
  refused(
    "mlflow",
    { MLFLOW_TRACKING_URI: "sqlite:///runs.db" },
    /got "sqlite:\/\/\/runs\.db".*by its server alone/,
  );
  refused("trackio", { TRACKIO_SPACE_ID: "a/b" }, /a Space is filled by `trackio sync`/);
  const settings = trackerSettings("mlflow", null, {
    MLFLOW_TRACKING_URI: "http://u:p@h:1/base/",
    MLFLOW_EXPERIMENT_NAME: "e",
  });
  assert.deepEqual([settings.address, settings.project], ["http://h:1/base", "e"]);
  const byName = `Basic ${Buffer.from("u:p").toString("base64")}`;
  assert.equal(settings.headers["authorization"], byName);
  // of a name with its password and a token, MLflow's client sends the first
  const sentBy = (env: Record<string, string>) =>
    trackerSettings("mlflow", null, { MLFLOW_TRACKING_URI: "http://h", MLFLOW_TRACKING_TOKEN: "t", ...env })
      .headers;
  const both = { MLFLOW_TRACKING_USERNAME: "u", MLFLOW_TRACKING_PASSWORD: "p" };
  assert.deepEqual([sentBy(both), sentBy({})], [{ authorization: byName }, { authorization: "Bearer t" }]);
});

test("variables of transformers' callbacks that do nothing here are named, and an address is read as it stands", async (t) => {
  const warnings = listenToWarnings(t);
  const given = { MLFLOW_TRACKING_URI: "http://u%zz:p%40@h", MLFLOW_TAGS: "{}", MLFLOW_NESTED_RUN: "False" };
  const { headers } = trackerSettings("mlflow", null, given);
  assert.equal(headers["authorization"], `Basic ${Buffer.from("u%zz:p@").toString("base64")}`);
  assert.deepEqual(await warnings("mlflow:"), [
    "mlflow: the variable MLFLOW_TAGS is not used: set tags in MLflow.",
  ]);
});
