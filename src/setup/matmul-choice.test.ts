/** Which library makes matrix products: by what was measured, whatever it says, and by the variable. */
import assert from "node:assert/strict";
import { cpus } from "node:os";
import { test } from "node:test";
import { processorName, usableFeatures } from "./hardware.ts";
import { askedSet, featuresWithin, setsOf } from "./instruction-set.ts";
import { chooseMatmul, fasterLibrary } from "./matmul-choice.ts";

/** Runs `body` with a variable as given. */
function withVariable<T>(value: string | undefined, body: () => T, name = "PREFTUNE_MATMUL"): T {
  const before = process.env[name];
  try {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
    return body();
  } finally {
    if (before === undefined) delete process.env[name];
    else process.env[name] = before;
  }
}

const here = processorName();

/** A measurement with the same speeds for all products. */
function speeds(torch: number, onednn: number) {
  const speed = { torch, onednn, own: 50 };
  return { forward: speed, inputGradient: speed, weightGradient: speed, fewRows: speed };
}

test("the faster library is taken; oneDNN must be worth a twentieth", () => {
  assert.equal(fasterLibrary(speeds(100, 220)), "onednn");
  assert.equal(fasterLibrary(speeds(100, 106)), "onednn");
  assert.equal(fasterLibrary(speeds(100, 104)), "torch");
  assert.equal(
    fasterLibrary({ ...speeds(100, 104), weightGradient: { torch: 100, onednn: 110, own: 0 } }),
    "onednn",
  );
  assert.equal(fasterLibrary(speeds(100, 0)), "torch");
  // as measured with AVX2 alone on an AMD processor
  assert.equal(fasterLibrary(speeds(142, 131)), "torch");
});

test("what was measured on this processor decides, and nothing that was measured on another", () => {
  const measurement = speeds(90, 80);
  withVariable(undefined, () => {
    assert.deepEqual(chooseMatmul(true, { [here]: measurement }), {
      library: "torch",
      reason: "measured",
      measurement,
    });
    const faster = speeds(90, 180);
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
  const measured = { [here]: speeds(90, 180) };
  const choose = (value: string, has = true) => withVariable(value, () => chooseMatmul(has, measured));
  assert.equal(choose("torch").library, "torch");
  assert.equal(choose("onednn").reason, "asked");
  assert.equal(choose("").library, "onednn");
  assert.throws(() => choose("onednn", false), /PREFTUNE_MATMUL=onednn: this torch has no oneDNN products/);
  assert.throws(() => choose("mkl"), /PREFTUNE_MATMUL: expected torch or onednn, got "mkl"/);
});

test("PREFTUNE_ISA: a set of this processor, with the features within it", () => {
  const features = ["avx2", "avx512f", "avx512_bf16", "amx_bf16"];
  const asked = (value: string, of = features) => withVariable(value, () => askedSet(of), "PREFTUNE_ISA");
  assert.equal(asked(""), null);
  assert.equal(asked("avx2"), "avx2");
  assert.throws(
    () => asked("avx1"),
    /^ConfigError: PREFTUNE_ISA: expected one of baseline, avx2, avx512, amx, got "avx1"\.$/,
  );
  assert.throws(
    () => asked("avx512", ["avx2"]),
    /PREFTUNE_ISA=avx512: this processor does not have it\. It has baseline, avx2: name one/,
  );
  // so is it by whoever loads the addon, which would pass over the name
  assert.throws(() => withVariable("avx1", () => chooseMatmul(true, {}), "PREFTUNE_ISA"), /got "avx1"/);
  assert.deepEqual(setsOf(features), ["baseline", "avx2", "avx512", "amx"]);
  assert.deepEqual(featuresWithin("baseline", features), []);
  assert.deepEqual(featuresWithin("avx2", features), ["avx2"]);
  assert.deepEqual(featuresWithin("avx512", features), ["avx2", "avx512f", "avx512_bf16"]);
  assert.deepEqual(featuresWithin("amx", features), features);
});

test("a processor is named with what tells generations apart", () => {
  assert.ok(here.startsWith(cpus()[0]?.model.trim() ?? "unknown"));
  for (const feature of usableFeatures()) assert.ok(here.includes(feature));
});
