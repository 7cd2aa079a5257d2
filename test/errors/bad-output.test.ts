/**
 * Places that cannot be written: occupied, read-only, full. The error names the path and what to do, what was there
 * before is untouched, and once there is room the run continues to the same end.
 */
import assert from "node:assert/strict";
import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { ConfigError, FileError, type PreftuneError, TrainingError } from "../../src/base/errors.ts";
import { armFault, type Fault } from "../support/faults.ts";
import {
  assertSameRun,
  checkpointOf,
  filesOf,
  metricsOf,
  runFixture,
  runTraining,
  stateOf,
  type Values,
} from "../support/runs.ts";

const fixture = runFixture({ rows: 4, held: 2 });
const kinds: string[] = [];
after(() => {
  fixture[Symbol.dispose]();
  console.log(`${kinds.length} kinds of bad output places refused: ${kinds.join("; ")}`);
});

const recipe: Values = {
  ...fixture.values,
  use_peft: true,
  lora_r: 4,
  learning_rate: 5e-3,
  per_device_train_batch_size: 2,
  max_steps: 6,
  logging_steps: 1,
  eval_steps: 3,
  save_steps: 1,
};
const resumed: Values = { resume_from_checkpoint: "latest" };

function refusal(kind: string, body: () => void | Promise<void>, skip: false | string = false): void {
  test(`refused: ${kind}`, { skip }, async () => {
    await body();
    kinds.push(kind);
  });
}

async function assertRefused(
  values: Values,
  error: new (message: string) => PreftuneError,
  says: readonly RegExp[],
): Promise<void> {
  await assert.rejects(runTraining({ ...recipe, ...values }), (got: unknown) => {
    assert.ok(got instanceof error, `expected ${error.name}, got ${got}`);
    for (const pattern of says) assert.match(got.message, pattern);
    return true;
  });
}

refusal("a run that has taken steps", async () => {
  const dir = fixture.path("done");
  await runTraining({ ...recipe, output_dir: dir });
  const before = filesOf(dir);
  await assertRefused({ output_dir: dir }, ConfigError, [
    /done already holds a run/,
    /--resume/,
    /another output_dir/,
  ]);
  assert.deepEqual(filesOf(dir), before);
});

refusal("a directory of other things", async () => {
  const dir = fixture.path("thesis");
  mkdirSync(dir);
  writeFileSync(join(dir, "thesis.tex"), "years of work");
  const before = filesOf(dir);
  await assertRefused({ output_dir: dir }, ConfigError, [
    /thesis is not empty/,
    /thesis\.tex/,
    /another output_dir/,
  ]);
  assert.deepEqual(filesOf(dir), before);
});

refusal("a path below a file", async () => {
  const file = fixture.path("a-file");
  writeFileSync(file, "x");
  const before = filesOf(fixture.dir);
  await assertRefused({ output_dir: join(file, "run") }, FileError, [
    /a-file\/run/,
    /a part of the path is a file/,
  ]);
  assert.deepEqual(filesOf(fixture.dir), before);
});

refusal("a path that the system does not let be made", async () => {
  await assertRefused({ output_dir: "/proc/preftune/run" }, FileError, [
    /\/proc\/preftune\/run/,
    /Check|Choose/,
  ]);
});

refusal("a run that another trainer is writing", async () => {
  const dir = fixture.path("busy");
  const running = runTraining(
    { ...recipe, output_dir: dir },
    {
      onEvent: (event) => {
        if (event.type !== "checkpoint" || event.step !== 2) return;
        attempt = assertRefused({ output_dir: dir, ...resumed }, TrainingError, [
          /run\.lock/,
          /which is running/,
          /Wait for it/,
        ]);
      },
    },
  );
  let attempt: Promise<void> | null = null;
  await running;
  assert.ok(attempt !== null);
  await attempt;
});

refusal("a reference cache that cannot be made", async () => {
  const file = fixture.path("no-cache");
  writeFileSync(file, "x");
  const values = {
    objective: "dpo",
    reference_cache_dir: join(file, "cache"),
    output_dir: fixture.path("cacheless"),
  };
  await assertRefused(values, FileError, [/no-cache\/cache/, /a part of the path is a file/]);
});

