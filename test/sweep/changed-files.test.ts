/** A grid's finished runs when what they read was changed: data files edited between a stop and the next start. */
import assert from "node:assert/strict";
import { copyFileSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { test } from "node:test";
import { gridPaths, runGrid } from "../../src/sweep/grid.ts";
import { readMeasured } from "../../src/sweep/measured.ts";
import { type RunTask, runTrial } from "../../src/sweep/run-trial.ts";
import type { Trial } from "../../src/sweep/trial.ts";
import { type RunFixture, runFixture } from "../support/runs.ts";
import { pairRows, writeRows } from "../support/tiny-model.ts";

const silent = { write: () => true };

function trialOf({ values }: RunFixture, id: string): Trial {
  const short = { max_steps: 2, per_device_train_batch_size: 4, max_length: 96, save_strategy: "no" };
  const seed = id.length;
  return {
    id,
    condition: id,
    seed,
    file: null,
    values: { ...values, ...short },
    overrides: [],
    changes: {},
    extra: null,
  };
}

test("runs of files that changed since are trained again, by name; the others stay", async () => {
  using place = runFixture({ rows: 12, held: 4 });
  const [one, two, other] = ["one", "two", "other"].map((id) => trialOf(place, id)) as [Trial, Trial, Trial];
  const rows = place.path("other.jsonl");
  copyFileSync(String(place.values["train_data"]), rows);
  const third = { ...other, values: { ...other.values, train_data: rows } };
  const paths = gridPaths(place.path("grid"));
  const ran: string[] = [];
  const counting = async (task: RunTask): Promise<void> => {
    ran.push(basename(task.dir));
    await runTrial(task);
  };
  const said: string[] = [];
  const out = { write: (text: string) => said.push(text) > 0 };
  const options = { jobs: 1, out, runTask: counting };
  await runGrid([one, third], paths, options);
  const before = readFileSync(paths.before(one), "utf8");
  writeRows(String(place.values["train_data"]), pairRows(10));
  const evalData = String(place.values["eval_data"]);
  writeRows(evalData, pairRows(17).slice(13));
  ran.length = 0;
  said.length = 0;
  const outcomes = await runGrid([one, two, third], paths, options);
  assert.deepEqual(ran, [one.id, two.id, third.id]);
  const data = String(place.values["train_data"]);
  assert.deepEqual(said.slice(0, 2), [
    `${one.id} is trained again: ${data}, ${evalData} changed since\n`,
    `${third.id} is trained again: ${evalData} changed since\n`,
  ]);
  assert.notEqual(readFileSync(paths.before(one), "utf8"), before);
  const digests = [one, two].map(({ id }) => {
    const { data } = JSON.parse(readFileSync(join(paths.run(id), "fingerprints.json"), "utf8"));
    return Object.entries(data).filter(([name]) => name !== "rows");
  });
  assert.deepEqual(digests[0], digests[1], "all train on the rows that are there now");
  readMeasured(paths, outcomes);
  ran.length = 0;
  await runGrid([one, two, third], paths, options);
  assert.deepEqual(ran, []);
});

test("a finished run of an earlier version stands while its files are what they were; else nothing is removed", async () => {
  using place = runFixture({ rows: 12, held: 4 });
  const trial = trialOf(place, "one");
  const paths = gridPaths(place.path("grid"));
  const options = { jobs: 1, out: silent, runTask: runTrial };
  await runGrid([trial], paths, options);
  const mark = join(paths.run(trial.id), "measured.json");
  const { read: _, ...earlier } = JSON.parse(readFileSync(mark, "utf8"));
  writeFileSync(mark, JSON.stringify(earlier));
  await runGrid([trial], paths, { ...options, runTask: () => assert.fail("it is finished") });
  writeRows(String(place.values["train_data"]), pairRows(10));
  await assert.rejects(
    runGrid([trial], paths, options),
    /of an earlier version.*rm -r .*give another --output/,
  );
  assert.ok(existsSync(mark));
});

test("what a run exported since is measured again, and files that change while it trains are refused", async () => {
  using place = runFixture({ rows: 12, held: 4 });
  const trial = trialOf(place, "one");
  const paths = gridPaths(place.path("grid"));
  const tasks: RunTask[] = [];
  const options = { jobs: 1, out: silent };
  const keep = async (task: RunTask): Promise<void> => {
    tasks.push(task);
    await runTrial(task);
  };
  await runGrid([trial], paths, { ...options, runTask: keep });
  const dir = paths.run(trial.id);
  const measured = readFileSync(join(dir, "held-out.jsonl"), "utf8");
  // killed before its mark, with the pairs of another export
  rmSync(join(dir, "measured.json"));
  writeFileSync(join(dir, "held-out.jsonl"), "");
  await runGrid([trial], paths, { ...options, runTask: runTrial });
  assert.equal(readFileSync(join(dir, "held-out.jsonl"), "utf8"), measured);
  const other = { ...trial, id: "other" };
  const editing = async (task: RunTask): Promise<void> => {
    const running = runTrial(task);
    writeRows(String(place.values["train_data"]), pairRows(10));
    await running;
  };
  const [failed] = await runGrid([other], paths, { ...options, runTask: editing });
  assert.match(failed?.reason ?? "", /train.*\.jsonl changed while the run trained.*rm -r /);
  assert.ok(!existsSync(join(paths.run(other.id), "measured.json")));
});

test("a run taken from another folder is trained again when a file that it names changes, not one of the other folder's", async () => {
  using place = runFixture({ rows: 12, held: 4 });
  const trial = trialOf(place, "one");
  const first = gridPaths(place.path("first"));
  await runGrid([trial], first, { jobs: 1, out: silent, runTask: runTrial });
  // the same rows at another place
  const rows = place.path("own.jsonl");
  copyFileSync(String(place.values["train_data"]), rows);
  const own = { ...trial, values: { ...trial.values, train_data: rows } };
  const paths = gridPaths(place.path("second"));
  const ran: string[] = [];
  const runTask = async (task: RunTask): Promise<void> => {
    ran.push(basename(task.dir));
    await runTrial(task);
  };
  const options = { jobs: 1, out: silent, runTask };
  // with the pairs scored under the start, which both begin with
  await runGrid([{ ...own, id: "another", condition: "another", seed: 9 }], paths, options);
  ran.length = 0;
  await runGrid([own], paths, { ...options, reuse: [place.path("first")] });
  writeRows(String(place.values["train_data"]), pairRows(9));
  await runGrid([own], paths, options);
  assert.deepEqual(ran, [], "it is taken, and stands");
  writeRows(rows, pairRows(10));
  await runGrid([own], paths, options);
  assert.deepEqual(ran, [trial.id]);
});
