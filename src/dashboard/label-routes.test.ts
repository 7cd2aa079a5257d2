/** Labelling over HTTP: blind until the end, one vote a press, each person for themselves. */
import assert from "node:assert/strict";
import { realpathSync, renameSync, rmSync } from "node:fs";
import { test } from "node:test";
import { type DashboardApp, withDashboardApp, writeRun } from "../../test/support/dashboards.ts";
import type { Progress, ShownPair } from "../workbench/labelling.ts";
import { saveVersion } from "../workbench/versions.ts";
import { isWorkbench, makeWorkbench } from "../workbench/workbench-dir.ts";
import type { VersionRows } from "./clean-routes.ts";
import { idOf } from "./run-store.ts";
import type { Role } from "./sessions.ts";

const voices = ["voice-alpha", "voice-omega"] as const;

/** Pairs of two voices, as a file that is sent: who wrote what is known to the server. */
function pairsOf(count: number): string {
  const header = "prompt,answer_a,answer_b,model_a,model_b";
  const rows = Array.from(
    { length: count },
    (_, i) => `Question ${i}?,First ${i}.,Second ${i}.,${voices.join(",")}`,
  );
  return [header, ...rows].join("\n");
}

const exportRules = { rows: "pairs", ties: "drop", bad: "drop", conflicts: "drop" };

/** Rows of a version as they are sent. */
interface Rows {
  rows: { row: { chosen: string } }[];
}

interface Next {
  pair: ShownPair | null;
  progress: Progress;
  isNew?: boolean;
}

async function ask<T>(app: DashboardApp, path: string, as: Role, body?: unknown): Promise<T> {
  const answer = await app.ask(path, { as, ...(body === undefined ? {} : { method: "POST", body }) });
  const text = await answer.text();
  assert.equal(answer.status, 200, `${path}: ${text}`);
  return JSON.parse(text) as T;
}

test("before a vote nothing that is sent tells who wrote which side: every route, every byte", async () => {
  await withDashboardApp(async (app) => {
    const sent: string[] = [];
    const listen = async (path: string, as: Role, body?: unknown): Promise<string> => {
      const stop = new AbortController();
      const answer = await app.ask(path, {
        as,
        signal: stop.signal,
        ...(body === undefined ? {} : { method: "POST", body }),
      });
      const isStream = answer.headers.get("content-type")?.includes("event-stream") === true;
      // a stream sends what there is at once, then waits for news
      const reader = isStream ? answer.body?.getReader() : undefined;
      const text =
        reader === undefined ? await answer.text() : new TextDecoder().decode((await reader.read()).value);
      await reader?.cancel();
      stop.abort();
      if (isStream) assert.match(text, /^(event|id|retry|data|:)/m);
      // win rates name models, of pairs that were judged, and say nothing of a side
      const open = path === "/api/arena" ? text.replace(/"rates":\[[^\]]*\]/, "") : text;
      sent.push(JSON.stringify([...answer.headers]), open);
      return text;
    };
    const imported = await ask<{ items: number }>(app, "/api/import", "owner", {
      name: "pairs.csv",
      text: pairsOf(12),
    });
    assert.equal(imported.items, 12);
    await ask(app, "/api/import", "owner", {
      name: "p.jsonl",
      text: JSON.stringify({ prompt: "x", chosen: "y", rejected: "z", source: voices[0] }),
    });
    // a version of a file whose columns name models
    await saveVersion(
      app.context.bench.dir,
      [{ prompt: "p", chosen: "c", rejected: "r", chosen_model: voices[0] }],
      { by: "clean", sources: {}, rules: [], counts: {} },
      [{ filter: "f", origin: "x:1", row: { prompt: "q", chosen: "c", rejected: "r", by: voices[1] } }],
    );
    const { versions } = JSON.parse(await listen("/api/versions", "owner")) as {
      versions: { digest: string }[];
    };
    for (const group of ["kept", "f"])
      await listen(`/api/versions/${versions[0]?.digest}?group=${group}`, "viewer");
    const { digest } = await ask<{ digest: string }>(app, "/api/versions", "owner", {
      rows: "pairs",
      ties: "drop",
      bad: "drop",
      conflicts: "drop",
    });
    const { items } = JSON.parse(await listen("/api/items", "owner")) as { items: { item: string }[] };
    let { pair } = JSON.parse(await listen("/api/label/next", "labeller", {})) as Next;
    for (let i = 0; i < 3; i++) {
      const vote = { showing: pair?.showing, key: `k${i}`, verdict: "left" };
      await listen("/api/label/note", "labeller", { showing: pair?.showing, text: "a note" });
      ({ pair } = JSON.parse(await listen("/api/label/vote", "labeller", vote)) as Next);
    }
    const run = idOf(realpathSync(writeRun(app.root, "a")));
    for (const { method, path } of app.routes) {
      if (method !== "GET") continue;
      const asked = path
        .replace(":version", digest)
        .replace(":run", run)
        .replace(":item", items[0]?.item ?? "")
        .replace(/:\w+/g, "none")
        .replace(/stream$/, `stream?runs=${run}`);
      for (const as of ["owner", "viewer", "labeller"] as const) await listen(asked, as);
    }
    assert.ok(sent.join("\n").includes("First 3."), "the answers themselves were not sent");
    assert.deepEqual(
      voices.filter((voice) => sent.some((text) => text.includes(voice))),
      [],
    );
  });
});

