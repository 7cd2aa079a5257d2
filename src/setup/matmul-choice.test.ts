/** Which library makes matrix products: by what was measured, whatever it says, and by the variable. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { processorName, readProcessor } from "./hardware.ts";
import { chooseMatmul, fasterLibrary } from "./matmul-choice.ts";

/** Runs `body` with PREFTUNE_MATMUL as given. */
function withVariable<T>(value: string | undefined, body: () => T): T {
  const before = process.env["PREFTUNE_MATMUL"];
  try {
    if (value === undefined) delete process.env["PREFTUNE_MATMUL"];
    else process.env["PREFTUNE_MATMUL"] = value;
    return body();
  } finally {
    if (before === undefined) delete process.env["PREFTUNE_MATMUL"];
    else process.env["PREFTUNE_MATMUL"] = before;
  }
}

const here = processorName();

test("the faster library is taken; oneDNN must be worth a twentieth", () => {
  assert.equal(fasterLibrary({ torch: 100, onednn: 220 }), "onednn");
  assert.equal(fasterLibrary({ torch: 100, onednn: 105 }), "onednn");
  assert.equal(fasterLibrary({ torch: 100, onednn: 104 }), "torch");
  // as measured with AVX2 alone on an AMD processor
  assert.equal(fasterLibrary({ torch: 142, onednn: 131 }), "torch");
});

test("what was measured on this processor decides, and nothing that was measured on another", () => {
  const measurement = { torch: 90, onednn: 80 };
  withVariable(undefined, () => {
    assert.deepEqual(chooseMatmul(true, { [here]: measurement }), {
      library: "torch",
      reason: "measured",
      measurement,
    });
    const faster = { torch: 90, onednn: 180 };
    assert.equal(chooseMatmul(true, { [here]: faster, other: measurement }).library, "onednn");
    for (const measured of [{ other: measurement }, { [here]: null }, {}] as const) {
      const { library, reason } = chooseMatmul(true, measured);
      assert.equal(reason, "assumed");
      assert.equal(library, /intel/i.test(here) ? "torch" : "onednn");
    }
    assert.equal(chooseMatmul(false, { [here]: faster }).library, "torch");
  });
});

test("PREFTUNE_MATMUL stands above what was measured; what it asks for is there, or refused", () => {
  const measured = { [here]: { torch: 90, onednn: 180 } };
  const choose = (value: string, has = true) => withVariable(value, () => chooseMatmul(has, measured));
  assert.equal(choose("torch").library, "torch");
  assert.equal(choose("onednn").reason, "asked");
  assert.equal(choose("").library, "onednn");
  assert.throws(() => choose("onednn", false), /PREFTUNE_MATMUL=onednn: this torch has no oneDNN products/);
  assert.throws(() => choose("mkl"), /PREFTUNE_MATMUL: expected torch or onednn, got "mkl"/);
});

test("a processor is named with what tells generations apart", () => {
  const { model, features } = readProcessor();
  assert.ok(here.startsWith(model));
  for (const feature of features) assert.ok(here.includes(feature));
});
