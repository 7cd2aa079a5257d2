/** The runs of a dashboard: one that is damaged hides no other, and what pages show stays in memory. */
import assert from "node:assert/strict";
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { writeRun } from "../../test/support/dashboards.ts";
import { startOf } from "../base/process-state.ts";
import { MarksFile } from "./run-marks.ts";
import { idOf, RunStore } from "./run-store.ts";
import { SummaryFile } from "./summary-file.ts";

const root = mkdtempSync(join(tmpdir(), "preftune-store-"));
after(() => rmSync(root, { recursive: true }));

const marks = new MarksFile(root, realpathSync(root));
const faults: unknown[] = [];
const onFault = (error: unknown): void => void faults.push(error);

test("a run whose files cannot be read says why, and the others are listed", async () => {
  const runs = join(root, "unread");
  const [bad] = ["bad", "good"].map((name) => writeRun(runs, name)) as [string, string];
  rmSync(join(bad, "metrics.jsonl"));
  mkdirSync(join(bad, "metrics.jsonl"));
  const list = await new RunStore([runs], { file: null, marks, onFault }).list();
  const said = new Map(list.map(({ name, message, step }) => [name, { message, step }]));
  assert.match(said.get("bad")?.message ?? "", /bad\/metrics\.jsonl/);
  assert.ok(!said.get("bad")?.message.includes(runs), "no path of this machine");
  assert.deepEqual(said.get("good"), { message: "", step: 10 });
  assert.deepEqual(list.map(({ name, stateText }) => `${name} ${stateText}`).toSorted(), [
    "bad cannot be read",
    "good stopped",
  ]);
  assert.deepEqual(faults, []);
});

test("a run that stopped between two rows is at the step it stopped at, and a resumed one at its checkpoint's", async () => {
  const runs = join(root, "between");
  const dir = writeRun(runs, "a");
  const add = (event: string, step: number): void =>
    appendFileSync(
      join(dir, "log.jsonl"),
      `${JSON.stringify({ time: "2026-01-01T00:00:00Z", event, step })}\n`,
    );
  const path = join(root, "between.sqlite");
  const steps: (number | undefined)[] = [];
  for (const [event, step] of [
    ["stopped", 14],
    ["start", 12],
    ["done", 13],
  ] as const) {
    add(event, step);
    const file = new SummaryFile(path);
    const [one] = await new RunStore([runs], { file, marks, onFault }).list();
    file.close();
    steps.push(one?.step);
  }
  assert.deepEqual(steps, [14, 12, 13]);
});

test("a figure that is not finite is shown as that, after a restart too; a damaged index is passed over", async () => {
  const runs = join(root, "nan");
  const rows = [
    { global_step: 5, epoch: 1, loss: Number.NaN, "eval_logps/accuracies": Number.POSITIVE_INFINITY },
  ];
  const dir = realpathSync(writeRun(runs, "a", rows));
  const path = join(root, "index.sqlite");
  for (let start = 0; start < 2; start++) {
    const file = new SummaryFile(path);
    const [one] = await new RunStore([runs], { file, marks, onFault }).list();
    assert.deepEqual([one?.loss, one?.accuracy, one?.step], ["NaN", "Infinity", 10]);
    assert.notEqual(file.saved(dir), null);
    file.close();
  }
  const { DatabaseSync } = process.getBuiltinModule("node:sqlite");
  const db = new DatabaseSync(path);
  db.exec("UPDATE runs SET summary = '{'");
  db.close();
  const file = new SummaryFile(path);
  assert.equal(file.saved(dir), null);
  // one that cannot be written any more is told of once, and keeps no run from being listed
  const store = new RunStore([runs], { file: brokenFile(file), marks, onFault });
  assert.equal((await store.list()).length, 1);
  writeRun(runs, "b");
  store.expectChange();
  assert.equal((await store.list()).length, 2);
  assert.deepEqual(faults.splice(0).map(String), ["Error: the disk is full"]);
  file.close();
});

function brokenFile(file: SummaryFile): SummaryFile {
  const save = (): void => {
    throw new Error("the disk is full");
  };
  return Object.assign(Object.create(file) as SummaryFile, { save, saved: () => null });
}

test("runs that pages show stay in memory, however many; others are forgotten", async () => {
  const runs = join(root, "many");
  const ids = Array.from({ length: 15 }, (_, i) => idOf(realpathSync(writeRun(runs, `r${i}`))));
  const store = new RunStore([runs], { file: null, marks, onFault });
  const places = async () => await Promise.all(ids.map(async (id) => (await store.live(id)).place.reading));
  const hide = store.show(ids);
  const first = await places();
  assert.deepEqual(await places(), first, "read once");
  hide();
  assert.notDeepEqual(await places(), first, "the first three were forgotten");
});

test("a run whose run.json is damaged while it runs holds every device", async () => {
  const runs = join(root, "busy");
  const dir = realpathSync(writeRun(runs, "a"));
  const child = process.ppid;
  const lock = { pid: child, host: hostname(), thread: null, started: startOf(child), job: null };
  writeFileSync(join(dir, "run.lock"), JSON.stringify(lock));
  const store = new RunStore([runs], { file: null, marks, onFault });
  assert.deepEqual([...(await store.devices())], [[dir, "auto"]]);
  writeFileSync(join(dir, "run.json"), "{");
  assert.deepEqual([...(await store.devices())], [[dir, "auto"]]);
});

const readSoFar = (): number => Number(/^rchar: (\d+)/m.exec(readFileSync("/proc/self/io", "utf8"))?.[1]);
const skip = process.platform === "linux" ? false : "counts what Linux counts";

test("what is indexed is not read again, and of a run that went on only what is new", { skip }, async () => {
  const runs = join(root, "indexed");
  const rows = Array.from({ length: 3000 }, (_, i) => ({
    global_step: i + 1,
    epoch: i / 100,
    loss: 1 / (i + 1),
  }));
  const dirs = Array.from({ length: 4 }, (_, i) => writeRun(runs, `r${i}`, rows));
  const file = new SummaryFile(join(root, "indexed.sqlite"));
  const listed = async (): Promise<{ steps: number[]; read: number }> => {
    const before = readSoFar();
    const list = await new RunStore([runs], { file, marks, onFault }).list();
    return { steps: list.map(({ step }) => step), read: readSoFar() - before };
  };
  const first = await listed();
  assert.deepEqual(first.steps, [3000, 3000, 3000, 3000]);
  appendFileSync(join(dirs[0] ?? "", "metrics.jsonl"), '{"global_step":3001,"epoch":30}\n');
  const second = await listed();
  assert.deepEqual(second.steps.toSorted(), [3000, 3000, 3000, 3001]);
  assert.ok(second.read < first.read / 4, `${first.read} bytes, then ${second.read}`);
  const config = readFileSync(join(dirs[0] ?? "", "run.json")).length;
  assert.ok((await listed()).read < 4 * config, "nor are configurations that are as they were");
  file.close();
});
