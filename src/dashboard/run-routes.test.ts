/** What the page of a run is sent: complete, escaped, without paths of this machine. */
import assert from "node:assert/strict";
import { appendFileSync, readFileSync, realpathSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  type DashboardApp,
  hostile,
  hostileKey,
  withDashboardApp,
  writeRun,
} from "../../test/support/dashboards.ts";
import { endedRun } from "../../test/support/ended-run.ts";
import type { PairText } from "./pair-text.ts";
import type { ShownTokens } from "./run-routes.ts";
import type { RunSections, ShownEvaluation } from "./run-sections.ts";
import { idOf } from "./run-store.ts";

/** A dashboard with one run; `get` asks for a part of it. */
async function withRun(
  body: (parts: {
    app: DashboardApp;
    dir: string;
    get: (path: string) => Promise<Response>;
  }) => Promise<void>,
): Promise<void> {
  await withDashboardApp(async (app) => {
    const dir = writeRun(app.root, "a");
    const id = idOf(realpathSync(dir));
    await body({ app, dir, get: (path) => app.ask(`/api/runs/${id}${path}`, { as: "viewer" }) });
  });
}

test("sections: findings, configuration with its sources, files; all escaped, no path of this machine", async () => {
  await withRun(async ({ app, dir, get }) => {
    const [start = ""] = readFileSync(join(dir, "log.jsonl"), "utf8").split("\n");
    const { time } = JSON.parse(start) as { time: string };
    writeFileSync(join(dir, "restarts.jsonl"), `${JSON.stringify({ time, cause: `at ${app.root}/a/x` })}\n`);
    const text = await (await get("/sections")).text();
    const parts = JSON.parse(text) as RunSections;
    assert.match(parts.findings, /The run was stopped at step 10/);
    assert.match(parts.findings, /1 row of metrics holds NaN/);
    assert.deepEqual(parts.steps, [0, 10]);
    assert.deepEqual(
      parts.events.map(([, event, details]) => [event, details]),
      [
        ["stopped", "step 10, exported []"],
        ["restart", `cause at …/${app.root.split("/").at(-1)}/a/x`],
        ["start", "step 0, total_steps 10, trainable 1"],
      ],
      "those of the supervisor too, the last first",
    );
    assert.deepEqual(
      parts.config.find(([key]) => key === "objective"),
      ["objective", "slime", "default"],
    );
    assert.ok(parts.files.some(({ name, bytes }) => name === "metrics.jsonl" && (bytes ?? 0) > 0));
    assert.ok(!text.includes(app.root), "an absolute path");
    assert.deepEqual(app.faults, []);
  });
});

test("curves are smoothed as asked, by a number from 0 to below 1", async () => {
  await withRun(async ({ get }) => {
    assert.equal((await get("/curves?smooth=0.5")).status, 200);
    for (const smooth of ["1", "-0.1", "x"]) {
      const refused = await get(`/curves?smooth=${smooth}`);
      assert.equal(refused.status, 422);
      assert.match(await refused.text(), /smooth: expected a number from 0 to below 1, got/);
    }
  });
});

test("scales that were measured: the picture and every scale's answers, escaped", async () => {
  await withRun(async ({ dir, get }) => {
    const empty = (await (await get("/sections")).json()) as RunSections;
    assert.equal(empty.scales, "");
    const row = (scale: number) => ({
      scale,
      figures: { "logps/chosen_delta_init": scale, "logps/rejected_delta_init": -scale },
      answers: [{ prompt: "<b>why</b>", answer: hostile.chosen[0]?.content ?? "" }],
    });
    writeFileSync(
      join(dir, "scale.json"),
      JSON.stringify({ pairs: 40, other_text: null, rows: [0, 0.4, 1].map(row), choice: null }),
    );
    const { scales } = (await (await get("/sections")).json()) as RunSections;
    assert.match(scales, /Margin against likelihood, by scale/);
    assert.equal(scales.match(/<input type="radio" name="scale"/g)?.length, 3);
    assert.match(scales, /id="scale-2" checked><label for="scale-2">1</);
    assert.ok(!/<script|<b>why/.test(scales), scales);
  });
});

test("an evaluation beside the first: pictures and answers escaped, pairs with their rows", async () => {
  await withRun(async ({ get }) => {
    const shown = (await (await get("/evaluations/10")).json()) as ShownEvaluation;
    assert.deepEqual(shown.pairs, [
      { key: hostileKey, place: "eval.jsonl:2", chosen: 0.1, rejected: -1, margin: 0.5 },
    ]);
    assert.match(shown.quadrants, /<circle class="point" data-pair="0"/);
    assert.match(shown.answers, /step 0[\s\S]*step 10/);
    assert.ok(!/<img|<script|<b>/.test(shown.answers), shown.answers);
    assert.equal((await get("/evaluations/7")).status, 404);
    assert.equal((await get("/evaluations/x")).status, 404);
  });
});

