/** Versions that do not change, and the way from a label to a run and back. */
import assert from "node:assert/strict";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { scratch } from "../../test/support/scratch.ts";
import { at } from "../base/at.ts";
import { DataError } from "../base/errors.ts";
import { sha256, sha256File } from "../base/files.ts";
import { sealed } from "../base/sealed.ts";
import { loadConfig } from "../config/load-config.ts";
import { dataFilesOf } from "../runs/data-files.ts";
import { exportLabels } from "./export-labels.ts";
import { itemLineage, runLineage, runSources } from "./lineage.ts";
import {
  listVersions,
  openVersion,
  readVersion,
  removedRows,
  saveVersion,
  versionPaths,
} from "./versions.ts";
import { makeWorkbench, openWorkbench } from "./workbench-dir.ts";

const root = mkdtempSync(join(scratch(), "preftune-workbench-"));
after(() => rmSync(root, { recursive: true, force: true }));

test("a version is named by its rows, made once, and refused when it was changed", async () => {
  const dir = mkdtempSync(join(root, "bench-"));
  const rows = [{ prompt: "x", chosen: "y", rejected: "z" }];
  const about = { by: "export", sources: {}, rules: {}, counts: {} } as const;
  const version = await saveVersion(dir, rows, about, [
    { filter: "empty_answer", origin: "f:2", row: { a: 1 } },
  ]);
  const paths = versionPaths(dir, version.digest);
  assert.equal(version.digest, sha256('{"prompt":"x","chosen":"y","rejected":"z"}\n'));
  assert.equal(version.digest, sha256File(paths.rows));
  assert.deepEqual(await saveVersion(dir, rows, { ...about, by: "clean" }), version);
  assert.deepEqual(listVersions(dir), [version]);
  assert.deepEqual(removedRows(dir, version.digest), [
    { filter: "empty_answer", origin: "f:2", row: { a: 1 } },
  ]);
  await assert.rejects(saveVersion(dir, [], about), /expected rows for a version, got none: nothing that/);
  assert.equal((await openVersion(dir, version.digest)).kept.rows, 1);
  // what a killed process began is removed with the next version, what another one writes just now is not
  const [orphan, underWay] = [999_999_999, process.pid].map((pid) => `.rows.jsonl.tmp-${pid}-0123abcd`);
  for (const name of [orphan, underWay]) writeFileSync(join(dir, "versions", name ?? ""), "{}\n");
  assert.deepEqual(await saveVersion(dir, rows, about), version);
  assert.deepEqual(readdirSync(join(dir, "versions")).toSorted(), [underWay, version.digest]);
  // a line more, and one that is no row: looked at, and opened by its digest
  appendFileSync(paths.rows, "{}\n");
  await assert.rejects(openVersion(dir, version.digest), /expected the rows that the version is named by/);
  for (const line of ["[", "3"]) {
    writeFileSync(paths.rows, `{}\n${line}\n`);
    await assert.rejects(openVersion(dir, version.digest), (error) => {
      assert.ok(error instanceof DataError, String(error));
      assert.match(error.message, /rows\.jsonl:2: expected a JSON object, got "[[3]": .* Put it back\.$/);
      return true;
    });
  }
  assert.throws(
    () => readVersion(dir, version.digest),
    /expected the rows that the version is named by, got others/,
  );
  assert.throws(
    () => readVersion(dir, "0".repeat(64)),
    /expected a version 0+, there are [0-9a-f]{12}\. Export/,
  );
});

