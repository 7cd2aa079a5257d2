/** A run that a judge scores: marks are kept, paid for once over a resume, and a spent budget stops the run with a checkpoint. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, test } from "node:test";
import { isEvalRow, readMetrics } from "../../src/runs/metrics.ts";
import { startJudge } from "../support/judge-server.ts";
import { onlineFixture } from "../support/online-run.ts";
import { assertSameRun, cutBack, notesOf, runTraining } from "../support/runs.ts";

const fixture = onlineFixture();
after(() => fixture[Symbol.dispose]());

/** Marks by the length of what it is asked; every third request fails at first with 429, every fifth with 500. */
let requests = 0;
const failed = new Set<string>();
const server = createServer((request, response) => {
  let body = "";
  request.on("data", (part) => (body += part));
  request.on("end", () => {
    requests += 1;
    const status = requests % 3 === 0 ? 429 : requests % 5 === 0 ? 500 : 200;
    if (status !== 200 && !failed.has(body)) {
      failed.add(body);
      response.writeHead(status, { "retry-after": "0" }).end("{}");
      return;
    }
    const content = `Rating: [[${1 + (body.length % 10)}]]`;
    const usage = { prompt_tokens: 10, completion_tokens: 5 };
    response.writeHead(200, { "content-type": "application/json" }).end(
      JSON.stringify({
        choices: [{ message: { role: "assistant", content }, finish_reason: "stop" }],
        usage,
      }),
    );
  });
});
server.listen(0, "127.0.0.1");
await once(server, "listening");
after(() => server.close());
const { port } = server.address() as AddressInfo;
const { reward_workers: _, ...online } = fixture.online;

/** Requests that were sent again: of training, over the run; of each evaluation, added up. */
function retriesIn(dir: string): { training: number; evaluation: number } {
  const rows = readMetrics(join(dir, "metrics.jsonl"));
  const last = rows.filter((row) => !isEvalRow(row)).at(-1);
  const evaluation = rows
    .filter(isEvalRow)
    .reduce((sum, row) => sum + Number(row["eval_rewards/judge/retries"]), 0);
  return { training: Number(last?.["rewards/judge/retries"]), evaluation };
}

const recipe = { ...online, reward_funcs: null, judge: `http://127.0.0.1:${port}/v1#marker`, max_steps: 3 };

test("marks make rewards; failed requests are counted; a resumed run asks for none that it has", async () => {
  const dir = fixture.path("judged");
  await runTraining({ ...recipe, output_dir: dir });
  const paid = requests;
  assert.ok(failed.size > 0);
  assert.equal(retriesIn(dir).training, failed.size);
  const cut = cutBack(dir, fixture.path("cut"), 1);
  await runTraining({ ...recipe, output_dir: cut, resume_from_checkpoint: "latest" });
  assertSameRun(cut, dir, 3);
  assert.equal(requests, paid, "nothing is paid twice");
});

test("requests of evaluations that failed are counted in their rows", async () => {
  const before = failed.size;
  const dir = fixture.path("evaluated");
  const evaluated = { eval_fraction: 0.34, eval_steps: 1, max_completion_length: 7 };
  await runTraining({ ...recipe, ...evaluated, output_dir: dir });
  const { training, evaluation } = retriesIn(dir);
  assert.ok(evaluation > 0, `${evaluation}`);
  assert.equal(training + evaluation, failed.size - before);
});

test("a judge that refuses usual fields: the message names the key, and with it the run is judged", async () => {
  const body = JSON.stringify({ error: { message: "Unsupported parameter: 'max_tokens'" } });
  await using strict = await startJudge((call) =>
    "max_tokens" in call.body ? { status: 400, body } : "[[5]]",
  );
  const judged = { ...recipe, judge: `${strict.baseUrl}#o`, max_steps: 1 };
  await assert.rejects(
    runTraining({ ...judged, output_dir: fixture.path("refused") }),
    /'max_tokens'\. Check .* Take out or replace the field that it names by judge_extra; reasoning models may want/,
  );
  const judgeExtra = { max_tokens: null, max_completion_tokens: 64, temperature: null };
  const { summary } = await runTraining({
    ...judged,
    judge_extra: judgeExtra,
    output_dir: fixture.path("taken"),
  });
  assert.equal(summary.step, 1);
  const { messages: _, ...fields } = strict.calls.at(-1)?.body ?? {};
  assert.deepEqual(fields, { model: "o", stream: false, max_completion_tokens: 64 });
});

test("a budget that does not suffice stops the run with a checkpoint and says so", async () => {
  const dir = fixture.path("spent");
  const record = await runTraining({
    ...recipe,
    output_dir: dir,
    judge_budget: { requests: 10 },
  });
  assert.equal(record.summary.reason, "stopped");
  assert.equal(record.summary.step, 1);
  const notes = notesOf(record);
  assert.ok(
    notes.some((text) => /^stopped: .*budget/.test(text)),
    notes.join("\n"),
  );
});
