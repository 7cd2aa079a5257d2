/** Merging: the files score as base and adapter do, or are not written; rounding of half types is distinguished from faults. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { FileError, FormatError } from "../../src/base/errors.ts";
import { mergeText } from "../../src/cli/merge-command.ts";
import { readAdapter } from "../../src/formats/adapter.ts";
import { loadModel } from "../../src/models/load.ts";
import { installAdapter } from "../../src/models/load-adapter.ts";
import { writeAdapter } from "../../src/models/save.ts";
import { merge } from "../../src/recipes/merge.ts";
import { noGrad, ops, scope } from "../../src/torch/index.ts";
import { checkMerged } from "../../src/train/merge-gate.ts";
import { adapterParameters } from "../../src/train/parameters.ts";
import { checkParity } from "../../src/train/parity.ts";
import { roundedTensors } from "../../src/train/rounding.ts";
import { microBatch } from "../support/fixtures.ts";
import { runFixture } from "../support/runs.ts";
import { adaptPatterned, tinyAdapterConfig } from "../support/tiny-models.ts";

const fixture = runFixture({ rows: 2, held: 0 });
after(() => fixture[Symbol.dispose]());
const base = String(fixture.values["model_name_or_path"]);
const machine = { device: "cpu", threads: 1 };

/** An adapter over the fixture's model, its tensors scaled by `size`. */
function adapterOf(name: string, size: number): string {
  using _ = scope();
  const dir = fixture.path(name);
  mkdirSync(dir);
  const model = loadModel(base);
  const { config } = adaptPatterned(model, tinyAdapterConfig({ targetModules: ["q_proj", "down_proj"] }));
  const parameters = adapterParameters(model);
  for (const { name: part, tensor } of parameters) {
    if (part.includes("lora_B")) noGrad(() => ops.mul_(ops.detach(tensor), size));
  }
  writeAdapter(dir, config, parameters.tensors);
  return dir;
}

let adapter = "";
before(() => {
  adapter = adapterOf("adapter", 1);
});

for (const dtype of ["float32", "float16", "bfloat16"] as const) {
  test(`${dtype}: the difference is reported, with its parts`, async () => {
    const output = fixture.path(dtype);
    const result = await merge({ ...machine, model: base, adapter, output, exportDtype: dtype });
    assert.ok(result.adapterEffect > 0.01, `${result.adapterEffect}`);
    const text = mergeText(result);
    assert.match(
      text,
      /re-scored \d+ tokens, largest difference \d\.\de[-+]\d+ nats, mean \d\.\de[-+]\d+\nFine: /,
    );
    if (dtype === "float32") {
      assert.equal(result.rounding, null);
      assert.match(text, /up to 1\.0e-4 is allowed/);
      return;
    }
    // what is found by chance is what rounding really does, within a factor of two
    const ratio = result.meanDifference / (result.rounding?.meanDifference ?? 0);
    assert.ok(ratio > 0.5 && ratio < 2, `${ratio}`);
    assert.match(text, new RegExp(`rounding to ${dtype} does as much by chance`));
    assert.doesNotMatch(text, /--export-dtype/);
  });
}

test("only tensors that the type cannot hold count as rounded: of a model stored in it, the merged ones", async () => {
  using _ = scope();
  const stored = fixture.path("half-base");
  await merge({ ...machine, model: base, adapter, output: stored, exportDtype: "bfloat16" });
  const model = loadModel(stored, { dtype: "float32" });
  assert.equal(roundedTensors(model, "bfloat16").size, 0);
  installAdapter(model, readAdapter(adapter));
  const names = [...roundedTensors(model, "bfloat16")];
  assert.ok(names.length > 0 && names.every((name) => /q_proj|down_proj/.test(name)), names.join());
});

