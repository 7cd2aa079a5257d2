/** What a request is told when the engine's process has ended before it could be handed over. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { generateRequest } from "../../test/support/generate-request.ts";
import { faults } from "../../test/support/scripted-engine.ts";
import { scriptedProcess } from "../../test/support/scripted-process.ts";
import type { SubmissionEvent } from "./engine-messages.ts";
import type { EngineNews, EngineProcess } from "./engine-process.ts";

/** An engine process of the tests, what happened to it, and what comes next. */
function started(policy: { firstDelayMs: number }) {
  const waiting: ((news: EngineNews) => void)[] = [];
  const engine = scriptedProcess({ policy, onNews: (news) => waiting.shift()?.(news) });
  const news = () => new Promise<EngineNews>((resolve) => void waiting.push(resolve));
  return { engine, news };
}

/** What a request meets with first. */
function asked(engine: EngineProcess): Promise<SubmissionEvent> {
  return new Promise((resolve) => void engine.submit(generateRequest(), resolve));
}

test("a request made ready while the engine's process ended, was waited for or started again is told how it ended", async () => {
  const { engine, news } = started({ firstDelayMs: 300 });
  assert.equal(engine.whyNot, "The engine is being started.");
  const ready = news();
  engine.start();
  const first = await ready;
  assert.ok(first.type === "ready");
  assert.equal(engine.whyNot, null);
  // the process is gone, and nobody has heard of it yet: the request is handed over and lost
  process.kill(first.pid, "SIGKILL");
  const under = asked(engine);
  const crashed = await news();
  const ended = { type: "lost", message: "The engine process ended by SIGKILL." };
  assert.ok(crashed.type === "crashed" && crashed.lostRequests === 1);
  assert.deepEqual(await under, ended);
  // between two processes
  assert.equal(engine.state, "waiting");
  assert.deepEqual(await asked(engine), ended);
  const again = news();
  while (engine.state === "waiting") await new Promise((resolve) => void setTimeout(resolve, 5));
  assert.equal(engine.state, "starting");
  assert.deepEqual(await asked(engine), ended);
  assert.equal((await again).type, "ready");
  assert.equal((await asked(engine)).type, "accepted");
  await engine.stop();
  assert.deepEqual(await asked(engine), { type: "lost", message: "The server stops." });
});

test("requests that come and go do not keep a silent engine alive", async () => {
  const crashes: Extract<EngineNews, { type: "crashed" }>[] = [];
  const ready = Promise.withResolvers<void>();
  const engine = scriptedProcess({
    stallMs: 1500,
    policy: { firstDelayMs: 60_000 },
    onNews: (news) => {
      if (news.type === "crashed") crashes.push(news);
      else ready.resolve();
    },
  });
  engine.start();
  await ready.promise;
  void engine.submit(generateRequest({ seed: faults.hangs }), () => {});
  const began = performance.now();
  while (crashes.length === 0 && performance.now() - began < 30_000) {
    await sleep(100);
    const drop = engine.submit(generateRequest(), () => {});
    await sleep(100);
    drop();
  }
  assert.match(crashes[0]?.reason ?? "still alive", /said nothing for 1.5 s/);
  await engine.stop();
});
