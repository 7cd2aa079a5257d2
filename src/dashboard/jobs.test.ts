/** The queue: one run a device, on disk, and processes that it only ever asks to stop by name. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { hostname, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { io } from "../base/file-io.ts";
import { startOf } from "../base/process-state.ts";
import { RunLock, stopHolder } from "../runs/run-lock.ts";
import { type Job, Jobs, type JobsOptions, type NewJob } from "./jobs.ts";

const root = mkdtempSync(join(tmpdir(), "preftune-jobs-"));
const children: ChildProcess[] = [];
after(() => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(root, { recursive: true });
});

let count = 0;

/** A queue whose jobs run until a file of their name appears in their folder. */
function queue(busy: Record<string, string> = {}): {
  jobs: Jobs;
  again: (change?: Partial<JobsOptions>) => Jobs;
  end: (name: string) => void;
} {
  const home = join(root, String(++count));
  mkdirSync(home);
  const script = `const {existsSync} = require("fs"); console.log("began", process.argv[1]);
    // one that begins when the tests are over finds no folder
    const isOver = () => existsSync("end-" + process.argv[1]) || !existsSync(${JSON.stringify(home)});
    const look = () => isOver() ? process.exit(7) : setTimeout(look, 30); look();`;
  const options = {
    ...{ dir: join(home, "jobs"), program: [process.execPath, "-e", script], cwd: home },
    busy: async () => new Map(Object.entries(busy)),
    onFault: (error: unknown) => assert.fail(String(error)),
  };
  const end = (name: string): void => writeFileSync(join(home, `end-${name}`), "");
  return { jobs: new Jobs(options), again: (change) => new Jobs({ ...options, ...change }), end };
}

const job = (name: string, device = "cpu"): NewJob => ({
  ...{ name, device, isResume: false, outputDir: join(root, name), yaml: `name: ${name}\n` },
  argv: () => [name],
});

const states = (jobs: Jobs): string[] => jobs.list().map(({ name, state }) => `${name} ${state}`);

/** Waits for something that another process does. */
async function until(test: () => boolean): Promise<void> {
  while (!test()) await new Promise((done) => setTimeout(done, 20));
}

test("one run a device, in order; the next begins when the one before has ended", async () => {
  const { jobs, end } = queue();
  const [a, b, c] = [job("a"), job("b"), job("c", "cuda:0")].map((one) => jobs.draft(one)) as [Job, Job, Job];
  assert.deepEqual(states(jobs), [], "drafts wait for a person");
  for (const { id } of [a, b, c]) await jobs.queue(id);
  assert.deepEqual(states(jobs), ["a started", "b queued", "c started"]);
  await assert.rejects(jobs.queue(b.id), /in the queue already/);
  assert.throws(() => jobs.remove(a.id), /stop the run first/);
  end("a");
  await until(() => jobs.get(a.id).state === "ended");
  assert.equal(jobs.get(a.id).status, 7);
  await jobs.startNext();
  assert.deepEqual(states(jobs), ["a ended", "b started", "c started"]);
  await until(() => jobs.texts(b.id).output === "began b\n");
  assert.equal(jobs.texts(b.id).yaml, "name: b\n");
  jobs.remove(a.id);
  assert.deepEqual(states(jobs), ["b started", "c started"]);
  end("b");
  end("c");
  await until(() => states(jobs).join() === "b ended,c ended");
});

test("a run is resumed while its stopped process is still ending: the job waits for that, and only one does", async () => {
  const { jobs, end } = queue();
  const first = jobs.draft(job("d"));
  await jobs.queue(first.id);
  const again = jobs.draft({ ...job("d"), isResume: true });
  assert.equal((await jobs.queue(again.id)).state, "queued");
  await assert.rejects(jobs.queue(jobs.draft(job("d")).id), /d is in the queue already/);
  await assert.rejects(
    jobs.queue(jobs.draft({ ...job("d"), isResume: true }).id),
    /d is in the queue already/,
  );
  end("d");
  await until(() => jobs.get(first.id).state === "ended");
  await jobs.startNext();
  await until(() => jobs.get(again.id).state === "ended");
});

