/** The programs of examples/ that the manual names, run as a user runs them. The others have their tests beside what they are about. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { DatabaseSync } from "node:sqlite";
import { text } from "node:stream/consumers";
import { after, test } from "node:test";
import { readMetrics } from "../../src/runs/metrics.ts";
import { startProgram } from "../support/command.ts";
import { golden } from "../support/goldens.ts";
import { startJudge } from "../support/judge-server.ts";
import { ruleAnswer } from "../support/rule-judge.ts";
import { runFixture } from "../support/runs.ts";
import { pairRows, writeRows } from "../support/tiny-model.ts";
import { withToyTokenizer } from "../support/toy-tokenizer.ts";

const fixture = runFixture({ rows: 20, held: 0 });
after(() => fixture[Symbol.dispose]());
const model = String(fixture.values["model_name_or_path"]);
const data = String(fixture.values["train_data"]);

async function ran(name: string, ...args: string[]): Promise<string> {
  const { status, stdout, stderr } = await startProgram([`examples/${name}`, ...args]).ended;
  assert.equal(status, 0, stderr);
  return stdout;
}

test("custom-data-source.ts trains on the pairs of a data base of which one answer has more votes", async () => {
  const database = fixture.path("votes.db");
  {
    using votes = new DatabaseSync(database);
    votes.exec(
      "CREATE TABLE votes (prompt TEXT, first TEXT, second TEXT, first_votes INT, second_votes INT)",
    );
    const insert = votes.prepare("INSERT INTO votes VALUES (?, ?, ?, ?, ?)");
    for (const [i, { prompt, chosen, rejected }] of pairRows(9).entries())
      insert.run(prompt, chosen, rejected, 3 - i, 2);
  }
  const said = await ran("custom-data-source.ts", database, model, fixture.path("votes"));
  assert.match(said, /^8 pairs in .*votes\.jsonl\n/);
  assert.match(said, /done after 1 steps/);
  const rows = readFileSync(fixture.path("votes", "votes.jsonl"), "utf8").trim().split("\n");
  const { prompt, chosen, rejected } = pairRows(1)[0] ?? assert.fail();
  assert.deepEqual(JSON.parse(rows[0] ?? ""), { prompt, chosen, rejected, margin: 1 });
  assert.deepEqual(JSON.parse(rows[1] ?? "").chosen, pairRows(3)[2]?.rejected);
});

test("tracked-loop.ts sends every row of the run's metrics, in order", async () => {
  const sent: unknown[] = [];
  await using server = createServer((request, response) => {
    void text(request).then((body) => {
      sent.push(JSON.parse(body));
      response.end();
    });
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  const run = fixture.path("tracked");
  const said = await ran("tracked-loop.ts", `http://127.0.0.1:${port}/rows`, model, data, run);
  assert.match(said, /^done; .*report\.html/);
  const rows = readMetrics(fixture.path("tracked", "metrics.jsonl"));
  assert.ok(rows.length >= 3);
  assert.deepEqual(sent, JSON.parse(JSON.stringify(rows)));
});

test("judge.ts lists the pairs of which the judge is of another opinion, and asks nothing twice", async () => {
  await using judge = await startJudge(ruleAnswer);
  const rows = writeRows(fixture.path("judged.jsonl"), [
    { prompt: "a", chosen: "a long answer, in many words", rejected: "short" },
    { prompt: "b", chosen: "short", rejected: "a long answer, in many words" },
  ]);
  const args = [`${judge.baseUrl}#rule`, rows, fixture.path("judgments")];
  const first = await ran("judge.ts", ...args);
  assert.equal(first.includes("judged.jsonl:2: the judge prefers the rejected answer"), true, first);
  assert.match(first, /^1 of 2 pairs/m);
  assert.equal(judge.calls.length, 4);
  assert.equal(await ran("judge.ts", ...args), first);
  assert.equal(judge.calls.length, 4);
});

test("tools.ts shows what transformers makes of its row, and what of it is learned", async () => {
  const { tools_example: want } = golden<{
    tools_example: { row: unknown; template: string; prompt: string; chosen: string };
  }>("chat");
  await withToyTokenizer({ chatTemplate: want.template }, async (directory) => {
    const rows = fixture.path("tools.jsonl");
    writeFileSync(rows, "");
    const shown = JSON.parse(await ran("tools.ts", directory, rows)) as Record<string, string>;
    assert.deepEqual(JSON.parse(readFileSync(rows, "utf8")), want.row);
    assert.equal(shown["prompt"], want.prompt);
    assert.equal(`${shown["prompt"]}${shown["chosen"]}\n`, want.chosen);
    assert.equal(
      shown["learned"],
      '<tool_call>{"name": "weather", "arguments": {"city": "Oslo"}}</tool_call><|im_end|>It is 4 degrees.<|im_end|>',
    );
  });
});
