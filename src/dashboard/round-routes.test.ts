/** Rounds in the dashboard: the list, the graph with what each node opens, answers as text; started and continued by the queue. */
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type DashboardApp, withDashboardApp, writeRun } from "../../test/support/dashboards.ts";
import { writeRound } from "../../test/support/rounds.ts";
import { readRound, saveRound } from "../workbench/rounds/round-record.ts";
import type { Rounds, ShownRound } from "./round-routes.ts";
import { idOf } from "./run-store.ts";

async function shown<T>(app: DashboardApp, path: string): Promise<T> {
  const answer = await app.ask(path, { as: "viewer" });
  assert.equal(answer.status, 200, await answer.clone().text());
  return (await answer.json()) as T;
}

test("the list, and a round whose nodes open what they made; nothing of an answer is markup", async () => {
  await withDashboardApp(async (app) => {
    assert.equal((await shown<Rounds>(app, "/api/rounds")).html, "");
    const dir = writeRound(app.root, "round-1");
    writeRun(app.root, "round-1/run");
    const root = app.context.runs.roots[0] ?? "";
    const id = idOf(join(root, "round-1"));
    const list = (await shown<Rounds>(app, "/api/rounds")).html;
    assert.match(
      list,
      new RegExp(`#/rounds/${id}">round-1</a>.*stopped before comparison.*base.*people.*12`, "s"),
    );

    const { graph, html, state } = await shown<ShownRound>(app, `/api/rounds/${id}`);
    assert.equal(state, "stopped before comparison");
    assert.match(html, /not compared yet/);
    const links = [...graph.matchAll(/href="([^"]*)"/g)].map(([, href]) => href);
    const run = idOf(join(root, "round-1", "run"));
    const own = (show: string) => `#/rounds/${id}?show=${show}`;
    const expected = [own("answers"), own("answers"), "#/data?show=judged", `#/data/${"d".repeat(64)}`];
    assert.deepEqual(links, [...expected, own("check"), `#/runs/${run}`]);
    assert.match((await shown<ShownRound>(app, `/api/rounds/${id}?show=check`)).html, /class="warning">Long/);
    const answers = await shown<ShownRound>(app, `/api/rounds/${id}?show=answers`);
    assert.match(answers.html, /reward 7<\/p><pre class="answer">&#60;script&#62;/);
    assert.match(answers.html, /cut<\/p>/);
    assert.doesNotMatch(answers.html + graph, /<script|<img/);

    saveRound(dir, { ...readRound(dir), waiting: { node: "comparison", text: "judge <b>them</b>" } });
    const waiting = await shown<ShownRound>(app, `/api/rounds/${id}`);
    assert.deepEqual([waiting.state, waiting.waiting], ["waits for people: comparison", "judge <b>them</b>"]);
    assert.match(waiting.graph, /href="#\/label"/);
    assert.equal((await app.ask(`/api/rounds/${id}/report`, { as: "viewer" })).status, 404);
    assert.deepEqual(app.faults, []);
  });
});

test("a round is started and continued by the queue, in a folder that is shown and has none; the next begins with its model", async () => {
  await withDashboardApp(async (app) => {
    const post = async (path: string, body: unknown) => {
      const answer = await app.ask(path, { as: "owner", method: "POST", body });
      return { status: answer.status, text: await answer.text() };
    };
    const yamlOf = (out: string) =>
      `model: base\nprompts: p.jsonl\neval_prompts: e.jsonl\noutput_dir: ${out}\njudge: people\nvalues: {}\n`;
    const begun = await post("/api/rounds", { yaml: yamlOf(join(app.root, "round-2")) });
    assert.equal(begun.status, 200, begun.text);
    const [job] = app.context.jobs.list();
    assert.deepEqual([job?.argv[0], job?.name], ["round", "round-2"]);
    for (const [yaml, message] of [
      [yamlOf("/elsewhere/round"), /output_dir: expected a folder below/],
      ["judge: people\n", /round\.yaml: model is missing/],
    ] as const) {
      const refused = await post("/api/rounds", { yaml });
      assert.equal(refused.status, 422);
      assert.match(refused.text, message);
    }
    writeRound(app.root, "round-1");
    const id = idOf(join(app.context.runs.roots[0] ?? "", "round-1"));
    const again = await post("/api/rounds", { yaml: yamlOf(join(app.root, "round-1")) });
    assert.match(again.text, /round-1 holds a round already/);
    assert.equal((await post(`/api/rounds/${id}/continue`, {})).status, 200);
    assert.equal(app.context.jobs.list().length, 2);
    assert.match((await post(`/api/rounds/${id}/stop`, {})).text, /Nothing was stopped: nothing runs here/);
    const next = await app.ask(`/api/rounds/${id}/next`, { as: "owner" });
    const { yaml } = (await next.json()) as { yaml: string };
    assert.match(yaml, /^# kept\nmodel: \S*round-1\n[\s\S]*output_dir: \S*round-2\n/);
    rmSync(join(app.root, "round-1"), { recursive: true });
    assert.equal((await app.ask(`/api/rounds/${id}`, { as: "viewer" })).status, 404);
  });
});
