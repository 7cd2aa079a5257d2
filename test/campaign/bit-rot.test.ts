/**
 * Bit rot in a run directory (row 8): in every file, flipped bits, the file missing, cut and empty. Each is noticed by
 * the checks that a resumed run makes, or in a file that a resumed run writes anew; and real resumed runs over a sample of
 * them come to the bytes of the run that nothing befell. What on-policy runs have besides: bit-rot-rollouts.test.ts.
 */
import assert from "node:assert/strict";
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Random } from "../../src/base/random.ts";
import { faultOf, latestCheckpoint, readManifest, verifyCheckpoint } from "../../src/runs/checkpoints.ts";
import { copyIn, damagedRecords, type Records, recordsOf } from "../../src/runs/run-records.ts";
import { type Damage, damages } from "../support/bit-rot.ts";
import { amount, campaignSeed, figure, holds, progress } from "../support/campaign.ts";
import {
  assertSameRun,
  checkpointOf,
  filesOf,
  notesOf,
  runFixture,
  runTraining,
  type Values,
} from "../support/runs.ts";

const lastStep = 6;
/** Where the runs are resumed: past the best checkpoint, with one before it to fall back to. */
const cutAt = 4;

const fixture = runFixture({ rows: 6, held: 2, config: { num_hidden_layers: 1 } });
after(() => fixture[Symbol.dispose]());
const recipe: Values = {
  ...fixture.values,
  objective: "dpo",
  use_peft: true,
  lora_r: 2,
  lora_dropout: 0,
  precompute_ref_log_probs: true,
  learning_rate: 5e-2,
  lr_scheduler_type: "constant",
  per_device_train_batch_size: 2,
  gradient_accumulation_steps: 2,
  max_steps: lastStep,
  logging_steps: 1,
  eval_steps: 1,
  save_steps: 2,
  load_best_model_at_end: true,
  metric_for_best_model: "loss",
};

/** Files that a resumed run writes anew, whatever is in them; and the reference, whose file is checked when it is read. */
const anew = /^(config\.yaml|preflight\.json|export\.json|report\.html|adapter\/.*|model\/.*|run\.lock)$/;
const reference = /^reference\/reference-[0-9a-f]+\.json$/;

const whole = fixture.path("whole");
const cut = fixture.path("cut");
let files: string[] = [];

before(async () => {
  await runTraining({ ...recipe, output_dir: whole });
  // as a kill left it, after rows of steps that the resumed run makes again
  cpSync(whole, cut, { recursive: true });
  for (const name of readdirSync(join(cut, "checkpoints"))) {
    if (Number(name.split("-")[1]) > cutAt) rmSync(join(cut, "checkpoints", name), { recursive: true });
  }
  files = Object.entries(filesOf(cut)).flatMap(([name, digest]) => (digest === "directory" ? [] : [name]));
});

/** Bytes of the file that count when the run is resumed: of a log those until the checkpoint. */
function relevantBytes(name: string, length: number): number {
  const { checkpoint } = latestCheckpoint(join(cut, "checkpoints"));
  assert.ok(checkpoint !== null);
  const copy = copyIn(recordsOf(checkpoint) ?? {}, name);
  return name.endsWith(".jsonl") && copy !== null ? Buffer.byteLength(copy) : length;
}

/** What notices that a file of the cut run is not as it was written; null: nothing does. */
function noticed(name: string): string | null {
  const [, step, file] = /^checkpoints\/checkpoint-(\d+)\/(.*)$/.exec(name) ?? [];
  if (step === undefined)
    return damagedRecords(cut, newest).find((record) => record.name === name)?.reason ?? null;
  const path = checkpointOf(cut, Number(step));
  if (file === "checkpoint.json") return faultOf(path);
  // the other files of the checkpoint are as they were: leaving them out saves most of the time
  const manifest = readManifest(path);
  const files = manifest.files.filter((entry) => entry.name === file);
  return verifyCheckpoint({ path, step: manifest.step, manifest: { ...manifest, files } })[0] ?? null;
}

let newest: Records = {};

