/** Cleaning from the page: counted, made, taken back; the rows taken out are there to read, and no path is told. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type DashboardApp, withDashboardApp, writeRun } from "../../test/support/dashboards.ts";
import { plantedEach, plantedKinds, writePlantedRows } from "../../test/support/planted-rows.ts";
import { loadConfig } from "../config/load-config.ts";
import { createRun } from "../runs/run-directory.ts";
import { clean } from "../workbench/clean/clean.ts";
import { parseCleanRecipe } from "../workbench/clean/clean-recipe.ts";
import { importPasted } from "../workbench/import-comparisons.ts";
import { saveVersion } from "../workbench/versions.ts";
import type { Cleaning, ListedVersion, PageFilter, VersionRows } from "./clean-routes.ts";

async function ask<T>(app: DashboardApp, path: string, body?: unknown): Promise<T> {
  const answer = await app.ask(path, {
    as: "owner",
    ...(body === undefined ? {} : { method: "POST", body }),
  });
  const text = await answer.text();
  assert.equal(answer.status, 200, `${path}: ${text}`);
  assert.ok(!text.includes(app.root), `${path} tells a path: ${text.slice(0, 300)}`);
  return JSON.parse(text) as T;
}

interface Result {
  read: number;
  kept: number;
  filters: { code: string; taken: number }[];
  digest: string;
}

test("planted defects by filters from the page: counts, a version, what was taken out, and a filter taken back", async () => {
  await withDashboardApp(async (app) => {
    const { bench } = app.context;
    const { rows } = writePlantedRows(app.root);
    const held = readFileSync(join(app.root, "held-out.jsonl"), "utf8").trim().split("\n");
    const about = { by: "export", sources: {}, rules: {}, counts: {} } as const;
    const { digest: source } = await saveVersion(bench.dir, rows, about);
    const { digest: heldOut } = await saveVersion(
      bench.dir,
      held.map((line) => JSON.parse(line)),
      about,
    );
    mkdirSync(join(bench.dir, "benchmarks"));
    writeFileSync(
      join(bench.dir, "benchmarks", "bench.jsonl"),
      readFileSync(join(app.root, "benchmark.jsonl")),
    );
    const { sources, files, filters: kinds } = await ask<Cleaning>(app, "/api/cleaning");
    assert.deepEqual(
      [sources.map(({ id }) => id).toSorted(), files],
      [[source, heldOut].toSorted(), ["bench.jsonl"]],
    );
    assert.ok(kinds.every(({ code }) => code !== "too_long"));
    const filters: PageFilter[] = plantedKinds.map((code) => ({
      code,
      options: code === "in_benchmark" ? { files: ["bench.jsonl"] } : {},
    }));
    const sent = { source, heldOut, filters };
    const trial = await ask<Result>(app, "/api/cleaning", { ...sent, isTrial: true });
    assert.deepEqual(
      trial.filters,
      filters.map(({ code }) => ({ code, taken: plantedEach })),
    );
    const { versions: before } = await ask<{ versions: ListedVersion[] }>(app, "/api/versions");
    assert.equal(before.length, 2, "a trial makes nothing");
    const made = await ask<Result>(app, "/api/cleaning", { ...sent, isTrial: false });
    assert.deepEqual([made.read, made.kept, made.digest], [200, 160, trial.digest]);

    // what is left, what was found in the source, and what was taken out
    const shown = await ask<VersionRows>(app, `/api/versions/${made.digest}?group=cut_off`);
    assert.deepEqual(
      Object.fromEntries(shown.groups.map(({ name, rows: count }) => [name, count])),
      Object.fromEntries([["kept", 160], ...filters.map(({ code }) => [code, plantedEach])]),
    );
    assert.equal(shown.rows.length, plantedEach);
    assert.match(JSON.stringify(shown.rows[0]?.row), / every"/);
    assert.equal(shown.source, source);
    const found = await ask<VersionRows>(app, `/api/versions/${source}?finding=identical_pair`);
    assert.equal(found.findings.find(({ code }) => code === "identical_pair")?.rows, plantedEach);
    assert.ok(found.rows.every(({ row }) => isSame(row)));

    // a filter taken back: its rows are there again
    const again = (shown.version.rules as PageFilter[]).filter(({ code }) => code !== "cut_off");
    const without = await ask<Result>(app, "/api/cleaning", { ...sent, filters: again, isTrial: false });
    assert.equal(without.kept, 160 + plantedEach);
    assert.deepEqual(app.faults, []);
  });
});

function isSame(row: unknown): boolean {
  const { chosen, rejected } = row as { chosen: string; rejected: string };
  return chosen === rejected;
}

test("a run whose files are damaged keeps nobody from seeing the versions, nor where a pair went", async () => {
  await withDashboardApp(async (app) => {
    const { bench } = app.context;
    const about = { by: "export", sources: {}, rules: {}, counts: {} } as const;
    const { comparisons } = await importPasted("prompt\tanswer_a\tanswer_b\nWhy?\tSo.\tWhat?\n");
    bench.store.add(comparisons);
    const [item = ""] = bench.store.order;
    const row = { prompt: "Why?", chosen: "So.", rejected: "What?", meta: { item, votes: [], verdict: "a" } };
    const { digest } = await saveVersion(bench.dir, [row], about);
    const damaged = writeRun(app.root, "damaged");
    const whole = writeRun(app.root, "whole");
    writeFileSync(join(damaged, "fingerprints.json"), "{");
    const read = { model: "m", data: { "rows.jsonl": digest } };
    writeFileSync(join(whole, "fingerprints.json"), JSON.stringify(read));
    const { versions } = await ask<{ versions: ListedVersion[] }>(app, "/api/versions");
    const went = await ask<{ runs: unknown[] }>(app, `/api/items/${item}`);
    assert.deepEqual(
      versions.map(({ runs }) => runs.map(({ name }) => name)),
      [["whole"]],
    );
    assert.deepEqual(went.runs, versions[0]?.runs);
    assert.deepEqual(app.faults, []);
  });
});

test("a row that was taken out because it says two things is looked at as one without a value", async () => {
  await withDashboardApp(async (app) => {
    const data = join(app.root, "twice.jsonl");
    const good = { prompt: "a", chosen: "b", rejected: "c" };
    writeFileSync(data, `${JSON.stringify(good)}\n{"prompt":"a","chosen":"b","chosen":"c","rejected":"d"}\n`);
    const recipe = { data, filters: ["invalid_row"], workbench: app.context.bench.dir };
    const { digest } = await clean(parseCleanRecipe(JSON.stringify(recipe), "the filters"), null, {});
    const shown = await ask<VersionRows>(app, `/api/versions/${digest}?group=invalid_row`);
    const [taken] = shown.rows;
    assert.deepEqual([taken?.row, taken?.origin], [null, "twice.jsonl:2"]);
    assert.match(taken?.detail ?? "", /chosen/);
    assert.deepEqual(app.faults, []);
  });
});

test("a file of a run whose columns have other names is cleaned, looked at and cleaned again by these", async () => {
  await withDashboardApp(async (app) => {
    const row = (i: number) => ({ asked: `Question ${i}?`, chosen: "Yes, it is.", rejected: "No." });
    const data = join(app.root, "named.jsonl");
    writeFileSync(data, [row(1), row(2), row(2)].map((one) => `${JSON.stringify(one)}\n`).join(""));
    const held = join(app.root, "held.jsonl");
    writeFileSync(held, `${JSON.stringify({ prompt: "Question 1?", chosen: "b", rejected: "c" })}\n`);
    const values = { model_name_or_path: "m", train_data: data, columns: { prompt: "asked" } };
    const own = { eval_data: [{ path: held, columns: {} }], output_dir: join(app.root, "run") };
    createRun(loadConfig({ values: { ...values, ...own } }));
    const { sources } = await ask<Cleaning>(app, "/api/cleaning");
    const idOf = (name: string) => sources.find((source) => source.name === name)?.id;
    const filters = [{ code: "duplicate_row", options: {} }];
    const leak = { code: "prompt_in_both_splits", options: {} };
    const sent = {
      ...{ source: idOf("named.jsonl, prompt: asked"), heldOut: idOf("held.jsonl") },
      ...{ filters: [...filters, leak], isTrial: false },
    };
    const { kept, digest } = await ask<Result>(app, "/api/cleaning", sent);
    assert.equal(kept, 1);
    const shown = await ask<VersionRows>(app, `/api/versions/${digest}?group=duplicate_row`);
    assert.deepEqual(shown.rows[0]?.row, { prompt: "Question 2?", chosen: "Yes, it is.", rejected: "No." });
    assert.deepEqual([shown.source, shown.findings], [sent.source, []]);
    const again = { source: digest, heldOut: null, filters, isTrial: true };
    assert.equal((await ask<Result>(app, "/api/cleaning", again)).kept, 1);
    assert.deepEqual(app.faults, []);
  });
});

test("what is asked for must be there: rows, files of the workbench, filters and their options", async () => {
  await withDashboardApp(async (app) => {
    const { bench } = app.context;
    const { digest: source } = await saveVersion(bench.dir, [{ prompt: "a", chosen: "b", rejected: "c" }], {
      ...{ by: "export", sources: {}, rules: {}, counts: {} },
    });
    const refused = async (change: object): Promise<string> => {
      const body = {
        source,
        heldOut: null,
        filters: [{ code: "cut_off", options: {} }],
        isTrial: true,
        ...change,
      };
      const answer = await app.ask("/api/cleaning", { as: "owner", method: "POST", body });
      return `${answer.status} ${await answer.text()}`;
    };
    assert.match(await refused({ source: "../../etc/passwd" }), /^404 .*no such rows/);
    const files = (name: string) => ({ filters: [{ code: "in_benchmark", options: { files: [name] } }] });
    assert.match(await refused(files("../labels.sqlite")), /^422 .*folder benchmarks, there is no/);
    assert.match(
      await refused({ filters: [{ code: "cutoff", options: {} }] }),
      /^422 .*did you mean .*cut_off/i,
    );
    assert.match(
      await refused({ filters: [{ code: "length_gap", options: { ratio: 0 } }] }),
      /^422 .*length_gap/,
    );
    assert.match(
      await refused({ filters: [{ code: "too_long", options: {} }] }),
      /^422 .*model_name_or_path/,
    );
    const viewer = await app.ask("/api/cleaning", { as: "viewer", method: "POST", body: {} });
    assert.equal(viewer.status, 403);
  });
});