const fullDisk: [kind: string, fault: Omit<Fault, "code">, says: RegExp[]][] = [
  [
    "a disk that is full when weights are saved",
    { at: 9, on: /adapter_model\.safetensors$/, names: ["writeSync"] },
    [/checkpoint-1|adapter_model/],
  ],
  [
    "a disk that is full when the optimiser is saved",
    { at: 40, on: /optimizer\.safetensors$/, names: ["writeSync"] },
    [/checkpoint-|optimizer/],
  ],
  [
    "a disk that is full when the tokenizer is copied",
    { at: 3, on: /tokenizer\.json$/, names: ["writeSync"] },
    [/checkpoint-3/],
  ],
  [
    "a disk that is full when metrics are appended",
    { at: 5, on: /metrics\.jsonl$/, names: ["writeSync"] },
    [/metrics\.jsonl/, /All earlier lines are untouched/],
  ],
  [
    "a disk that is full when the model is exported",
    { at: 3, on: /\.adapter\.new-.*safetensors$/, names: ["writeSync"] },
    [/adapter/],
  ],
  [
    "a disk that is full when the report is written",
    // where there is space again before the end, a report that failed is only noted
    { at: 1, on: /report\.html/, names: ["writeSync"], stays: true },
    [/report\.html/],
  ],
];
for (const [kind, fault, says] of fullDisk) {
  refusal(kind, async () => {
    const whole = fixture.path("whole");
    if (!existsSync(whole)) await runTraining({ ...recipe, output_dir: whole });
    const dir = fixture.path(kind.replaceAll(" ", "-"));
    {
      using faults = armFault({ ...fault, code: "ENOSPC" });
      await assertRefused({ output_dir: dir }, FileError, [
        ...says,
        /disk is full \(ENOSPC\)/,
        /Free space under/,
      ]);
      assert.ok(fault.stays === true ? faults.failed.length > 0 : faults.failed.length === 1);
    }
    const hidden = Object.keys(filesOf(dir)).filter((name) => /(^|\/)\./.test(name));
    assert.deepEqual(hidden, []);
    for (let step = 1; existsSync(checkpointOf(dir, step)); step++) {
      assert.deepEqual(stateOf(checkpointOf(dir, step)), stateOf(checkpointOf(whole, step)));
    }
    const rows = metricsOf(dir);
    assert.deepEqual(rows, metricsOf(whole).slice(0, rows.length));
    if (existsSync(checkpointOf(dir, 1))) {
      await runTraining({ ...recipe, output_dir: dir, ...resumed });
      assertSameRun(dir, whole, 6);
    }
  });
}

/** Runs a program with its own mounts: shell lines first, then `program` as a module with `args`. */
function inNamespace(mounts: string, program: string, args: readonly string[]): SpawnSyncReturns<string> {
  const command = [process.execPath, "--input-type=module", "-e", program, ...args];
  return spawnSync("unshare", ["-rm", "sh", "-ec", `${mounts}\nexec "$@"`, "sh", ...command], {
    encoding: "utf8",
  });
}

const mountPoint = fixture.path("mounted");
mkdirSync(mountPoint);
const canMount = inNamespace(`mount -t tmpfs -o size=64k tmpfs ${mountPoint}`, "", []).status === 0;
const skipMounts = canMount ? false : "this system lets no unprivileged process mount a file system";

const support = join(import.meta.dirname, "../support/runs.ts");

refusal(
  "a read-only file system",
  () => {
    const values = { ...recipe, output_dir: join(mountPoint, "run") };
    const program = `
      const { runTraining } = await import(process.argv[1]);
      try { await runTraining(JSON.parse(process.argv[2])); } catch (error) {
        console.log(JSON.stringify([error.name, error.exitCode, error.message]));
      }`;
    const mounts = `mount -t tmpfs -o ro tmpfs ${mountPoint}`;
    const { stdout, stderr } = inNamespace(mounts, program, [support, JSON.stringify(values)]);
    assert.equal(stderr, "");
    const [name, exitCode, message] = JSON.parse(stdout);
    assert.deepEqual([name, exitCode], ["FileError", 5]);
    assert.match(message, /Cannot make .*mounted\/run: permission denied or read-only \(EROFS\)/);
    assert.match(message, /Choose a path/);
  },
  skipMounts,
);

refusal(
  "a file system that really is full, until something is deleted",
  async () => {
    const whole = fixture.path("whole-on-disk");
    await runTraining({ ...recipe, output_dir: whole });
    const dir = join(mountPoint, "run");
    const program = `
      const { runTraining, filesOf, metricsOf, checkpointOf, stateOf } = await import(process.argv[1]);
      const { rmSync } = await import("node:fs");
      const values = JSON.parse(process.argv[2]);
      let error = null;
      try { await runTraining(values); } catch (caught) { error = [caught.name, caught.message]; }
      const files = filesOf(values.output_dir);
      rmSync(process.argv[3]);
      await runTraining({ ...values, resume_from_checkpoint: "latest" });
      const last = stateOf(checkpointOf(values.output_dir, 6));
      console.log(JSON.stringify({ error, files, last, metrics: metricsOf(values.output_dir) }));`;
    const ballast = join(mountPoint, "ballast");
    const mounts = `mount -t tmpfs -o size=2m tmpfs ${mountPoint}\nhead -c 1800000 /dev/zero > ${ballast}`;
    const values = { ...recipe, output_dir: dir };
    const { stdout, stderr } = inNamespace(mounts, program, [support, JSON.stringify(values), ballast]);
    assert.equal(stderr, "");
    const { error, files, last, metrics } = JSON.parse(stdout);
    assert.equal(error?.[0], "FileError");
    assert.match(error[1], /mounted\/run\/.*(disk is full|bytes .* are needed)/);
    const names = Object.keys(files);
    assert.ok(names.includes("checkpoints/checkpoint-1") && !names.includes("checkpoints/checkpoint-6"));
    assert.deepEqual(
      names.filter((name) => /(^|\/)\./.test(name)),
      [],
    );
    assert.deepEqual(last, stateOf(checkpointOf(whole, 6)));
    assert.deepEqual(metrics, metricsOf(whole));
  },
  skipMounts,
);
