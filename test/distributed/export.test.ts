/** What ranks export that hold a part of the model each: the bytes that one process writes, and one error for all. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { at } from "../../src/base/at.ts";
import { readAdapter } from "../../src/formats/adapter.ts";
import { readModelConfig } from "../../src/formats/hf-config.ts";
import { readSafetensorsHeader } from "../../src/formats/safetensors.ts";
import { loadModel } from "../../src/models/load.ts";
import { installAdapter } from "../../src/models/load-adapter.ts";
import type { ParityResult } from "../../src/runs/train-events.ts";
import { scope } from "../../src/torch/index.ts";
import { type ExportCase, exportCase, makeDeepModel, makeExportCases } from "../support/export-cases.ts";
import type { ExportPlan } from "../support/export-rank-child.ts";
import { askPython, assertRead } from "../support/exports-in-python.ts";
import { skipWithoutPeers } from "../support/peers.ts";
import { allEnded, freePort, placesOf, startRankPrograms } from "../support/rank-processes.ts";
import { logitsOf, temporaryDirectory } from "../support/tiny-models.ts";

/** What a rank prints of a case. */
type Said = { results?: ParityResult[]; error?: { name: string; message: string } };

const dir = temporaryDirectory();
after(() => dir[Symbol.dispose]());
let cases: ExportCase[] = [];
const alone = new Map<string, ParityResult[]>();

before(async () => {
  cases = makeExportCases(dir.path);
  for (const one of cases) {
    const place = join(dir.path, "1", one.name);
    mkdirSync(place, { recursive: true });
    const to = { adapter: join(place, "adapter"), model: join(place, "model") };
    alone.set(one.name, await exportCase(one, to, null));
  }
});

/** What each rank says of each case. */
async function exported(size: number, plan: ExportPlan): Promise<Said[][]> {
  const places = placesOf(size, await freePort());
  const ranks = startRankPrograms("export-rank-child.ts", places, [JSON.stringify(plan)]);
  return (await allEnded(ranks)).map(({ status, stdout, stderr }) => {
    assert.equal(status, 0, stderr);
    return stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Said);
  });
}

function filesUnder(path: string): Record<string, Buffer> {
  const names = readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(path.length + 1))
    .sort();
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(path, name))]));
}

for (const size of [2, 3]) {
  test(`${size} ranks: byte for byte what one writes, and the gate measures the same`, async () => {
    const to = join(dir.path, String(size));
    for (const { name } of cases) mkdirSync(join(to, name), { recursive: true });
    const said = await exported(size, { cases, to });
    for (const [i, { name }] of cases.entries()) {
      const want = filesUnder(join(dir.path, "1", name));
      assert.ok(Object.keys(want).length > 3);
      const got = filesUnder(join(to, name));
      assert.deepEqual(Object.keys(got), Object.keys(want));
      for (const [file, bytes] of Object.entries(want)) {
        assert.ok(got[file]?.equals(bytes), `${name}: ${file}`);
      }
      const expected = alone.get(name) ?? [];
      for (const lines of said) {
        const { results = [], error } = lines[i] ?? {};
        assert.equal(error, undefined);
        assert.deepEqual(
          results.map(({ kind, tokens }) => [kind, tokens]),
          expected.map(({ kind, tokens }) => [kind, tokens]),
        );
        for (const [j, { maxDifference }] of results.entries()) {
          assert.ok(Math.abs(maxDifference - (expected[j]?.maxDifference ?? Number.NaN)) < 1e-4);
        }
      }
    }
  });
}

test("what two ranks wrote loads in transformers and PEFT: the same logits, tied heads tied, no tensor empty", {
  skip: skipWithoutPeers(),
}, () => {
  const ids = [1, 9, 30, 4, 4, 17, 22, 0, 11, 31, 5, 6];
  const asked = cases.flatMap(({ name, selection: { baseModel, use_peft } }) => {
    using _ = scope();
    const place = join(dir.path, "2", name);
    const [model, adapter] = [join(place, "model"), join(place, "adapter")];
    const isTied = readModelConfig(baseModel).tieWordEmbeddings;
    const whole = {
      name,
      model,
      adapter: null,
      ids,
      logits: logitsOf(loadModel(model, { dtype: "float32" }), ids),
    };
    const tied = isTied && !name.includes("head");
    if (!use_peft) return [{ ...whole, tied }];
    const adapted = loadModel(baseModel, { dtype: "float32" });
    installAdapter(adapted, readAdapter(adapter));
    const logits = logitsOf(adapted, ids);
    return [
      { ...whole, tied },
      { name: `${name}, adapter`, model: baseModel, adapter, ids, logits, tied: isTied },
    ];
  });
  assert.equal(asked.filter(({ adapter }) => adapter !== null).length, 4);
  const files = cases.flatMap(({ name }) =>
    Object.keys(filesUnder(join(dir.path, "2", name))).map((file) => join(dir.path, "2", name, file)),
  );
  for (const file of files.filter((path) => path.endsWith(".safetensors"))) {
    for (const { name, shape } of readSafetensorsHeader(file).tensors.values())
      assert.ok(shape.length > 0 && !shape.includes(0), `${file}: ${name} is empty`);
  }
  const { checked } = askPython(asked, []);
  assert.equal(checked.length, asked.length);
  for (const [i, got] of checked.entries()) assertRead(got, at(asked, i));
});

test("a disk that is full on the writer's side ends all with its sentence, and what was there stays", async () => {
  const to = join(dir.path, "full");
  const some = cases.slice(0, 4);
  for (const { name } of some) mkdirSync(join(to, name, "model"), { recursive: true });
  const said = await exported(2, { cases: some, to, isFull: true });
  for (const [i, { name }] of some.entries()) {
    const errors = said.map((lines) => lines[i]?.error);
    assert.deepEqual(errors[0], errors[1]);
    assert.equal(errors[0]?.name, "RankFailure");
    assert.match(
      errors[0]?.message ?? "",
      /^rank 0 \(host .*\): Cannot write .*safetensors: the disk is full/,
    );
    assert.deepEqual(readdirSync(join(to, name)), ["model"]);
    assert.ok(existsSync(join(to, name, "model")));
  }
});

test("a checkpoint and an export take no more memory than a unit, on no rank", async () => {
  const base = makeDeepModel(join(dir.path, "deep"));
  const places = placesOf(2, await freePort());
  const ranks = startRankPrograms("memory-rank-child.ts", places, [base, join(dir.path, "memory")]);
  for (const { status, stdout, stderr } of await allEnded(ranks)) {
    assert.equal(status, 0, stderr);
    const { checkpoint, exported, unit, model } = JSON.parse(stdout);
    assert.ok(unit < model / 8);
    for (const { ofTorch } of [checkpoint, exported])
      assert.ok(ofTorch <= unit, `${ofTorch} bytes, a unit has ${unit}`);
  }
});
