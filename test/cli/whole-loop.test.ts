/** The whole loop: rows with planted defects → clean → judged by two people → agreement → version → check → runs → comparison → back. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Random } from "../../src/base/random.ts";
import { hasErrors } from "../../src/data/preflight.ts";
import { writeComparison } from "../../src/report/comparison.ts";
import { readJsonLines } from "../../src/runs/json-lines.ts";
import { prepareData, rowsOf } from "../../src/train/prepare-data.ts";
import { clean } from "../../src/workbench/clean/clean.ts";
import { parseCleanRecipe } from "../../src/workbench/clean/clean-recipe.ts";
import type { Progress, ShownPair } from "../../src/workbench/labelling.ts";
import { runLineage } from "../../src/workbench/lineage.ts";
import type { PeopleReport } from "../../src/workbench/people.ts";
import { versionPaths } from "../../src/workbench/versions.ts";
import { type DashboardApp, withDashboardApp } from "../support/dashboards.ts";
import { plantedEach, plantedKinds, plantedRecipe, writePlantedRows } from "../support/planted-rows.ts";
import { runFixture, runTraining } from "../support/runs.ts";

interface Next {
  pair: ShownPair | null;
  progress: Progress;
}

/** Pairs that each person judges. */
const judged = 60;

/** One of the planted rows' chosen answers begins so; who is `right` of the time says so. */
async function judge(app: DashboardApp, as: "owner" | "labeller", right: number): Promise<void> {
  const random = new Random(as === "owner" ? 1 : 2);
  const post = async (path: string, body: unknown): Promise<Next> => {
    const answer = await app.ask(path, { as, method: "POST", body });
    assert.equal(answer.status, 200, await answer.clone().text());
    return (await answer.json()) as Next;
  };
  let { pair, progress } = await post("/api/label/next", {});
  for (let key = 0; pair !== null && progress.labelled < judged; key++) {
    const better = String(pair.left).startsWith("It ") ? "left" : "right";
    const worse = better === "left" ? "right" : "left";
    const verdict = random.next() < right ? better : worse;
    ({ pair, progress } = await post("/api/label/vote", {
      showing: pair.showing,
      key: `k${key}`,
      verdict,
      ms: 4000,
    }));
  }
}

test("200 rows with 40 defects to two runs, and one label to the run and back", async () => {
  using fixture = runFixture({ rows: 2, held: 2 });
  const data = fixture.path("data");
  mkdirSync(data);
  const { defects } = writePlantedRows(data);
  await withDashboardApp(async (app) => {
    // 40 defects of eight kinds: all found, none invented
    const cleaned = await clean(parseCleanRecipe(plantedRecipe(data), "clean.yaml"), null);
    assert.deepEqual(
      cleaned.filters,
      plantedKinds.map((code) => ({ code, taken: plantedEach })),
    );
    const removed = readJsonLines(join(data, "clean-removed.jsonl")).map(
      ({ value }) => value as { filter: string; origin: string },
    );
    for (const { filter, origin } of removed)
      assert.equal(defects[Number(origin.split(":").at(-1)) - 1], filter);

    // import, without the file's own verdicts: what was chosen becomes an answer like the other
    const rows = readJsonLines(join(data, "clean.jsonl")).map(
      ({ value }) => value as { prompt: string; chosen: string; rejected: string },
    );
    const table = rows.map(({ prompt, chosen, rejected }) => ({
      prompt,
      answer_a: rejected,
      answer_b: chosen,
      model_a: "old",
      model_b: "new",
    }));
    const sent = { name: "pairs.jsonl", text: table.map((row) => JSON.stringify(row)).join("\n") };
    assert.equal((await app.ask("/api/import", { as: "owner", method: "POST", body: sent })).status, 200);

    // two people, the same pairs: one nearly always right, one mostly
    await judge(app, "owner", 0.95);
    await judge(app, "labeller", 0.85);
    const people = (await (await app.ask("/api/people", { as: "owner" })).json()) as PeopleReport;
    assert.equal(people.agreement?.units, judged);
    assert.ok(people.agreement.raw.value > 0.65 && people.agreement.raw.value < 1);
    assert.ok(people.conflicts.length > 0 && people.conflicts.length < 25);

    // export: conflicts are left out and counted
    const rules = { rows: "pairs", ties: "drop", bad: "drop", conflicts: "drop" };
    const made = await app.ask("/api/versions", { as: "owner", method: "POST", body: rules });
    const { digest, counts } = (await made.json()) as {
      digest: string;
      counts: { used: number; conflicts: number; unlabelled: number };
    };
    assert.equal(counts.conflicts, people.conflicts.length);
    assert.deepEqual([counts.used + counts.conflicts, counts.unlabelled], [judged, 100]);
    const trainData = versionPaths(app.context.bench.dir, digest).rows;

    // the check that training makes finds nothing to refuse, and nothing odd about the meta column
    const model = String(fixture.values["model_name_or_path"]);
    const { dataset } = await prepareData(
      rowsOf(trainData, { model_name_or_path: model, task: "preference", plain_strings: "chat" }),
    );
    assert.equal(hasErrors(dataset.report), false);
    assert.deepEqual(
      dataset.report.findings.filter(({ code }) => code !== "length_bias"),
      [],
    );
    assert.equal(dataset.examples.length, counts.used);

    // train twice, compare
    const runs = ["first", "second"].map((name) => join(app.root, name));
    for (const [seed, outputDir] of runs.entries()) {
      await runTraining({
        ...fixture.values,
        ...{
          train_data: trainData,
          eval_data: null,
          eval_fraction: 0.1,
          plain_strings: "chat",
          output_dir: outputDir,
          seed,
          max_steps: 2,
        },
        ...{ objective: "dpo", learning_rate: 1e-3, use_peft: true, report_to: [] },
      });
    }
    writeComparison(runs, join(app.root, "comparison.html"));
    assert.match(readFileSync(join(app.root, "comparison.html"), "utf8"), /first[\s\S]*second/);

    // from one label to the runs, and from a run to its labels, people and models
    const row = JSON.parse(readFileSync(trainData, "utf8").split("\n")[0] ?? "") as {
      meta: { item: string };
    };
    const there = (await (await app.ask(`/api/items/${row.meta.item}`, { as: "owner" })).json()) as {
      versions: { digest: string }[];
      runs: { name: string }[];
    };
    assert.deepEqual([there.versions.map((version) => version.digest), there.runs.length], [[digest], 2]);
    const back = await runLineage(
      app.context.bench.dir,
      app.context.bench.store,
      realpathSync(runs[0] ?? ""),
    );
    assert.ok(back.items.includes(row.meta.item));
    assert.deepEqual(back.people, { owner: counts.used, labeller: counts.used });
    assert.deepEqual(back.models, { old: counts.used, new: counts.used });
    assert.deepEqual(app.faults, []);
  });
});
