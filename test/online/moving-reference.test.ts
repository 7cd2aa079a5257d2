/** A reference that follows the model: how it moves, as TRL's does, and that a resumed run has it bit for bit. */
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { checkConfig } from "../../src/config/checks.ts";
import { loadConfig } from "../../src/config/load-config.ts";
import { moveReference } from "../../src/online/moving-reference.ts";
import { readMetrics } from "../../src/runs/metrics.ts";
import { tensor } from "../../src/torch/index.ts";
import { onlineFixture } from "../support/online-run.ts";
import {
  assertSameRun,
  checkpointOf,
  cutBack,
  runTraining,
  tensorsOf,
  type Values,
} from "../support/runs.ts";

const fixture = onlineFixture();
after(() => fixture[Symbol.dispose]());

const steps = 6;
const synced: Values = {
  ...fixture.online,
  ...{ beta: 0.1, max_steps: steps, steps_per_generation: 2, learning_rate: 5e-3 },
  ...{ sync_ref_model: true, ref_model_mixup_alpha: 0.25, ref_model_sync_steps: 2 },
};
const whole = fixture.path("whole");
await runTraining({ ...synced, output_dir: whole });

const referenceAt = (step: number) =>
  tensorsOf(join(checkpointOf(whole, step), "reference_model", "model.safetensors"));
const policyAt = (step: number) => tensorsOf(join(checkpointOf(whole, step), "model.safetensors"));
const start = tensorsOf(join(fixture.online["model_name_or_path"] as string, "model.safetensors"));

/** TRL's `target.mul_(1 - alpha).add_(policy, alpha=alpha)` in float32: the product rounded once, the sum once. */
function mixed(reference: ArrayLike<number>, policy: ArrayLike<number>, alpha: number): number[] {
  return Array.from(
    reference,
    (old, i) => Math.fround(old * Math.fround(1 - alpha)) + alpha * (policy[i] ?? 0),
  );
}

function assertNear(got: ArrayLike<number>, want: ArrayLike<number>, name: string): void {
  assert.equal(got.length, want.length, name);
  for (let i = 0; i < got.length; i++)
    assert.ok(
      Math.abs((got[i] ?? Number.NaN) - (want[i] ?? Number.NaN)) < 1e-7,
      `${name}[${i}]: ${got[i]}, ${want[i]}`,
    );
}

test("two moves by hand: 0.6 of the policy, 0.4 of the reference before", () => {
  const policy = new Map([["w", tensor([10, -2])]]);
  const reference = new Map([["w", tensor([0, 3])]]);
  const weight = reference.get("w");
  moveReference(policy, reference, 0.6);
  // 0.4 · 0 + 0.6 · 10; 0.4 · 3 + 0.6 · −2
  assertNear(weight?.toNumbers() ?? [], [6, 0], "first");
  policy.set("w", tensor([20, 5]));
  moveReference(policy, reference, 0.6);
  // 0.4 · 6 + 0.6 · 20; 0.4 · 0 + 0.6 · 5
  assert.ok(Math.abs((weight?.toNumbers()[0] ?? 0) - 14.4) < 1e-5);
  assert.ok(Math.abs((weight?.toNumbers()[1] ?? 0) - 3) < 1e-5);
  assert.throws(() => moveReference(new Map(), reference, 0.6), /expected a policy with the 1 weights/);
});

test("in a run it moves after every second step, from the start, by TRL's formula", () => {
  let expected: Record<string, ArrayLike<number>> = Object.fromEntries(start);
  for (let step = 1; step <= steps; step++) {
    const got = referenceAt(step);
    if (step % 2 === 0) {
      const policy = policyAt(step);
      expected = Object.fromEntries(
        Object.entries(expected).map(([name, old]) => [name, mixed(old, policy.get(name) ?? [], 0.25)]),
      );
    }
    assert.deepEqual([...got.keys()].sort(), Object.keys(expected).sort());
    for (const [name, values] of got) assertNear(values, expected[name] ?? [], `step ${step}, ${name}`);
    // what is compared next is what is there now
    expected = Object.fromEntries(got);
  }
  assert.notDeepEqual(referenceAt(2), referenceAt(1));
  assert.deepEqual(referenceAt(3), referenceAt(2));
});

for (const dtype of ["float32", "bfloat16"]) {
  test(`${dtype}: alpha 1 puts the model in its place: the KL of the next rollout is 0; without a move it is not`, async () => {
    const klAt = async (ref_model_sync_steps: number) => {
      const outputDir = fixture.path(`${dtype}-${ref_model_sync_steps}`);
      const sync = { dtype, ref_model_mixup_alpha: 1, ref_model_sync_steps };
      await runTraining({ ...synced, steps_per_generation: 1, max_steps: 2, ...sync, output_dir: outputDir });
      const row = readMetrics(join(outputDir, "metrics.jsonl"))[1] as unknown as Record<string, number>;
      return row["kl"] ?? Number.NaN;
    };
    const [moved, stayed] = [await klAt(1), await klAt(2)];
    // in bfloat16 other packing rounds otherwise
    assert.ok(Math.abs(moved) < (dtype === "float32" ? 1e-9 : 0.1 * stayed), `${moved}, ${stayed}`);
    assert.ok(stayed > 1e-6, `${stayed}`);
  });
}

for (const step of [1, 2, 3, 5]) {
  test(`resumed after step ${step}`, async () => {
    const dir = cutBack(whole, fixture.path(`cut-${step}`), step);
    await runTraining({ ...synced, output_dir: dir, resume_from_checkpoint: "latest" });
    assertSameRun(dir, whole, steps);
  });
}

test("a checkpoint that lost its reference is not resumed from", async () => {
  const dir = cutBack(whole, fixture.path("lost"), 1);
  rmSync(join(checkpointOf(dir, 1), "reference_model"), { recursive: true });
  const again = { ...synced, output_dir: dir, resume_from_checkpoint: "latest" };
  await assert.rejects(runTraining(again), /reference_model/);
});

test("without a reference, or with LoRA, it is refused", () => {
  const texts = (values: Values) => {
    try {
      return checkConfig(
        loadConfig({ values: { ...synced, output_dir: fixture.path("no"), ...values } }).config,
      ).join();
    } catch (error) {
      return String(error);
    }
  };
  assert.match(
    texts({ beta: 0 }),
    /sync_ref_model: nothing is compared .* Give beta a value above 0, or take it out/s,
  );
  assert.match(
    texts({ use_peft: true, lora_r: 4 }),
    /sync_ref_model: with LoRA the reference is the model without its adapter/,
  );
  assert.equal(texts({}), "");
});
