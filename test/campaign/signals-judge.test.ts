/** Row 17, SIGTERM while a judge answers: what is under way is waited for and kept, and the resumed run is that of one left alone, bit for bit. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { amount, figure } from "../support/campaign.ts";
import { start } from "../support/command.ts";
import { type ChatCall, startJudge } from "../support/judge-server.ts";
import { onlineFixture } from "../support/online-run.ts";
import { assertSameRun, runTraining, type Values } from "../support/runs.ts";

const lastStep = 3;

/** Requests of a run to its judge under way together. */
const atOnce = 8;

const markOf = ({ text }: ChatCall): string => `Rating: [[${1 + (text.length % 10)}]]`;

function keptIn(dir: string): number {
  const database = new DatabaseSync(join(dir, "judgments.sqlite"));
  try {
    return Number(database.prepare("SELECT count(*) AS n FROM judgments").get()?.["n"]);
  } finally {
    database.close();
  }
}

test("a run that is asked to stop while its judge answers pays for no judgment twice", async () => {
  using fixture = onlineFixture();
  let held = Promise.withResolvers<void>();
  let released = Promise.withResolvers<void>();
  let holdsFrom = Number.POSITIVE_INFINITY;
  await using server = await startJudge(async (call, before) => {
    if (before >= holdsFrom) {
      held.resolve();
      await released.promise;
    }
    return markOf(call);
  });
  const { reward_workers: _, ...online } = fixture.online;
  const judged = { reward_funcs: null, judge: `${server.baseUrl}#m`, max_steps: lastStep };
  const values: Values = { ...online, ...judged, learning_rate: 5e-3 };
  const whole = fixture.path("whole");
  await runTraining({ ...values, output_dir: whole });
  const questions = server.calls.length;
  const points = amount(1, 20);
  for (let point = 0; point < points; point++) {
    const dir = fixture.path(`stopped-${point}`);
    const file = fixture.path(`stopped-${point}.yaml`);
    writeFileSync(file, JSON.stringify({ ...values, output_dir: dir }));
    const before = server.calls.length;
    // in the second rollout, or anywhere
    const first = points === 1 ? Math.ceil(questions / 2) : Math.floor((point * questions) / points);
    holdsFrom = before + first;
    [held, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const running = start(["train", file]);
    await Promise.race([held.promise, running.ended]);
    running.child.kill("SIGTERM");
    await Promise.race([running.said("stopping"), running.ended]);
    released.resolve();
    const { status, stdout, stderr } = await running.ended;
    assert.equal(status, 0, stderr);
    // the last answers may come before the signal is heard: then their step is made, and behind the last one the run ends
    const isLast = first > questions - questions / lastStep;
    assert.match(stdout, isLast ? /"reason":"(stopped|done)"/ : /"reason":"stopped"/);
    const latest = Number(/stopping, after step (\d+) at the latest/.exec(stderr)?.[1]);
    const stopped = Number(/stopped after step (\d+)/.exec(stderr)?.[1] ?? 0);
    assert.ok(latest - stopped === 0 || latest - stopped === 1 || isLast, stderr);
    // what was under way is there, and no request was begun after the signal: those that were held are at most as many as run at once
    const asked = server.calls.length - before;
    assert.ok(
      asked > 0 && asked <= Math.min(questions, first + atOnce),
      `${asked} of ${questions}, held from ${first}`,
    );
    assert.equal(keptIn(dir), asked);
    holdsFrom = Number.POSITIVE_INFINITY;
    await runTraining({ ...values, output_dir: dir, resume_from_checkpoint: "latest" });
    assert.equal(server.calls.length - before, questions);
    assertSameRun(dir, whole, lastStep);
  }
  figure(
    17,
    "SIGTERM to an on-policy run while its judge answers",
    `${points} of ${points} stopped with what was under way kept, asked for nothing twice, and ended with the bytes of the one left alone`,
    "nothing paid twice, the same bytes",
    points > 0,
  );
});