test("numbers of tool calls are shown as the file writes them", async () => {
  await withDashboardApp(async (app) => {
    const given = '{"id":1234567890123456789,"price":1.0,"tiny":1e-7}';
    const call = `[{"role":"assistant","content":"","tool_calls":[{"type":"function","function":{"name":"order","arguments":${given}}}]}]`;
    const text = `{"prompt":"Order?","answer_a":${call},"answer_b":"No.","better":"a"}`;
    await ask(app, "/api/import", "owner", { name: "calls.jsonl", text });
    const { pair } = await ask<Next>(app, "/api/label/next", "labeller", { order: "random" });
    const shown = [pair?.prompt, ...[pair?.left, pair?.right].toSorted()];
    const asCall = `[{"type":"function","function":{"name":"order","arguments":${given}}}]`;
    assert.deepEqual(shown, ["Order?", "No.", asCall]);
    const { digest } = await ask<{ digest: string }>(app, "/api/versions", "owner", exportRules);
    const { rows } = await ask<Rows>(app, `/api/versions/${digest}`, "viewer");
    assert.equal(rows[0]?.row.chosen, asCall);
  });
});

test("a double click is one vote, undo brings the pair back, and progress counts", async () => {
  await withDashboardApp(async (app) => {
    await ask(app, "/api/import", "owner", { text: pairsOf(3) });
    const first = await ask<Next>(app, "/api/label/next", "labeller", {});
    const vote = { showing: first.pair?.showing, key: "k", verdict: "right", strength: 2, ms: 900 };
    const [one, two] = [
      await ask<Next>(app, "/api/label/vote", "labeller", vote),
      await ask<Next>(app, "/api/label/vote", "labeller", vote),
    ];
    assert.deepEqual([one.isNew, two.isNew], [true, false]);
    assert.equal(one.pair?.showing, two.pair?.showing);
    assert.deepEqual([two.progress.labelled, two.progress.items], [1, 3]);
    const undo = { vote: two.progress.last };
    const undone = await ask<Next>(app, "/api/label/undo", "labeller", undo);
    const twice = await ask<Next>(app, "/api/label/undo", "labeller", undo);
    assert.deepEqual([undone.isNew, twice.isNew], [true, false]);
    assert.deepEqual([undone.pair?.showing, undone.progress.labelled], [first.pair?.showing, 0]);
    // another person has pairs of their own, and cannot vote on this one
    const owner = await ask<Next>(app, "/api/label/next", "owner", {});
    assert.notEqual(owner.pair?.showing, first.pair?.showing);
    const foreign = await app.ask("/api/label/vote", { as: "owner", method: "POST", body: vote });
    assert.equal(foreign.status, 422);
    assert.match(await foreign.text(), /expected a pair that was shown to owner/);
    assert.deepEqual(app.faults, []);
  });
});

test("an edited answer, a decision and a version by HTTP; files of unknown kinds are refused without paths", async () => {
  await withDashboardApp(async (app) => {
    await ask(app, "/api/import", "owner", { text: pairsOf(2) });
    const { pair } = await ask<Next>(app, "/api/label/next", "owner", {});
    const edit = { side: "left", text: "Better." };
    await ask(app, "/api/label/vote", "owner", { showing: pair?.showing, key: "k", verdict: "left", edit });
    const { digest, counts } = await ask<{ digest: string; counts: { edited: number } }>(
      app,
      "/api/versions",
      "owner",
      exportRules,
    );
    assert.equal(counts.edited, 1);
    const { rows } = await ask<Rows>(app, `/api/versions/${digest}`, "viewer");
    assert.equal(rows[0]?.row.chosen, "Better.");
    const { items } = await ask<{ items: { item: string }[] }>(app, "/api/items?show=unjudged", "viewer");
    await ask(app, "/api/decisions", "owner", { item: items[0]?.item, choice: "a" });
    const again = await ask<{ rows: number }>(app, "/api/versions", "owner", exportRules);
    assert.equal(again.rows, 2);
    const wrong = await app.ask("/api/import", {
      as: "owner",
      method: "POST",
      body: { name: "x.csv", text: "prompt,a,b,better\n1,2,3,4\n" },
    });
    const said = await wrong.text();
    assert.equal(wrong.status, 422);
    assert.match(said, /x\.csv:2, \\"better\\": expected a, b, tie or both bad/);
    assert.ok(!said.includes(app.root), said);
    const text = JSON.stringify({ question_text: "Which?", chosen: "Blue.", rejected: "Green." });
    const mapped = await app.ask("/api/import", {
      as: "owner",
      method: "POST",
      body: { name: "q.jsonl", text },
    });
    assert.match(
      await mapped.text(),
      /q\.jsonl:1: .* set columns: \{prompt: question_text\}\. .*preftune labels import DIR FILE --columns/,
    );
    // only where a mapping would help, whatever a row says
    const sayings = [
      [JSON.stringify({ one: 1 }), true],
      [
        JSON.stringify({
          prompt: "p",
          answer_a: "a",
          answer_b: "b",
          better: 'columns: {a: b}, "columns" says',
        }),
        false,
      ],
    ] as const;
    for (const [row, isProposal] of sayings) {
      const body = { name: "r.jsonl", text: row };
      const said = await (await app.ask("/api/import", { as: "owner", method: "POST", body })).text();
      assert.equal(said.includes("said on the command line"), isProposal, said);
    }
    const kind = await app.ask("/api/import", {
      as: "owner",
      method: "POST",
      body: { name: "x.exe", text: "" },
    });
    assert.match(await kind.text(), /expected a file whose name ends in/);
  });
});

