/**
 * Faults of the kind that only a GPU shows, planted into steps of the trainer by changing calls of its operators, and each caught
 * on the rehearsal device (docs/rehearsal.md): that these tests can fail.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { TorchError } from "../../src/base/errors.ts";
import { dtypeCode } from "../../src/torch/dtype.ts";
import { scope, synchronize } from "../../src/torch/index.ts";
import { type Handle, native } from "../../src/torch/native.ts";
import type { StepResult, Training } from "../../src/train/step.ts";
import { amount } from "../support/campaign.ts";
import { openGpu } from "../support/gpu.ts";
import { assertQuietStep, type GpuSetup, stepOn, trainingOn } from "../support/gpu-training.ts";
import { type Call, shapeOf, withCalls } from "../support/operator-calls.ts";
import type { Rehearsal } from "../support/rehearsal.ts";

const { device, ...gpu } = await openGpu();
const skip = gpu.skip || (gpu.rehearsal === null ? "only the rehearsal device finds these faults" : false);
const rehearsal = gpu.rehearsal as Rehearsal;
if (skip === false) rehearsal.setLateness(1, 0);

const adapted = { name: "qwen3", trains: "LoRA", dtype: "bfloat16", gradient_checkpointing: false } as const;
const full = { ...adapted, trains: "full" } as const;

/** Runs `body` with a training that has taken a step. */
function afterAStep<T>(setup: GpuSetup, body: (training: Training) => T): T {
  using _ = scope();
  const training = trainingOn(device, setup);
  stepOn(training);
  rehearsal.counts();
  return body(training);
}

/** A step in which the `which`-th call that `isMeant` is made by `plant` (-1: none); how many there were. */
function stepWith(
  training: Training,
  which: number | "all",
  isMeant: (call: Call) => boolean,
  plant: (call: Call) => unknown,
): { result: StepResult; calls: number } {
  let calls = 0;
  const change = (call: Call) => {
    if (!isMeant(call)) return call.with(...call.args);
    calls += 1;
    return which === "all" || calls - 1 === which ? plant(call) : call.with(...call.args);
  };
  const result = withCalls(change, () => stepOn(training));
  return { result, calls };
}

/** The message of torch's error, null without one. */
function refusalOf(body: () => unknown): string | null {
  try {
    body();
    return null;
  } catch (error) {
    if (error instanceof TorchError) return error.message;
    throw error;
  }
}

test("a tensor left on the host: each copy to the device that a step leaves out is refused where it is used", {
  skip,
}, () => {
  const isCopy = (call: Call) =>
    call.name === "aten::to.device" && call.args[1] === device && shapeOf(call).length > 0;
  const left = (call: Call) => call.with(call.args[0], "cpu", ...call.args.slice(2));
  afterAStep({ ...adapted, dropout: 0.1 }, (training) => {
    const { calls } = stepWith(training, -1, isCopy, left);
    assert.ok(calls >= 20, `${calls} copies`);
    for (let which = 0; which < calls; which++) {
      assert.throws(() => stepWith(training, which, isCopy, left), {
        name: TorchError.name,
        message: /expected (all tensors )?to be (on|in) the same device/i,
      });
    }
  });
});

test("a hidden copy: a number looked at in a block makes the step wait more than once", { skip }, () => {
  const looked = (call: Call) => {
    const result = call.with(...call.args);
    const id = native.findOperator("aten::sum", "") as number;
    const sum = native.call(id, result, undefined) as Handle;
    native.item(sum);
    native.free(sum);
    return result;
  };
  afterAStep(adapted, (training) => {
    stepWith(training, 1, ({ name }) => name === "preftune::rotate_heads", looked);
    const counts = rehearsal.counts();
    assert.deepEqual(counts.waits, ["item", "copy to the host"]);
    assert.throws(() => assertQuietStep(counts), assert.AssertionError);
  });
});