test("the evaluation of a run that kept its best one, and whose log does not say which, is marked as exported", async () => {
  await withDashboardApp(async ({ root, ask }) => {
    const dir = join(root, "best");
    const samples = [{ prompt: "a", answers: [{ text: "b", ended: true }] }];
    endedRun(dir, {
      rows: [3, 1, 2].map((loss, i) => ({ global_step: 10 * i, eval_loss: loss })),
      evaluations: [0, 10, 20].map((step) => ({ global_step: step, samples })),
      values: { load_best_model_at_end: true, metric_for_best_model: "loss" },
    });
    const answers = async (step: number): Promise<string> => {
      const path = `/api/runs/${idOf(realpathSync(dir))}/evaluations/${step}`;
      return ((await (await ask(path, { as: "viewer" })).json()) as ShownEvaluation).answers;
    };
    assert.match(await answers(10), /step 10, exported/);
    assert.doesNotMatch(await answers(20), /exported/);
  });
});

test("a pair is found again by its key, with its course; what is gone says so", async () => {
  await withRun(async ({ app, get }) => {
    const { tokens, ...pair } = (await (await get(`/pairs/${hostileKey}`)).json()) as Record<
      string,
      unknown
    > & { tokens: ShownTokens };
    assert.deepEqual([tokens.start, tokens.step, tokens.rejected.now], [0, 10, [-1.5, -6]]);
    assert.deepEqual(pair, {
      place: "eval.jsonl:2",
      steps: [
        { step: 0, chosen: 0, rejected: 0, margin: 0.5 },
        { step: 10, chosen: 0.1, rejected: -1, margin: 0.5 },
      ],
      text: {
        prompt: [{ role: "user", text: hostile.prompt[0]?.content }],
        chosen: [{ role: "assistant", text: hostile.chosen[0]?.content }],
        rejected: [{ role: "assistant", text: hostile.rejected[0]?.content }],
      },
      problem: null,
    });
    assert.equal((await get("/pairs/eval.jsonl:2")).status, 404);
    rmSync(join(app.root, "eval.jsonl"));
    const gone = (await (await get(`/pairs/${hostileKey}`)).json()) as { text: null; problem: string };
    assert.equal(gone.text, null);
    writeFileSync(join(app.root, "a", "pair-tokens.json"), "torn");
    const torn = (await (await get(`/pairs/${hostileKey}`)).json()) as { tokens: null };
    assert.equal(torn.tokens, null);
    assert.match(gone.problem, /the row is not there any more/);
    assert.deepEqual(app.faults, []);
  });
});

test("beside a pair's figures stands its own text, and none once another row is in its place", async () => {
  await withRun(async ({ app, get }) => {
    const path = join(app.root, "eval.jsonl");
    const before = readFileSync(path, "utf8");
    const shown = async () => {
      const { text, problem } = (await (await get(`/pairs/${hostileKey}`)).json()) as {
        text: PairText | null;
        problem: string | null;
      };
      return [text?.chosen[0]?.text ?? null, problem === null ? null : /the file was changed/.test(problem)];
    };
    const own = hostile.chosen[0]?.content;
    assert.deepEqual(await shown(), [own, null]);
    writeFileSync(path, `{"prompt":"new","chosen":"new","rejected":"row"}\n${before}`);
    assert.deepEqual(await shown(), [null, true]);
    writeFileSync(path, before);
    assert.deepEqual(await shown(), [own, null]);
  });
});

test("the seconds of an evaluation between two rows of training take none of theirs away", async () => {
  await withDashboardApp(async ({ root, ask }) => {
    const rows = [
      { global_step: 10, loss: 1, step_time: 2 },
      { global_step: 13, eval_loss: 1, eval_runtime: 5 },
      { global_step: 20, loss: 1, step_time: 2 },
      { global_step: 26, eval_loss: 1, eval_runtime: 5 },
      { global_step: 30, loss: 1, step_time: 2 },
    ];
    const id = idOf(realpathSync(writeRun(root, "a", rows)));
    const csv = await (await ask(`/api/runs/${id}/metrics.csv?keys=loss`, { as: "viewer" })).text();
    assert.deepEqual(
      csv.match(/^\d.*$/gm)?.map((line) => line.split(",")[3]),
      ["20", "45", "70"],
    );
  });
});

