/** AdamW with averages in bfloat16 and in 8 bits on a GPU, or on what stands in for it: the CPU's numbers, no wait, and memory that does not grow with the tensor. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { updateBytes, updateStretch } from "../../src/formats/bits-and-bytes.ts";
import { AdamW } from "../../src/optim/adamw.ts";
import {
  manualSeed,
  memoryInUse,
  noGrad,
  ops,
  scope,
  synchronize,
  type Tensor,
} from "../../src/torch/index.ts";
import { assertClose } from "../support/close.ts";
import { openGpu } from "../support/gpu.ts";

const { device, skip, rehearsal } = await openGpu();
after(() => assert.deepEqual(rehearsal?.faults() ?? [], []));

const options = { adam_beta1: 0.9, adam_beta2: 0.999, adam_epsilon: 1e-8, weight_decay: 0.1 };
const optims = ["adamw_bf16", "adamw_8bit"] as const;

/** A weight of so many numbers on a device, with an optimiser, and steps of it. */
function trained(where: string, optim: (typeof optims)[number], shape: readonly number[]) {
  manualSeed(7);
  const weight = ops.to(ops.normal_(ops.zeros(shape, { dtype: "float32" })), where, "float32");
  weight.requiresGrad = true;
  const optimizer = new AdamW([{ name: "weight", tensor: weight }], { ...options, optim });
  const step = (skipped: Tensor | null = null) => {
    using _ = scope();
    weight.grad = ops.to(ops.normal_(ops.zeros(shape, { dtype: "float32" }), 0.1, 1), where, "float32");
    optimizer.step(1e-2, skipped === null ? {} : { skipped });
  };
  return { weight, optimizer, step };
}

for (const optim of optims) {
  test(`${optim}: weights are the CPU's, the computer does not wait, and a skipped step changes nothing`, {
    skip,
  }, () => {
    using _ = scope();
    // blocks of 256, and a part of one
    const [there, here] = [device, "cpu"].map((where) => trained(where, optim, [70, 101])) as [
      ReturnType<typeof trained>,
      ReturnType<typeof trained>,
    ];
    const numbers = (of: Tensor) => ops.to(ops.detach(of), "cpu", "float32").toNumbers();
    for (let i = 0; i < 3; i++) {
      manualSeed(20 + i);
      there.step();
      manualSeed(20 + i);
      here.step();
    }
    // entries one apart, or rounded to the other side, where numbers differ by a digit
    assertClose(numbers(there.weight), numbers(here.weight), { atol: 2e-3 });
    rehearsal?.counts();
    there.step();
    if (rehearsal !== null)
      assert.deepEqual(
        rehearsal.counts().waits.filter((what) => what !== "copy to the device"),
        [],
      );
    const all = () => [there.weight, ...[...there.optimizer.stateTensors()].map(([, of]) => of)].map(numbers);
    const before = all();
    const skipped = noGrad(() => ops.to(ops.ones([], { dtype: "float32" }), device, "float32"));
    there.step(skipped);
    assert.deepEqual(all(), before);
  });

  test(`${optim}: an update of a large tensor takes what one of a stretch takes, and what the planner says`, {
    skip: skip || (rehearsal === null ? "only the rehearsal device counts every byte" : false),
  }, () => {
    using _ = scope();
    const { step } = trained(device, optim, [3, updateStretch]);
    step();
    synchronize(device);
    step();
    synchronize(device);
    const { allocated, peak } = memoryInUse(device);
    const planned = updateBytes(3 * updateStretch, optim === "adamw_8bit" ? 8 : 16);
    const ratio = (peak - allocated) / planned;
    assert.ok(ratio > 0.9 && ratio <= 1, `${ratio}`);
  });
}