test("a missing wait: numbers read while their copy is still to come are not those of the step", {
  skip,
}, () => {
  const to = native.findOperator("aten::to", "device") as number;
  const { read } = native;
  const tooEarly: typeof read = (handle, into, from) => {
    const host = native.call(to, handle, "cpu", native.dtype(handle), true) as Handle;
    read(host, into, from);
    native.free(host);
  };
  afterAStep(adapted, (training) => {
    native.read = tooEarly;
    try {
      const { loss, skipped } = stepOn(training);
      assert.ok(Number.isNaN(loss) && skipped === "not finite");
      assert.deepEqual(rehearsal.counts().waits, []);
      assert.throws(() => synchronize(device), /came after the host's memory was given back/);
    } finally {
      native.read = read;
    }
  });
  rehearsal.faults();
});

const offloading = { ...full, gradient_checkpointing: true, activation_offloading: true };
const isOffload = (call: Call) => call.name === "aten::to.device" && call.args[1] === "cpu";

/** The copy to the host on another stream, behind what there is to copy, and not waited for. */
function offloadOnStream(call: Call): unknown {
  rehearsal.useStream(1);
  rehearsal.afterStream(0);
  const host = call.with(call.args[0], "cpu", call.args[2], true, call.args[4]);
  rehearsal.useStream(0);
  return host;
}

test("an early free: activations offloaded on another stream are freed before it has read them", {
  skip,
}, () => {
  afterAStep(offloading, (training) => {
    const { calls } = stepWith(training, -1, isOffload, offloadOnStream);
    assert.ok(calls >= 4, `${calls} copies`);
    for (let which = 0; which < calls; which++) {
      assert.throws(() => stepWith(training, which, isOffload, offloadOnStream), {
        name: TorchError.name,
        message: /memory of stream 0 was given back while work of stream 1 may still use it/,
      });
    }
  });
  // what is still queued on the other stream finds its memory gone
  assert.throws(() => synchronize(device), /came after its memory was given back/);
  rehearsal.faults();
});

test("no false alarm: offloaded on another stream that the first one waits for, the numbers are the same", {
  skip,
}, () => {
  const inOrder = (call: Call) => {
    const host = offloadOnStream(call);
    rehearsal.afterStream(1);
    return host;
  };
  const stepBy = (plant: (call: Call) => unknown) =>
    afterAStep(offloading, (training) => {
      const { gradNorm } = stepWith(training, "all", isOffload, plant).result;
      return { gradNorm, waits: rehearsal.counts().waits.length };
    });
  const plain = stepBy((call) => call.with(...call.args));
  assert.ok(plain.gradNorm > 0 && plain.waits > 4);
  assert.deepEqual(stepBy(inOrder), { ...plain, waits: 1 });
  assert.deepEqual(rehearsal.faults(), []);
});

/**
 * Whether the cast being made is one that nothing refuses to go without: the trained head's of the gradients of a part's logits, which
 * its product takes in float32 too, and of their sum, which the copy that takes it casts again.
 */
function isNeedless(): boolean {
  const callers = new Error().stack ?? "";
  return callers.includes("at backwardThroughLogits ") && !callers.includes("at typedRows ");
}

test("a wrong type: each cast of a matrix to bfloat16 that a step leaves out is refused by the product it is for", {
  skip,
}, () => {
  const bfloat16 = dtypeCode("bfloat16");
  const isCast = (call: Call) =>
    call.name === "aten::to.dtype" &&
    call.args[1] === bfloat16 &&
    shapeOf(call).length > 1 &&
    native.dtype(call.args[0] as Handle) !== bfloat16;
  const left = ({ args }: Call) => args[0];
  // of two micro-batches, each with four parts of the vocabulary and their sum
  for (const [setup, least, needless] of [
    [adapted, 20, 0],
    [full, 40, 10],
  ] as const) {
    afterAStep(setup, (training) => {
      const casts: boolean[] = [];
      stepWith(training, "all", isCast, (call) => {
        casts.push(isNeedless());
        return call.with(...call.args);
      });
      assert.ok(casts.length >= least, `${casts.length} casts`);
      assert.equal(casts.filter((isOne) => isOne).length, needless);
      for (let which = 0; which < casts.length; which += amount(3, 1)) {
        const refused = refusalOf(() => stepWith(training, which, isCast, left));
        assert.equal(refused === null, casts[which], `cast ${which}: ${refused ?? "not refused"}`);
        if (refused !== null) assert.match(refused, /same dtype|half precision/);
      }
    });
  }
  rehearsal.faults();
});

test("a wrong type: offsets of segments in int64 are refused, as by the kernel on CUDA", { skip }, () => {
  const [int32, int64] = [dtypeCode("int32"), dtypeCode("int64")];
  const isOffsets = ({ name, args }: Call) => name === "aten::to.device" && args[2] === int32;
  const widened = (call: Call) => call.with(call.args[0], call.args[1], int64, ...call.args.slice(3));
  afterAStep(full, (training) => {
    const { calls } = stepWith(training, -1, isOffsets, widened);
    assert.ok(calls >= 4, `${calls} offsets`);
    for (let which = 0; which < calls; which++) {
      assert.throws(() => stepWith(training, which, isOffsets, widened), /expected int32 offsets/);
    }
  });
});

test("memory of the device that the processor touches ends the process", { skip }, () => {
  const child = join(import.meta.dirname, "..", "support", "touch-child.ts");
  const { signal, stdout, stderr } = spawnSync(process.execPath, [...process.execArgv, child], {
    encoding: "utf8",
  });
  assert.equal(signal, "SIGSEGV");
  assert.equal(stdout, "");
  assert.match(stderr, /the processor touched memory of the device outside of a kernel/);
});
