/** What the Judge screen is told of comparisons: those that can be read, whatever else lies or lay there. */
import assert from "node:assert/strict";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { withDashboardApp } from "../../test/support/dashboards.ts";
import type { Judges } from "./judge-routes.ts";

const statistic = { value: 0.5, interval: { low: 0.4, high: 0.6 } };
const results = {
  ...{ benchmark: "pairwise", models: ["a", "b"], judge: { model: "j" }, questions: 4 },
  statistics: {
    outcomes: { winRate: statistic },
    positionBias: { changed: statistic, firstShare: statistic },
    lengthBias: { longerShare: statistic },
  },
};

test("comparisons below the directories are listed; a folder that is gone or cannot be read has none", async () => {
  await withDashboardApp(async (app) => {
    mkdirSync(join(app.root, "judged"));
    writeFileSync(join(app.root, "judged", "results.json"), JSON.stringify(results));
    mkdirSync(join(app.root, "damaged"));
    writeFileSync(join(app.root, "damaged", "results.json"), "{");
    const namesNow = async (): Promise<string[]> => {
      const answer = await app.ask("/api/judges", { as: "viewer" });
      assert.equal(answer.status, 200, String(app.faults));
      return ((await answer.json()) as Judges).runs.map(({ name }) => name);
    };
    assert.deepEqual(await namesNow(), ["judged"]);
    rmSync(app.root, { recursive: true });
    assert.deepEqual(await namesNow(), []);
    assert.deepEqual(app.faults, []);
  });
});
