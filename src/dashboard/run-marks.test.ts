/** Tags, archive and baseline: on disk, by the owner alone, of runs by where they lie. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, realpathSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type DashboardApp, withDashboardApp, writeRun } from "../../test/support/dashboards.ts";
import { MarksFile } from "./run-marks.ts";
import { idOf } from "./run-store.ts";
import type { Summary } from "./run-summary.ts";

const marked = async ({ ask }: DashboardApp, dir: string, body: unknown) =>
  await ask(`/api/runs/${idOf(realpathSync(dir))}/marks`, { method: "POST", as: "owner", body });

const listed = async ({ ask }: DashboardApp): Promise<Map<string, Summary>> => {
  const { runs } = (await (await ask("/api/runs", { as: "viewer" })).json()) as { runs: Summary[] };
  return new Map(runs.map((run) => [run.name, run]));
};

test("an owner tags, archives and pins; the list says it, and one run is the baseline", async () => {
  await withDashboardApp(async (app) => {
    const [a, b] = [writeRun(app.root, "a"), writeRun(app.root, "b")];
    const first = (await (
      await marked(app, a, { tags: ["good", "good", " v2 "], isBaseline: true })
    ).json()) as Summary;
    assert.deepEqual([first.name, first.tags, first.isBaseline], ["a", ["good", "v2"], true]);
    assert.equal((await marked(app, b, { isBaseline: true })).status, 200);
    const two = await listed(app);
    assert.deepEqual([two.get("a")?.isBaseline, two.get("b")?.isBaseline], [false, true]);
    // what is put away is compared with no more
    assert.equal((await marked(app, b, { isArchived: true })).status, 200);
    const { isBaseline, isArchived } = (await listed(app)).get("b") as Summary;
    assert.deepEqual([isBaseline, isArchived], [false, true]);
    await marked(app, b, { isArchived: false });
    await marked(app, a, { tags: [] });
    const path = join(app.root, "marks.json");
    assert.deepEqual(JSON.parse(readFileSync(path, "utf8")), { version: 1, baseline: null, runs: [] });
    assert.deepEqual(app.faults, []);
  });
});

test("tags are single words, few and short", async () => {
  await withDashboardApp(async (app) => {
    const dir = writeRun(app.root, "a");
    const wrong = [
      ["two words"],
      ["a,b"],
      [""],
      ["x".repeat(31)],
      Array.from({ length: 11 }, (_, i) => `t${i}`),
    ];
    for (const tags of wrong) assert.equal((await marked(app, dir, { tags })).status, 422, String(tags));
    assert.equal((await marked(app, dir, { tags: ["<b>"], more: 1 })).status, 422);
  });
});

test("a damaged file is left as it is, and what was to be said is refused with the remedy", async () => {
  await withDashboardApp(async (app) => {
    const dir = writeRun(app.root, "a");
    const path = join(app.root, "marks.json");
    writeFileSync(path, '{"version":1,"baseline":7}');
    assert.deepEqual((await listed(app)).get("a")?.tags, []);
    const answer = await marked(app, dir, { tags: ["x"] });
    assert.equal(answer.status, 422);
    const { error } = (await answer.json()) as { error: string };
    assert.match(error, /marks\.json of the dashboard cannot be read[\s\S]*delete it to begin again/);
    assert.ok(!error.includes(app.root), "no path of this machine");
    assert.equal(readFileSync(path, "utf8"), '{"version":1,"baseline":7}');
  });
});

test("marks move with the folder of the runs, and another dashboard sees them", async () => {
  await withDashboardApp(async ({ root }) => {
    const [before, later] = [join(root, "before"), join(root, "later")];
    mkdirSync(join(before, ".dashboard"), { recursive: true });
    const reader = new MarksFile(join(before, ".dashboard"), before);
    new MarksFile(join(before, ".dashboard"), before).change(join(before, "__proto__"), { tags: ["x"] });
    assert.deepEqual(reader.of(join(before, "__proto__")).tags, ["x"]);
    assert.deepEqual(reader.of(join(before, "constructor")).tags, []);
    renameSync(before, later);
    assert.deepEqual(new MarksFile(join(later, ".dashboard"), later).of(join(later, "__proto__")).tags, [
      "x",
    ]);
  });
});

test("runs of a study are of its folder, with its report where there is one", async () => {
  await withDashboardApp(async (app) => {
    const study = join(app.root, "my-study");
    mkdirSync(study);
    writeFileSync(join(study, "study.json"), "{}");
    writeRun(join(study, "runs"), "one");
    writeRun(app.root, "other");
    const before = await listed(app);
    const { id = "", ...said } = before.get("one")?.study ?? {};
    assert.deepEqual(said, { folder: "my-study", hasReport: false });
    assert.equal(before.get("other")?.study, null);
    const report = async (asked: string) => await app.ask(`/api/studies/${asked}/report`, { as: "viewer" });
    assert.equal((await report(id)).status, 404);
    writeFileSync(join(study, "report.html"), "<p>study</p>");
    app.context.runs.expectChange();
    assert.equal((await listed(app)).get("one")?.study?.hasReport, true);
    const page = await report(id);
    assert.equal(await page.text(), "<p>study</p>");
    assert.match(page.headers.get("content-security-policy") ?? "", /sandbox$/);
    for (const other of ["..", idOf(app.root), "my-study"])
      assert.equal((await report(other)).status, 404, other);
  });
});