test("a run of a terminal holds its device, and 'auto' may be any", async () => {
  const { jobs } = queue({ "/elsewhere": "cuda:0" });
  for (const one of [job("x", "auto"), job("y", "cuda:1")]) await jobs.queue(jobs.draft(one).id);
  assert.deepEqual(
    states(jobs),
    ["x queued", "y queued"],
    "y does not overtake x, which may want the same device",
  );
});

test("what was started outlives the dashboard, and another dashboard knows it", async () => {
  const { jobs, again, end } = queue();
  const { id } = jobs.draft(job("long"));
  await jobs.queue(id);
  const other = again();
  assert.deepEqual(states(other), ["long started"]);
  const { pid = 0 } = other.get(id).process ?? {};
  assert.ok(pid > 0 && pid !== process.pid);
  // its own group: a Ctrl-C at the dashboard's terminal does not reach it
  assert.doesNotThrow(() => process.kill(-pid, 0));
  end("long");
  await until(() => other.get(id).state === "ended");
  assert.equal(other.get(id).status, null, "it was no child of this one");
});

test("a number that was given to another process is not taken for the job's", async () => {
  const { jobs, again, end } = queue();
  const { id } = jobs.draft(job("gone"));
  await jobs.queue(id);
  end("gone");
  await until(() => jobs.get(id).state === "ended");
  const path = join(root, String(count), "jobs", id, "job.json");
  const stale: Job = { ...jobs.get(id), state: "started", process: { pid: process.pid, started: "1" } };
  writeFileSync(path, JSON.stringify(stale));
  assert.equal(again().get(id).state, "ended");
});

/** Writes what a dashboard would have left of a job. */
function left(id: string, change: Partial<Job>): string {
  const path = join(root, String(count), "jobs", id, "job.json");
  const job = JSON.parse(readFileSync(path, "utf8")) as Job;
  writeFileSync(path, JSON.stringify({ ...job, ...change }));
  return path;
}

test("a dashboard that was killed while it started a job starts it no second time, and says so", async () => {
  const { jobs, again } = queue();
  const { id } = jobs.draft(job("cut"));
  left(id, { state: "started" });
  const other = again();
  await other.startNext();
  assert.deepEqual(states(other), ["cut ended"]);
  assert.match(other.texts(id).output, /^The dashboard ended while it started this/);
});

test("a training whose process nobody could write down runs as long as it holds its run", () => {
  const { jobs, again } = queue();
  const draft = jobs.draft(job("held"));
  left(draft.id, { state: "started" });
  mkdirSync(draft.outputDir);
  const lock = new RunLock(join(draft.outputDir, "run.lock"), null);
  const others = [again({ isReadOnly: true }), again()] as const;
  for (const other of others) assert.deepEqual(states(other), ["held started"]);
  lock.release();
  for (const other of others.toReversed()) assert.deepEqual(states(other), ["held ended"]);
  assert.equal(others[1].texts(draft.id).output, "");
});

test("a job whose file is damaged is reported and left out; a draft is forgotten after a day", () => {
  const { jobs, again } = queue();
  const [bad, old, kept] = ["bad", "old", "kept"].map((name) => jobs.draft(job(name))) as [Job, Job, Job];
  const path = left(bad.id, { argv: 7 as never });
  left(old.id, { queuedAt: Date.now() - 2 * 86_400_000 });
  const faults: string[] = [];
  const other = again({ onFault: (error) => faults.push(String(error)) });
  assert.equal(faults.length, 1);
  assert.ok(faults[0]?.includes(`${path}: expected what a dashboard wrote of a job`), faults[0]);
  assert.throws(() => other.get(bad.id), /no such job/);
  assert.throws(() => other.get(old.id), /no such job/);
  assert.equal(other.get(kept.id).state, "draft");
});

test("a second dashboard sees what the first one does, and writes nothing", async () => {
  const { jobs, again, end } = queue();
  const reader = again({ isReadOnly: true });
  const { id } = jobs.draft(job("seen"));
  await jobs.queue(id);
  assert.deepEqual(states(reader), ["seen started"]);
  const path = left(id, { process: { pid: process.pid, started: "1" } });
  const before = readFileSync(path, "utf8");
  assert.deepEqual(states(reader), ["seen ended"]);
  assert.equal(readFileSync(path, "utf8"), before);
  end("seen");
  await until(() => jobs.get(id).state === "ended");
  assert.ok(existsSync(path));
});

