/**
 * Row 6: a disk that is really full: files limited by the system (RLIMIT_FSIZE) and a small tmpfs. Save, metrics, export and
 * judgments fail with the bytes they need, earlier checkpoints stay good, and the run goes on once there is space.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { FileError } from "../../src/base/errors.ts";
import { JudgmentStore } from "../../src/evaluate/judge/judgment-store.ts";
import { listCheckpoints, verifyCheckpoint } from "../../src/runs/checkpoints.ts";
import { isRun } from "../../src/runs/run-directory.ts";
import { amount, figure, isNightly } from "../support/campaign.ts";
import {
  assertSameRun,
  checkpointOf,
  filesOf,
  runFixture,
  runTraining,
  type Values,
} from "../support/runs.ts";

const lastStep = 4;
const fixture = runFixture({ rows: 4, held: 1, config: { num_hidden_layers: 1 } });
const recipe: Values = {
  ...fixture.values,
  objective: "dpo",
  use_peft: true,
  lora_r: 2,
  learning_rate: 1e-2,
  per_device_train_batch_size: 2,
  max_steps: lastStep,
  logging_steps: 1,
  eval_steps: 2,
  save_steps: 1,
  save_total_limit: 2,
  export_merged: true,
};
const whole = fixture.path("whole");
const mounted = fixture.path("small-disk");
after(() => {
  if (existsSync(mounted)) spawnSync("umount", [mounted]);
  fixture[Symbol.dispose]();
});

/** Lets this process's files grow to `bytes` at most until disposed. */
function limitFiles(bytes: number): Disposable {
  const set = (limit: string): number | null =>
    spawnSync("prlimit", ["--pid", String(process.pid), `--fsize=${limit}:`]).status;
  assert.equal(set(String(bytes)), 0);
  return { [Symbol.dispose]: () => void set("unlimited") };
}

const hasLimits = spawnSync("prlimit", ["--version"]).status === 0;
const noLimits = hasLimits ? false : "there is no prlimit here";

async function goOn(dir: string): Promise<unknown> {
  const goesOn = isRun(dir) ? { resume_from_checkpoint: "latest" } : {};
  return runTraining({ ...recipe, output_dir: dir, ...goesOn });
}

/** What a run on a disk that became full left: an error that tells, good checkpoints, nothing half-written. */
function assertLeft(error: unknown, dir: string): void {
  assert.ok(error instanceof FileError, `expected a FileError, got ${(error as Error)?.stack}`);
  assert.equal(error.exitCode, 5);
  assert.match(error.message, /\(ENOSPC\)|\(EFBIG\)|are needed/);
  assert.ok(error.message.includes(dir), error.message);
  for (const checkpoint of listCheckpoints(join(dir, "checkpoints"))) {
    assert.deepEqual(verifyCheckpoint(checkpoint), []);
  }
}

test("files that may not grow beyond a size: each size is told, and the run goes on where it was", {
  skip: noLimits,
}, async () => {
  await runTraining({ ...recipe, output_dir: whole });
  const sizes = Object.keys(filesOf(whole)).map((name) => statSync(join(whole, name)).size);
  const largest = Math.max(...sizes);
  const tries = amount(6, 120);
  let reported = 0;
  let needed = 0;
  for (let i = 0; i < tries; i++) {
    const dir = fixture.path(`limited-${i}`);
    const bytes = Math.floor(64 * (largest / 64) ** (i / tries));
    let error: unknown = null;
    {
      using _ = limitFiles(bytes);
      error = await runTraining({ ...recipe, output_dir: dir }).catch((reason: unknown) => reason);
    }
    if (error instanceof Error) {
      assertLeft(error, dir);
      reported += 1;
      if (/\d+ bytes .*are needed/.test(error.message)) needed += 1;
    }
    await goOn(dir);
    assertSameRun(dir, whole, lastStep);
    rmSync(dir, { recursive: true });
    if (isNightly && i % 20 === 0) console.log(`limit ${bytes} bytes: ${i} of ${tries}`);
  }
  figure(
    6,
    "training with files limited to a size (RLIMIT_FSIZE), from 64 bytes to that of its largest file",
    `${reported} of ${tries} sizes stop it, ${needed} name the bytes needed, all go on and end bit for bit`,
    "no loss of a checkpoint, resumes",
    reported >= tries - 1 && needed === reported,
  );
});