test("rows of metrics are read once, whatever a page asks for after them", async () => {
  await withRun(async ({ app, dir, get }) => {
    const path = join(dir, "metrics.jsonl");
    const at = new Date(1_700_000_000_000);
    utimesSync(path, at, at);
    const first = await (await get("/sections")).text();
    assert.match(first, /1 row of metrics holds NaN/);
    // nothing tells that the file is another now, and whoever reads it finds no row of metrics
    writeFileSync(path, readFileSync(path, "utf8").replace(/[^\n]/g, "x"), { flag: "r+" });
    utimesSync(path, at, at);
    const [start = ""] = readFileSync(join(dir, "log.jsonl"), "utf8").split("\n");
    writeFileSync(join(dir, "log.jsonl"), `${start}\n`);
    const second = (await (await get("/sections")).json()) as RunSections;
    assert.equal(second.events.length, 1, "what is new is there");
    assert.match(second.findings, /1 row of metrics holds NaN/);
    writeRun(app.root, "b");
    const ids = ["a", "b"].map((name) => idOf(realpathSync(join(app.root, name))));
    const parts = `/api/comparison/parts?runs=${ids.join()}`;
    assert.equal((await get("/evaluations/10")).status, 200);
    assert.equal((await get(`/pairs/${hostileKey}`)).status, 200);
    assert.equal((await app.ask(parts, { as: "viewer" })).status, 200);
  });
});

test("lines of metrics that cannot be read are named, by their numbers in the file as it is now", async () => {
  await withRun(async ({ dir, get }) => {
    const path = join(dir, "metrics.jsonl");
    const findings = async (): Promise<string> =>
      ((await (await get("/sections")).json()) as RunSections).findings;
    const whole = readFileSync(path, "utf8");
    assert.doesNotMatch(await findings(), /no row of metrics/);
    appendFileSync(path, '{"global_step": 11, "lo\n{"global_step": 12, "loss": 1}\n');
    assert.match(await findings(), /What metrics\.jsonl holds in line 4 is no row of metrics: /);
    appendFileSync(path, "null\n");
    assert.match(await findings(), /holds in line 4, 6 is no row of metrics: /);
    writeFileSync(path, `{}\n${whole}`);
    assert.match(await findings(), /holds in line 1 is no row/);
    writeFileSync(path, whole);
    assert.doesNotMatch(await findings(), /no row of metrics/);
  });
});

test("numbers as CSV, the configuration as YAML, and a damaged run in the reader's words", async () => {
  await withRun(async ({ app, dir, get }) => {
    const csv = await get("/metrics.csv?keys=loss,none");
    assert.equal(await csv.text(), "step,epoch,tokens,seconds,loss\n5,0.5,100,1,1.5\n10,1,200,2,NaN\n");
    assert.match(csv.headers.get("content-disposition") ?? "", /attachment; filename="a.csv"/);
    assert.match(await (await get("/config.yaml")).text(), /^objective: slime$/m);
    assert.equal((await get("/report")).status, 404);
    writeFileSync(join(dir, "report.html"), "<p>report</p>");
    const report = await get("/report");
    assert.match(
      report.headers.get("content-security-policy") ?? "",
      /^default-src 'none'; style-src 'unsafe-inline'; .*sandbox$/,
    );
    writeFileSync(join(dir, "run.json"), "{}");
    const damaged = await get("/sections");
    assert.equal(damaged.status, 422);
    assert.equal((await get("/curves")).status, 422, "in words, and no internal error");
    assert.match(((await damaged.json()) as { error: string }).error, /run\.json/);
    const { runs } = (await (await app.ask("/api/runs", { as: "viewer" })).json()) as {
      runs: { message: string }[];
    };
    assert.match(runs[0]?.message ?? "", /run\.json/);
    assert.deepEqual(app.faults, []);
  });
});

test("a comparison of two to eight runs, as a page that may load nothing", async () => {
  await withRun(async ({ app, dir }) => {
    const ids = [dir, writeRun(app.root, "b")].map((one) => idOf(realpathSync(one)));
    const page = await app.ask(`/api/comparison?runs=${ids.join()}`, { as: "viewer" });
    assert.equal(page.status, 200);
    assert.match(page.headers.get("content-security-policy") ?? "", /^default-src 'none'.*sandbox$/);
    const text = await page.text();
    assert.ok(!text.includes(app.root) && !/<script|<img/.test(text));
    const parts = await app.ask(`/api/comparison/parts?runs=${ids.join()}`, { as: "viewer" });
    const { html, isOneUnit } = (await parts.json()) as { html: string; isOneUnit: boolean };
    assert.match(html, /Pair by pair.*What do the models answer.*What differs/s);
    assert.ok(!html.includes(app.root) && !/<script|<img|<b>/.test(html), html);
    // of one objective with the same settings
    assert.equal(isOneUnit, true);
    assert.equal((await app.ask(`/api/comparison/parts?runs=${ids[0]}`, { as: "viewer" })).status, 422);
    assert.equal((await app.ask(`/api/comparison?runs=${ids[0]},${ids[0]}`, { as: "viewer" })).status, 422);
    assert.equal((await app.ask(`/api/comparison?runs=${ids[0]},gone`, { as: "viewer" })).status, 404);
    assert.deepEqual(app.faults, []);
  });
});