test("a program that is not there ends the job, with the reason in its output", async () => {
  const { again } = queue();
  const jobs = again({ program: ["/no/such/program"] });
  const { id } = jobs.draft(job("lost"));
  assert.equal((await jobs.queue(id)).state, "ended");
  assert.match(jobs.texts(id).output, /no such program/);
});

test("of a job's output the end is shown, however long it is", () => {
  const { jobs, again } = queue();
  const { id } = jobs.draft(job("long"));
  assert.equal(jobs.texts(id).output, "");
  const output = join(dirname(jobs.configOf(id)), "output.txt");
  writeFileSync(output, "short 語\n");
  assert.equal(jobs.texts(id).output, "short 語\n");
  // longer than what is read at once elsewhere, with a piece of a character where the end begins
  truncateSync(output, 300 * 2 ** 20);
  const end = "語".repeat(10_900);
  appendFileSync(output, `${end}\n`);
  assert.equal(again().texts(id).output, `${end.slice(0, 7999)}\n`);
});

test("cuda may be any of its devices", async () => {
  const { jobs, end } = queue({ "/elsewhere": "cuda" });
  end("y");
  for (const one of [job("x", "cuda:1"), job("y", "cpu")]) await jobs.queue(jobs.draft(one).id);
  assert.match(states(jobs).join(), /^x queued,y (started|ended)$/);
});

test("stop asks the process that the lock names, and no other of its number, host or time", async () => {
  const child = spawn(process.execPath, ["-e", "console.log('up'); setInterval(() => {}, 1000)"]);
  children.push(child);
  await new Promise((done) => child.stdout.once("data", done));
  const path = join(root, "run.lock");
  const lock = {
    pid: child.pid,
    host: hostname(),
    thread: null,
    started: startOf(child.pid ?? 0),
    job: null,
  };
  const locked = (change: object): string | null => {
    writeFileSync(path, JSON.stringify({ ...lock, ...change }));
    return stopHolder(path);
  };
  assert.match(stopHolder(join(root, "none")) ?? "", /has no lock/);
  assert.match(locked({ host: "elsewhere" }) ?? "", /another machine, elsewhere/);
  assert.match(locked({ started: "1" }) ?? "", /is gone/);
  assert.match(locked({ started: null }) ?? "", /cannot be ruled out/);
  assert.equal(child.signalCode, null);
  assert.equal(locked({}), null);
  await new Promise((done) => child.once("exit", done));
  assert.equal(child.signalCode, "SIGTERM");
});

test("on a full disk a draft that is refused stays one, and no dashboard says that a training that began has ended", async () => {
  const { jobs, again, end } = queue();
  const draft = jobs.draft(job("full"));
  const { renameSync } = io;
  const path = join(root, String(count), "jobs", draft.id, "job.json");
  /** No more than so many descriptions of the job can be written from now on. */
  const room = (left: number): void => {
    let written = 0;
    io.renameSync = (from, to) => {
      if (to === path && ++written > left) throw Object.assign(new Error("full"), { code: "ENOSPC" });
      renameSync(from, to);
    };
  };
  try {
    room(0);
    await assert.rejects(jobs.queue(draft.id), /full|space/);
    assert.equal(jobs.get(draft.id).state, "draft");
    // that it is queued and about to be started can be written, its process not
    room(2);
    assert.equal((await jobs.queue(draft.id)).state, "started");
    await until(() => jobs.texts(draft.id).output === "began full\n");
    // once there is room another dashboard finds the process, though nobody asked this one for anything
    room(1);
    await jobs.startNext();
    for (const isReadOnly of [true, false]) assert.deepEqual(states(again({ isReadOnly })), ["full started"]);
    end("full");
    await until(() => jobs.get(draft.id).state === "ended");
    assert.deepEqual([jobs.get(draft.id).status, jobs.texts(draft.id).output], [7, "began full\n"]);
    room(1);
    await jobs.startNext();
    assert.equal(again().get(draft.id).status, 7);
  } finally {
    io.renameSync = renameSync;
  }
});