test("judgments on a file that may not grow: those that were kept stay, the rest is told and kept later", {
  skip: noLimits,
}, () => {
  const label = { model: "rule", messages: "[]" };
  const reply = (key: string) => ({ text: key.repeat(500), finishReason: null, usage: null });
  let kept = 0;
  const path = fixture.path("judgments.sqlite");
  {
    using store = new JudgmentStore(path);
    using _ = limitFiles(200_000);
    assert.throws(
      () => {
        for (; kept < 1000; kept++) store.put(`k${kept}`, label, reply(`k${kept}`));
      },
      (error: unknown) => {
        assert.ok(error instanceof FileError);
        assert.match(
          error.message,
          /judgments\.sqlite: .*\d+ bytes \(.*\) are needed\. Judgments in it are kept\. Free space/,
        );
        return true;
      },
    );
  }
  assert.ok(kept > 10, `${kept}`);
  using store = new JudgmentStore(path);
  for (let i = 0; i < kept; i++) assert.equal(store.get(`k${i}`)?.text, reply(`k${i}`).text);
  store.put(`k${kept}`, label, reply(`k${kept}`));
  assert.ok(store.get(`k${kept}`) !== null);
});

/** A tmpfs of a size at `mounted`; gives why there can be none. */
function mountSmall(bytes: number): string | false {
  mkdirSync(mounted);
  const { status, stderr } = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${bytes}`, "tmpfs", mounted], {
    encoding: "utf8",
  });
  return status === 0 ? false : `no tmpfs can be mounted here: ${String(stderr).trim()}`;
}

test("a small disk that others fill: told with the bytes needed, free space asked first, and on when there is space", async (context) => {
  const why = mountSmall(64 * 2 ** 20);
  if (why !== false) {
    context.skip(why);
    return;
  }
  if (!existsSync(whole)) await runTraining({ ...recipe, output_dir: whole });
  const ballast = join(mounted, "ballast");
  const saved = Object.keys(filesOf(checkpointOf(whole, lastStep))).reduce(
    (sum, name) => sum + statSync(join(checkpointOf(whole, lastStep), name)).size,
    0,
  );
  const tries = amount(4, 60);
  let reported = 0;
  let foreseen = 0;
  for (let i = 0; i < tries; i++) {
    const dir = join(mounted, "run");
    const room = 4096 * Math.floor(1 + (3 * saved * i) / tries / 4096);
    let error: unknown = null;
    // others fill the disk once the first checkpoint is there
    const fill = (): void => {
      const { stdout } = spawnSync("df", ["--output=avail", "-B1", mounted], { encoding: "utf8" });
      const free = Number(stdout.split("\n")[1]);
      if (free > room) writeFileSync(ballast, Buffer.alloc(free - room));
    };
    error = await runTraining(
      { ...recipe, output_dir: dir },
      { onEvent: (event) => event.type === "checkpoint" && event.step === 1 && fill() },
    ).catch((reason: unknown) => reason);
    if (error instanceof Error) {
      assertLeft(error, dir);
      assert.ok(listCheckpoints(join(dir, "checkpoints")).length > 0, "the checkpoint that was there stays");
      reported += 1;
      if (
        /Cannot write the checkpoint to .* are needed, .* are free\. Nothing was written/.test(error.message)
      )
        foreseen += 1;
    }
    rmSync(ballast, { force: true });
    await goOn(dir);
    assertSameRun(dir, whole, lastStep);
    rmSync(dir, { recursive: true });
  }
  figure(
    6,
    "a tmpfs of 64 MiB filled by others after the first checkpoint, all but 4 KiB to three checkpoints' size",
    `${reported} of ${tries} fillings stop the run, ${foreseen} by the check before the save, no checkpoint lost, all go on when there is space, end bit for bit`,
    "no loss of a checkpoint, resumes",
    reported > 0 && foreseen > 0,
  );
});