test("of many people those who judged most are sent, with the number of the others", async () => {
  await withDashboardApp(async (app) => {
    const rows = Array.from({ length: 230 }, (_, i) => `Question ${i}?,First.,Second.,a,person ${i % 220}`);
    const text = ["prompt,answer_a,answer_b,better,person", ...rows].join("\n");
    await ask(app, "/api/import", "owner", { name: "p.csv", text });
    const { people, unlisted } = await ask<{ people: { labelled: number }[]; unlisted: number }>(
      app,
      "/api/people",
      "owner",
    );
    assert.deepEqual([people.length, unlisted, people[9]?.labelled, people[10]?.labelled], [200, 20, 2, 1]);
  });
});

test("a workbench that is deleted, replaced or moved while it is open takes no more votes", async () => {
  await withDashboardApp(async (app) => {
    const { dir } = app.context.bench;
    const vote = async ({ pair }: Next, key: string) => {
      const body = { showing: pair?.showing, key, verdict: "left" };
      const answer = await app.ask("/api/label/vote", { as: "labeller", method: "POST", body });
      return { status: answer.status, text: await answer.text() };
    };
    const next = () => ask<Next & { workbench: string }>(app, "/api/label/next", "labeller", {});
    await ask(app, "/api/import", "owner", { text: pairsOf(2) });
    const old = await next();
    rmSync(dir, { recursive: true });
    const lost = await vote(old, "k1");
    assert.equal(lost.status, 409);
    assert.match(lost.text, /moved or deleted while the dashboard had it open/);
    // asking again makes no empty one, which would hide what happened
    assert.equal((await vote(old, "k2")).status, 409);
    assert.equal(isWorkbench(dir), false);

    const other = (question: string) => {
      using store = makeWorkbench(dir);
      store.add([{ prompt: question, answers: ["Yes.", "No."], models: [null, null], votes: [], extra: {} }]);
    };
    other("Another?");
    const refused = await vote(old, "k3");
    assert.equal(refused.status, 422);
    assert.match(refused.text, /expected a pair that was shown to/);
    const now = await next();
    assert.notEqual(now.workbench, old.workbench);
    assert.equal(now.progress.items, 1);
    assert.equal((await vote(now, "k4")).status, 200);

    // moved with another one in its place, between two requests: what was voted is with the one that was moved
    renameSync(dir, `${dir}-before`);
    other("A third?");
    assert.equal((await vote(now, "k5")).status, 422);
    using before = makeWorkbench(`${dir}-before`);
    assert.equal(before.state().votes.size, 1);
    assert.deepEqual(app.faults, []);
  });
});

test("a version of labelled answers is shown as it reads, with its tools, and nothing is said to be wrong with it", async () => {
  await withDashboardApp(async (app) => {
    const turn = (role: string, content: string) => [{ role, content }];
    const pair = { prompt: turn("user", "Which?"), chosen: turn("assistant", "Blue.") };
    const row = {
      ...pair,
      rejected: turn("assistant", "Green."),
      tools: [{ name: "look", description: "Looks." }],
    };
    await ask(app, "/api/import", "owner", { name: "p.jsonl", text: JSON.stringify(row) });
    const rules = { ...exportRules, rows: "kto" };
    const { digest } = await ask<{ digest: string }>(app, "/api/versions", "owner", rules);
    const shown = await ask<VersionRows>(app, `/api/versions/${digest}`, "viewer");
    const common = { "tools and settings": "look: Looks.", prompt: "Which?" };
    assert.deepEqual(
      shown.rows.map((one) => one.row),
      [
        { ...common, completion: "Blue.", label: "true" },
        { ...common, completion: "Green.", label: "false" },
      ],
    );
    assert.deepEqual(
      shown.findings.filter(({ rows }) => rows > 0),
      [],
    );
  });
});