test("a label is followed to the run that read its version, and back to people and models", async () => {
  const dir = mkdtempSync(join(root, "bench-"));
  assert.throws(() => openWorkbench(dir), /expected a workbench .* Make one: preftune labels import/);
  using store = makeWorkbench(dir);
  store.add([
    {
      prompt: "x",
      answers: ["yes", "no"],
      models: ["small", "large"],
      votes: [
        { person: "ann", choice: "a" },
        { person: "bob", choice: "a" },
      ],
      extra: {},
    },
    { prompt: "y", answers: ["yes", "no"], models: ["small", "large"], votes: [], extra: {} },
  ]);
  const { rows, counts } = exportLabels(store);
  const { digest } = await saveVersion(dir, rows, { by: "export", sources: {}, rules: {}, counts });
  const run = join(dir, "run");
  mkdirSync(run);
  writeFileSync(join(run, "run.json"), "{}");
  const data = { rows: "0", "train_data[0]/rows.jsonl": digest };
  writeFileSync(join(run, "fingerprints.json"), sealed(JSON.stringify({ data, model: "m" })));
  assert.ok(existsSync(versionPaths(dir, digest).rows));
  const { item } = at(rows, 0)["meta"] as { item: string };
  const there = await itemLineage(dir, item, [run]);
  assert.deepEqual([there.versions.map((version) => version.digest), there.runs], [[digest], [run]]);
  const back = await runLineage(dir, store, run);
  assert.deepEqual(back.items, [item]);
  assert.deepEqual([back.people, back.judges, back.models], [{ ann: 1, bob: 1 }, {}, { small: 1, large: 1 }]);
  const other = store.order.find((id) => id !== item) ?? "";
  assert.deepEqual(await itemLineage(dir, other, [run]), { item: other, versions: [], runs: [] });
  assert.ok(readFileSync(versionPaths(dir, digest).rows, "utf8").includes(item));
  // two rows an item, of one judgment each
  const kto = exportLabels(store, { rows: "kto" });
  const version = await saveVersion(dir, kto.rows, { by: "export", sources: {}, rules: {}, counts });
  const ofKto = { rows: "0", "train_data[0]/rows.jsonl": version.digest };
  writeFileSync(join(run, "fingerprints.json"), sealed(JSON.stringify({ data: ofKto, model: "m" })));
  assert.equal(version.rows, 2);
  const { items, people, models } = await runLineage(dir, store, run);
  assert.deepEqual([items, people, models], [[item], { ann: 1, bob: 1 }, { small: 1, large: 1 }]);
  const sources = await runSources(dir, store, run);
  assert.deepEqual([sources.items, sources.people, sources.models], [1, people, models]);
  // a second look reads nothing
  rmSync(versionPaths(dir, version.digest).rows);
  assert.deepEqual(await runSources(dir, store, run), sources);
});

test("rows with a column meta of their own have no labels behind them", async () => {
  const dir = mkdtempSync(join(root, "bench-"));
  using store = makeWorkbench(dir);
  const metas = [{ item: "B00X" }, { item: 7, votes: [] }, { item: "p", votes: "many" }, null, "text"];
  const own = metas.map((meta) => ({ prompt: "x", chosen: "y", rejected: "z", meta }));
  const about = { by: "clean", sources: {}, rules: [], counts: {} } as const;
  const { digest } = await saveVersion(dir, own, about);
  const run = join(dir, "run");
  mkdirSync(run);
  writeFileSync(join(run, "run.json"), "{}");
  const data = { rows: "0", "train_data[0]/rows.jsonl": digest };
  writeFileSync(join(run, "fingerprints.json"), sealed(JSON.stringify({ data, model: "m" })));
  const { items, people, judges, models } = await runLineage(dir, store, run);
  assert.deepEqual([items, people, judges, models], [[], {}, {}, {}]);
  assert.deepEqual((await itemLineage(dir, "B00X", [run])).versions, []);
});

test("a run that reads several versions by a pattern is found by each of them", async () => {
  const dir = mkdtempSync(join(root, "bench-"));
  const about = { by: "export", sources: {}, rules: {}, counts: {} } as const;
  for (const item of ["p", "q"])
    await saveVersion(dir, [{ prompt: "x", chosen: item, rejected: "z", meta: { item, votes: [] } }], about);
  const run = join(dir, "run");
  mkdirSync(run);
  writeFileSync(join(run, "run.json"), "{}");
  const trainData = join(dir, "versions", "*", "rows.jsonl");
  const { config } = loadConfig({
    values: { model_name_or_path: "m", output_dir: run, train_data: trainData },
  });
  const data = { rows: "0", ...(await dataFilesOf(config)) };
  writeFileSync(join(run, "fingerprints.json"), sealed(JSON.stringify({ data, model: "m" })));
  for (const item of ["p", "q"]) assert.deepEqual((await itemLineage(dir, item, [run])).runs, [run]);
});
