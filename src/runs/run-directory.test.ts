/** Run directories: made, locked, refused, resumed, read. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { armFault } from "../../test/support/faults.ts";
import { ConfigError, FileError, FormatError, TrainingError } from "../base/errors.ts";
import { loadConfig, type ResolvedConfig } from "../config/load-config.ts";
import { writeCheckpoint } from "./checkpoints.ts";
import { MetricsWriter } from "./metrics.ts";
import {
  changedFingerprints,
  createRun,
  type Fingerprints,
  isRun,
  openRun,
  runPaths,
} from "./run-directory.ts";
import { RunLock } from "./run-lock.ts";
import { resumeRun } from "./run-resume.ts";

const root = mkdtempSync(join(tmpdir(), "preftune-run-"));
after(() => rmSync(root, { recursive: true }));
let count = 0;

function configured(extra: Record<string, unknown> = {}, dir = join(root, String(count++))): ResolvedConfig {
  return loadConfig({
    values: { model_name_or_path: "m", train_data: "a.jsonl", output_dir: dir, ...extra },
  });
}

const FINGERPRINTS: Fingerprints = {
  data: { "a.jsonl": "11" },
  template: null,
  tokenizer: "22",
  model: "33",
  code_version: "0.1.0",
  torch_version: "2.13.0",
  device: "cpu",
  dtype: "float32",
  threads: 2,
};

test("a run is written and read back", async () => {
  const resolved = configured({ objective: "simpo", use_peft: true });
  const run = createRun(resolved);
  run.log("start", { steps: 3 });
  run.saveSealed(run.paths.fingerprints, FINGERPRINTS);
  const metrics = new MetricsWriter(run.paths.metrics);
  metrics.write({ global_step: 1, loss: Number.NaN });
  metrics.close();
  await writeCheckpoint(run.paths.checkpoints, 1, (dir) => writeFileSync(join(dir, "x"), "x"));
  run.release();
  const view = openRun(resolved.config.output_dir);
  assert.deepEqual(view.config, resolved.config);
  assert.equal(view.provenance.beta, "preset authors");
  assert.deepEqual(view.fingerprints, FINGERPRINTS);
  assert.deepEqual(view.metrics, [{ global_step: 1, loss: Number.NaN }]);
  assert.equal(view.events[0]?.event, "start");
  assert.equal(view.checkpoints[0]?.step, 1);
  assert.equal(view.preflight, null);
  assert.ok(!existsSync(run.paths.lock));
  const again = loadConfig({ file: run.paths.configYaml });
  assert.deepEqual(again.config, resolved.config);
});

test("an existing run is not written over, and not resumed with other values", async () => {
  const resolved = configured();
  const dir = resolved.config.output_dir;
  const run = createRun(resolved);
  await writeCheckpoint(run.paths.checkpoints, 1, (to) => writeFileSync(join(to, "x"), "x"));
  run.release();
  assert.throws(
    () => createRun(resolved),
    (e) => e instanceof ConfigError && /already holds a run.*--resume/.test(e.message),
  );
  const changed = configured({ logging_steps: 1, resume_from_checkpoint: "latest" }, dir);
  const resumed = resumeRun(changed);
  assert.equal(
    openRun(dir).config.logging_steps,
    10,
    "nothing is written before the caller has checked its data",
  );
  resumed.saveConfig(changed);
  resumed.release();
  assert.equal(openRun(dir).config.logging_steps, 1);
  assert.throws(
    () => resumeRun(configured({ learning_rate: 1 }, dir)),
    (e) => e instanceof TrainingError && /learning_rate: 0\.000001, now 1/.test(e.message),
  );
  // The refusal gave the lock back.
  resumeRun(resolved).release();
});

test("the rows of a step are settled at the first start, and kept on another number of ranks", async () => {
  const own = { per_device_train_batch_size: 2, gradient_accumulation_steps: 2 };
  const resolved = configured(own);
  const dir = resolved.config.output_dir;
  const run = createRun(resolved, { ranks: 3, job: null });
  await writeCheckpoint(run.paths.checkpoints, 1, (to) => writeFileSync(join(to, "x"), "x"));
  run.release();
  assert.equal(openRun(dir).config.train_batch_size, 12);
  for (const [ranks, accumulation] of [
    [2, 3],
    [1, 6],
    [4, 2],
  ] as const) {
    const resumed = resumeRun(configured({ ...own, resume_from_checkpoint: "latest" }, dir), {
      ranks,
      job: null,
    });
    const { config } = resumed.resolved;
    assert.deepEqual([config.train_batch_size, config.gradient_accumulation_steps], [12, accumulation]);
    resumed.saveConfig(resumed.resolved);
    resumed.release();
  }
  const other = { per_device_train_batch_size: 2, train_batch_size: 16, resume_from_checkpoint: "latest" };
  assert.throws(
    () => resumeRun(configured(other, dir), { ranks: 2, job: null }),
    /train_batch_size: 12, now 16/,
  );
  const smaller = { per_device_train_batch_size: 1, train_batch_size: 12, resume_from_checkpoint: "latest" };
  resumeRun(configured(smaller, dir), { ranks: 2, job: null }).release();
});

test("a run that took no step is started over, without what it left behind", () => {
  const resolved = configured({ learning_rate: 1 });
  const dir = resolved.config.output_dir;
  const { metrics, fingerprints, log } = runPaths(dir);
  const run = createRun(resolved);
  run.log("failed", { message: "no such file" });
  run.saveSealed(fingerprints, FINGERPRINTS);
  writeFileSync(metrics, '{"global_step":0,"eval_loss":1}\n');
  writeFileSync(join(dir, "evaluation-start.json"), "{}");
  writeFileSync(join(dir, "notes.txt"), "mine");
  run.release();

  createRun(configured({ learning_rate: 2 }, dir)).release();
  assert.equal(openRun(dir).config.learning_rate, 2);
  for (const path of [metrics, fingerprints, join(dir, "evaluation-start.json")])
    assert.ok(!existsSync(path), path);
  assert.equal(readFileSync(join(dir, "notes.txt"), "utf8"), "mine");
  assert.match(readFileSync(log, "utf8"), /no such file/);

  writeFileSync(metrics, '{"global_step":3,"loss":1}\n');
  assert.throws(
    () => createRun(resolved),
    (e) =>
      e instanceof ConfigError &&
      /a run, of 3 steps and without a checkpoint.*Begin it again with --resume/.test(e.message),
  );
  assert.equal(readFileSync(metrics, "utf8"), '{"global_step":3,"loss":1}\n');
});

test("a run killed while it wrote is started over, and what it was writing is cleared away", () => {
  const resolved = configured();
  const dir = resolved.config.output_dir;
  const tag = "4194304-0123abcd";
  mkdirSync(dir);
  writeFileSync(join(dir, `.run.json.tmp-${tag}`), "{");
  writeFileSync(join(dir, "log.jsonl"), "");
  resumeRun(resolved).release();
  assert.ok(isRun(dir), "killed before it was known for a run: --resume begins again");
  createRun(resolved).release();
  assert.ok(isRun(dir));

  for (const name of [`.checkpoint-3.new-${tag}`, `.checkpoint-1.gone-${tag}`, `.checkpoint-2.old-${tag}`]) {
    mkdirSync(join(dir, "checkpoints", name), { recursive: true });
  }
  writeFileSync(join(dir, `.config.yaml.tmp-${tag}`), "seed: 1");
  createRun(resolved).release();
  const left = readdirSync(dir, { recursive: true }).filter((name) => String(name).includes(tag));
  assert.deepEqual(left, [join("checkpoints", `.checkpoint-2.old-${tag}`)]);
});

test("a directory with anything else in it is left alone", () => {
  const resolved = configured();
  const dir = resolved.config.output_dir;
  mkdirSync(dir);
  writeFileSync(join(dir, "thesis.tex"), "years of work");
  assert.throws(
    () => createRun(resolved),
    (e) => e instanceof ConfigError && /not empty and not a run \(it holds thesis\.tex\)/.test(e.message),
  );
  assert.ok(!existsSync(join(dir, "run.lock")));
  assert.throws(() => resumeRun(resolved), /holds no run to resume/);
  assert.throws(() => openRun(dir), /has no run\.json/);
  assert.ok(!isRun(dir));
});

test("files of a run that took no step, which cannot be removed, are a clear error", () => {
  const resolved = configured();
  createRun(resolved).release();
  writeFileSync(join(resolved.config.output_dir, "metrics.jsonl"), "");
  using _ = armFault({ code: "EROFS", at: 1, names: ["rmSync"], on: /metrics\.jsonl$/ });
  assert.throws(
    () => createRun(resolved),
    (error) => error instanceof FileError && /Cannot remove .*metrics\.jsonl/.test(error.message),
  );
});

test("an output_dir that cannot be made is a clear error", () => {
  const file = join(root, "a-file");
  writeFileSync(file, "");
  assert.throws(() => createRun(configured({}, join(file, "run"))), /Cannot make .*a-file/);
});

test("one trainer per run: a lock of a living process holds, one of a dead process is taken over", () => {
  const resolved = configured();
  const { lock } = runPaths(resolved.config.output_dir);
  const run = createRun(resolved);
  assert.throws(
    () => resumeRun(resolved),
    (e) => e instanceof TrainingError && e.message.includes(`process ${process.pid}`),
  );
  run.release();
  const dead = spawnSync(process.execPath, ["-e", ""]).pid;
  writeFileSync(lock, JSON.stringify({ pid: dead, host: hostname(), started: null }));
  const resumed = resumeRun(resolved);
  assert.match(resumed.notes[0] ?? "", new RegExp(`locked by process ${dead}, which is gone`));
  resumed.release();
  assert.ok(!existsSync(lock));
});

test("a holder that was killed and not reaped yet is gone", {
  skip: !existsSync("/proc/self/stat"),
}, async (t) => {
  // sleep takes the shell's place and never asks what became of the shell's child
  const parent = spawn("sh", ["-c", "sleep 600 & echo $!; exec sleep 600"]);
  t.after(() => parent.kill("SIGKILL"));
  const [text] = await once(parent.stdout, "data");
  const pid = Number(String(text));
  const fields = () => {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  };
  // a shell would reap the child: it is killed once there is no shell any more
  while (readFileSync(`/proc/${parent.pid}/comm`, "utf8").trim() !== "sleep") await setTimeout(10);
  process.kill(pid, "SIGKILL");
  while (fields()[0] !== "Z") await setTimeout(10);
  const path = join(root, "zombie.lock");
  writeFileSync(path, JSON.stringify({ pid, host: hostname(), started: fields()[19] }));
  const lock = new RunLock(path);
  assert.match(lock.note ?? "", new RegExp(`process ${pid}, which is gone`));
  lock.release();
});

test("locks of another machine, of a reused pid, and half-written ones", () => {
  const path = join(root, "a.lock");
  writeFileSync(path, JSON.stringify({ pid: 1, host: "elsewhere", started: null }));
  assert.throws(() => new RunLock(path), /process 1 on elsewhere/);
  if (existsSync("/proc/self/stat")) {
    writeFileSync(path, JSON.stringify({ pid: process.pid, host: hostname(), started: "1" }));
    new RunLock(path).release();
  }
  writeFileSync(path, "{");
  assert.throws(() => new RunLock(path), /another process is starting/);
  utimesSync(path, 0, 0);
  const lock = new RunLock(path);
  assert.match(lock.note ?? "", /unknown process/);
  lock.release();
});

test("a run.json that was changed or is of another kind is refused", () => {
  const resolved = configured();
  createRun(resolved).release();
  const { runJson, dir } = runPaths(resolved.config.output_dir);
  const { sha256: _seal, ...saved } = JSON.parse(readFileSync(runJson, "utf8"));
  const write = (value: unknown): void => writeFileSync(runJson, JSON.stringify(value));
  write({ ...saved, config: { ...saved.config, lora_r: "x" } });
  assert.throws(
    () => openRun(dir),
    (e) => e instanceof FormatError && /config\.lora_r: expected a whole number/.test(e.message),
  );
  write({ ...saved, version: 9 });
  assert.throws(() => openRun(dir), /expected a run of version 1 to 2, got "preftune run" version 9/);
  write({ model_type: "llama" });
  assert.throws(() => openRun(dir), FormatError);
  // A key that is younger than the run has its default.
  const { log_entropy: _, ...older } = saved.config;
  write({ ...saved, config: older });
  assert.equal(openRun(dir).config.log_entropy, false);
  // In version 1 a weight of 1 in all sources was none.
  const [source] = saved.config.train_data;
  for (const [version, weights, now] of [
    [1, [1, 1], [null, null]],
    [1, [1, 2], [1, 2]],
    [2, [1, 1], [1, 1]],
  ] as const) {
    const trainData = weights.map((weight) => ({ ...source, weight }));
    write({ ...saved, version, config: { ...saved.config, train_data: trainData } });
    assert.deepEqual(
      openRun(dir).config.train_data.map(({ weight }) => weight),
      now,
    );
  }
  // Once constant warmed up; without a warm-up it is what it was.
  for (const [warmupSteps, now] of [
    [3, "constant_with_warmup"],
    [0, "constant"],
  ]) {
    write({
      ...saved,
      config: { ...saved.config, lr_scheduler_type: "constant", warmup_steps: warmupSteps },
    });
    assert.equal(openRun(dir).config.lr_scheduler_type, now);
  }
});

test("changed fingerprints are named", () => {
  assert.deepEqual(changedFingerprints(FINGERPRINTS, FINGERPRINTS), []);
  const now = { ...FINGERPRINTS, threads: 4, data: { "b.jsonl": "44" } };
  assert.deepEqual(changedFingerprints(FINGERPRINTS, now), [
    "data a.jsonl: 11, now not read",
    "data b.jsonl: not read, now 44",
    "threads: 2, now 4",
  ]);
  // a run of an earlier version kept none of these
  const added = { "drift_data[0]/o.jsonl": "55", "hub:o/n": "77" };
  const other = { ...FINGERPRINTS, data: { ...FINGERPRINTS.data, ...added } };
  assert.deepEqual(changedFingerprints(FINGERPRINTS, other), []);
  const edited = { ...other, data: { ...other.data, "drift_data[0]/o.jsonl": "66" } };
  assert.deepEqual(changedFingerprints(other, edited), ["data drift_data[0]/o.jsonl: 55, now 66"]);
  const moved = { ...other, data: { ...other.data, "hub:o/n": "88" } };
  assert.deepEqual(changedFingerprints(other, moved), ["data hub:o/n: 77, now 88"]);
});