test("flipped bits in every file of a run directory", async () => {
  const { checkpoint } = latestCheckpoint(join(cut, "checkpoints"));
  assert.ok(checkpoint !== null);
  newest = recordsOf(checkpoint) ?? {};
  const random = new Random(campaignSeed);
  const each = amount(8, 1000);
  let flips = 0;
  const unseen: string[] = [];
  const tell = progress();
  const guarded = files.filter((name) => !anew.test(name) && !reference.test(name));
  for (const name of guarded) {
    const path = join(cut, name);
    const bytes = readFileSync(path);
    const header = name.endsWith(".safetensors") ? 8 + Number(bytes.readBigUInt64LE(0)) : 0;
    const places = Array.from({ length: each }, () => random.below(8 * relevantBytes(name, bytes.length)));
    // every byte of a safetensors header; a few in the short form
    const step = amount(Math.max(1, Math.floor(header / 8)), 1);
    for (let at = 0; at < header; at += step) places.push(8 * at + random.below(8));
    for (const bit of places) {
      const old = bytes[bit >> 3] as number;
      bytes[bit >> 3] = old ^ (1 << (bit & 7));
      writeFileSync(path, bytes);
      flips += 1;
      if (noticed(name) === null) unseen.push(`${name} bit ${bit}`);
      bytes[bit >> 3] = old;
    }
    writeFileSync(path, bytes);
    assert.equal(noticed(name), null, `${name} as it was`);
    tell(() => `${flips} flips, now in ${name}`);
  }
  const held = await holds("bits flipped", () => assert.deepEqual(unseen.slice(0, 5), []));
  figure(
    8,
    `bits flipped at random and in every header byte, ${guarded.length} files of a run directory (of a log, until the checkpoint)`,
    `${flips} flips, ${flips - unseen.length} noticed`,
    "all",
    held,
  );
});

/** Every faulty file with every fault; in the short form every 17th of them. */
function sample(): ({ name: string } & Damage)[] {
  const all = files.flatMap((name) => damages.map((damage) => ({ name, ...damage })));
  return all.filter((_, i) => i % amount(17, 1) === campaignSeed % amount(17, 1));
}

test("a run resumed over a damaged file ends as the run that nothing befell", async () => {
  const random = new Random(campaignSeed);
  const kept = fixture.path("kept");
  cpSync(cut, kept, { recursive: true });
  let runs = 0;
  let same = 0;
  const tell = progress();
  for (const { name, kind, damage } of sample()) {
    const dir = fixture.path("damaged");
    cpSync(kept, dir, { recursive: true });
    const content = damage(readFileSync(join(dir, name)), random);
    if (content === null) rmSync(join(dir, name));
    else writeFileSync(join(dir, name), content);
    const held = await holds(`${name} ${kind}`, async () => {
      await runTraining({ ...recipe, output_dir: dir, resume_from_checkpoint: "latest" });
      assertSameRun(dir, whole, lastStep);
    });
    if (held) same += 1;
    rmSync(dir, { recursive: true });
    runs += 1;
    tell(() => `${runs} runs resumed, the last over ${name} ${kind}`);
  }
  figure(
    8,
    "runs resumed over a file that is missing, cut, empty or has a flipped bit, each file of a run directory",
    `${runs} runs, ${same} with the bytes of the undamaged run`,
    "all",
    runs > 0 && same === runs,
  );
});

test("what is damaged is told, with what was done about it", async () => {
  const kept = fixture.path("told");
  cpSync(fixture.path("kept"), kept, { recursive: true });
  rmSync(join(kept, "run.json"));
  rmSync(join(kept, "evaluation-start.json"));
  writeFileSync(join(kept, "metrics.jsonl"), "{");
  writeFileSync(join(kept, "fingerprints.json"), "{}");
  writeFileSync(join(checkpointOf(kept, cutAt), "optimizer.safetensors"), "x");
  const record = await runTraining({ ...recipe, output_dir: kept, resume_from_checkpoint: "latest" });
  const notes = notesOf(record).join("\n");
  assert.match(notes, /^passed over .*checkpoint-4: optimizer\.safetensors has 1 bytes, not \d+$/m);
  assert.match(notes, /^run\.json is missing: put back as it was at the checkpoint$/m);
  assert.match(notes, /^evaluation-start\.json is missing: put back/m);
  assert.match(notes, /^metrics\.jsonl has changed since it was written: put back/m);
  assert.match(notes, /^.*fingerprints\.json.*: put back/m);
  assert.match(notes, /^resumed from .*checkpoint-[23]$/m);
  assertSameRun(kept, whole, lastStep);
});