test("an adapter smaller than the rounding: the words say what keeps it", async () => {
  const tiny = adapterOf("tiny-adapter", 1e-4);
  const output = fixture.path("tiny-merged");
  const result = await merge({ ...machine, model: base, adapter: tiny, output, exportDtype: "bfloat16" });
  assert.match(mergeText(result), /little more than the rounding: --export-dtype float32 keeps all of it/);
  const kept = await merge({
    ...machine,
    model: base,
    adapter: tiny,
    output: fixture.path("kept"),
    exportDtype: "float32",
  });
  assert.doesNotMatch(mergeText(kept), /little more/);
});

test("files of another model are refused, in float32 and in half types", () => {
  using _ = scope();
  const model = loadModel(base, { dtype: "float32" });
  installAdapter(model, readAdapter(adapter));
  const example = {
    origin: { file: "x", line: 1 },
    promptIds: [3, 4],
    completions: [{ ids: [5, 6, 7, 8, 9, 10] }],
  };
  const gate = {
    model,
    ofBase: () => [],
    batches: [microBatch([example])],
    tolerance: 1e-4,
    output: "out",
  };
  for (const dtype of ["float32", "float16"] as const) {
    assert.throws(
      () => checkMerged(base, { ...gate, dtype }),
      (error: unknown) =>
        error instanceof FormatError &&
        /^out: the merged model does not score.*not written/.test(error.message),
    );
  }
});

test("a merged export of training that only rounding moves is good, however far it moves", async () => {
  using _ = scope();
  const output = fixture.path("exported");
  await merge({ ...machine, model: base, adapter, output, exportDtype: "bfloat16" });
  const model = loadModel(base, { dtype: "float32" });
  installAdapter(model, readAdapter(adapter));
  const example = {
    origin: { file: "x", line: 1 },
    promptIds: [3, 4],
    completions: [{ ids: [5, 6, 7, 8, 9, 10] }],
  };
  const numerics = { dtype: "float32", gradient_checkpointing: false, logits_chunk_size: null } as const;
  // a tolerance of which 200 times are less than the rounding
  const gate = {
    baseDir: base,
    model,
    batches: [microBatch([example])],
    numerics,
    dtype: "bfloat16",
    tolerance: 1e-7,
  } as const;
  const { meanDifference } = checkParity({ ...gate, kind: "model", path: output });
  assert.ok(meanDifference > 200 * gate.tolerance);
  assert.throws(() => checkParity({ ...gate, kind: "model", path: base }), /does not score held-out rows/);
});

const bytesOf = (dir: string) => readFileSync(join(dir, "model.safetensors"));

test("a target that is there is kept, and the hint's --replace replaces it", async () => {
  const output = fixture.path("twice");
  await merge({ ...machine, model: base, adapter, output });
  const first = bytesOf(output);
  const other = adapterOf("other-adapter", 2);
  await assert.rejects(
    merge({ ...machine, model: base, adapter: other, output }),
    (error: unknown) =>
      error instanceof FileError &&
      /twice: .*not empty\. It is kept as it is\..*--replace$/.test(error.message),
  );
  assert.deepEqual(bytesOf(output), first);
  await merge({ ...machine, model: base, adapter: other, output, replace: true });
  assert.notDeepEqual(bytesOf(output), first);
  // a merge that fails its gate leaves the old one
  const good = bytesOf(output);
  await assert.rejects(
    merge({
      ...machine,
      model: base,
      adapter,
      output,
      replace: true,
      exportDtype: "float32",
      tolerance: -1,
    }),
    /It was not written; what was there is as it was/,
  );
  assert.deepEqual(bytesOf(output), good);
});

test("--replace takes models only, and none that is being merged", async () => {
  const notes = fixture.path("notes");
  mkdirSync(notes);
  writeFileSync(join(notes, "thesis.txt"), "years of work");
  const cases: [output: string, message: RegExp][] = [
    [notes, /expected a model to replace, with config\.json, there is none/],
    [base, /it holds \S+, of which the merged model is made/],
    [fixture.dir, /it holds \S+, of which the merged model is made/],
  ];
  for (const [output, message] of cases) {
    await assert.rejects(merge({ ...machine, model: base, adapter, output, replace: true }), message);
  }
  assert.ok(existsSync(join(notes, "thesis.txt")) && statSync(base).isDirectory());
});
