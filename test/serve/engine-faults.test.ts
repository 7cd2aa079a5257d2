/** What becomes of requests and server when the engine process dies, hangs, throws or cannot be started, and when clients leave. */
import assert from "node:assert/strict";
import { cpSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { APIError, InternalServerError } from "openai";
import { ChildFailure } from "../../src/process/failure.ts";
import type { EngineNews } from "../../src/serve/engine-process.ts";
import { serve } from "../../src/serve/serve.ts";
import type { ServeEvent } from "../../src/serve/serve-options.ts";
import { failingStarts, faults } from "../support/scripted-engine.ts";
import { scriptedEngine, startServer, type TestServer } from "../support/servers.ts";
import { endOfTurn, makeTinyModel } from "../support/tiny-model.ts";
import { temporaryDirectory } from "../support/tiny-models.ts";

const plain = { model: "tiny", prompt: "hi", max_tokens: 5 };
/** At least 48 s of answer: 100 ms a token. */
const endless = { ...plain, max_tokens: 480, seed: faults.slow };

function newsOf(server: TestServer): EngineNews[] {
  return server.events.flatMap((event) => (event.type === "engine" ? [event.news] : []));
}

/** Resolves when the engine has become ready `times` times. */
async function readyAgain(server: TestServer, times: number): Promise<void> {
  while (newsOf(server).filter(({ type }) => type === "ready").length < times) await sleep(5);
}

async function jsonOf(reply: Response): Promise<Record<string, unknown>> {
  return (await reply.json()) as Record<string, unknown>;
}

async function errorCode(reply: Response): Promise<unknown> {
  return ((await jsonOf(reply))["error"] as { code?: unknown } | undefined)?.code;
}

async function metric(server: TestServer, name: string): Promise<number> {
  const text = await (await server.fetch("/metrics")).text();
  const line = text.split("\n").find((each) => each.startsWith(`${name} `));
  return Number(line?.split(" ")[1]);
}

function readyPid(server: TestServer): number {
  const ready = newsOf(server).findLast((news) => news.type === "ready");
  return ready?.type === "ready" ? ready.pid : assert.fail("not ready");
}

test("kill -9 in the middle of a stream: the stream tells it, another engine answers, health, metrics and log report it", async () => {
  await using server = await startServer({ engine: scriptedEngine });
  const client = server.client();
  const stream = await client.completions.create({ ...endless, stream: true });
  const whole = client.completions.create(endless);
  const wholeFails = assert.rejects(whole, (error: unknown) => {
    assert.ok(error instanceof InternalServerError);
    assert.equal(error.code, "engine_crashed");
    assert.match(error.message, /ended by SIGKILL/);
    return true;
  });
  while ((await metric(server, "preftune_answers_running")) < 2) await sleep(5);
  let text = "";
  await assert.rejects(
    (async () => {
      for await (const chunk of stream) {
        if (text === "") process.kill(readyPid(server), "SIGKILL");
        text += chunk.choices[0]?.text ?? "";
      }
    })(),
    (error: unknown) => {
      assert.ok(error instanceof APIError);
      assert.match(error.message, /The engine process ended by SIGKILL/);
      return true;
    },
  );
  await wholeFails;
  assert.ok(text.length > 0);
  await readyAgain(server, 2);
  assert.equal((await client.completions.create(plain)).choices[0]?.text.length, 5);
  const { last_engine_failure: failedAt, ...health } = await jsonOf(await fetch(`${server.url}/health`));
  assert.deepEqual(health, { status: "ok", engine_restarts: 1 });
  assert.ok(Math.abs(Date.parse(String(failedAt)) - Date.now()) < 60_000);
  assert.equal(await metric(server, "preftune_engine_restarts_total"), 1);
  const crashed = newsOf(server).find((news) => news.type === "crashed");
  assert.ok(crashed?.type === "crashed" && crashed.lostRequests === 2);
  const record = await server.logged(({ stream: isStream }) => isStream);
  assert.equal(record.error, "engine_crashed");
});

test("while the engine is started again requests are 503 with Retry-After, which the client waits for by itself", async () => {
  await using server = await startServer({
    engine: { ...scriptedEngine, policy: { firstDelayMs: 5000 } },
  });
  await assert.rejects(
    server.client().completions.create({ ...plain, seed: faults.dies }),
    InternalServerError,
  );
  const health = await fetch(`${server.url}/health`);
  assert.equal(health.status, 503);
  assert.equal((await jsonOf(health))["status"], "restarting");
  const refused = await server.fetch("/v1/completions", { method: "POST", body: JSON.stringify(plain) });
  assert.equal(refused.status, 503);
  assert.equal(refused.headers.get("retry-after"), "2");
  const { error } = (await jsonOf(refused)) as { error: { code: string; message: string } };
  assert.equal(error.code, "engine_unavailable");
  assert.equal(error.message, "The engine process ended by SIGKILL. Ask again in a moment.");
  const patient = await server.client({ maxRetries: 60 }).completions.create(plain);
  assert.equal(patient.choices.length, 1);
});

test("an exception inside a step ends the engine, with its words as the reason; an error of one request does not", async () => {
  await using server = await startServer({ engine: scriptedEngine });
  const client = server.client();
  await assert.rejects(client.completions.create({ ...plain, seed: faults.errs }), (error: unknown) => {
    assert.ok(error instanceof InternalServerError && error.code === "engine_failed");
    return true;
  });
  assert.equal((await client.completions.create(plain)).choices.length, 1);
  assert.equal(newsOf(server).length, 1);
  await assert.rejects(
    client.completions.create({ ...plain, seed: faults.throws }),
    /status 1.*a step went wrong/,
  );
  await readyAgain(server, 2);
  assert.equal((await client.completions.create(plain)).choices.length, 1);
});

test("an engine that falls silent with requests under way is ended and started again", async () => {
  await using server = await startServer({
    engine: { ...scriptedEngine, policy: { firstDelayMs: 10 } },
    stallMs: 5000,
  });
  await assert.rejects(
    server.client().completions.create({ ...plain, seed: faults.hangs }),
    /said nothing for 5 s.*with a larger --stall-timeout/,
  );
  await readyAgain(server, 2);
  // silence without requests is no fault
  await sleep(5500);
  assert.equal((await server.client().completions.create(plain)).choices.length, 1);
  assert.equal(newsOf(server).filter(({ type }) => type === "crashed").length, 1);
});

test("a storm of crashes: each is answered by a longer wait up to the longest, and the server outlives it", async () => {
  await using server = await startServer({
    engine: { ...scriptedEngine, policy: { firstDelayMs: 10, maxDelayMs: 60 } },
  });
  for (let i = 1; i <= 6; i++) {
    await assert.rejects(
      server.client().completions.create({ ...plain, seed: faults.dies }),
      InternalServerError,
    );
    await readyAgain(server, i + 1);
  }
  const waits = newsOf(server).flatMap((news) => (news.type === "crashed" ? [news.restartInMs] : []));
  assert.deepEqual(waits, [10, 20, 40, 60, 60, 60]);
  assert.equal((await server.client().completions.create(plain)).choices.length, 1);
});

test("an engine that stayed up for long enough is started again without the longer wait", async () => {
  const policy = { firstDelayMs: 10, maxDelayMs: 80, stableMs: 0 };
  await using server = await startServer({ engine: { ...scriptedEngine, policy } });
  for (let i = 1; i <= 3; i++) {
    await assert.rejects(
      server.client().completions.create({ ...plain, seed: faults.dies }),
      InternalServerError,
    );
    await readyAgain(server, i + 1);
  }
  const waits = newsOf(server).flatMap((news) => (news.type === "crashed" ? [news.restartInMs] : []));
  assert.deepEqual(waits, [10, 10, 10]);
});

/** Runs `body` with a file that says how many of the engine's starts fail; its path goes to the engine by the environment. */
async function withFailingStarts(body: (fail: (count: number) => void) => Promise<void>): Promise<void> {
  using dir = temporaryDirectory();
  const path = join(dir.path, "starts");
  process.env[failingStarts] = path;
  try {
    await body((count) => writeFileSync(path, String(count)));
  } finally {
    delete process.env[failingStarts];
  }
}

test("an engine that cannot be started: three times in a row end the server with the reason, fewer do not", async () => {
  await withFailingStarts(async (fail) => {
    fail(3);
    const broken = startServer({ engine: scriptedEngine });
    await assert.rejects(broken, (error: unknown) => {
      assert.ok(error instanceof ChildFailure);
      assert.match(error.message, /failed 3 times in a row: .*status 1.* the scripted engine cannot start/);
      assert.equal(error.exitCode, 7);
      return true;
    });
    fail(2);
    await using server = await startServer({ engine: scriptedEngine });
    assert.equal((await server.client().completions.create(plain)).choices.length, 1);
    fail(2);
    await assert.rejects(
      server.client().completions.create({ ...plain, seed: faults.dies }),
      InternalServerError,
    );
    await readyAgain(server, 2);
    fail(100);
    await assert.rejects(
      server.client().completions.create({ ...plain, seed: faults.dies }),
      InternalServerError,
    );
    await assert.rejects(server.ended, /failed 3 times in a row/);
    await assert.rejects(fetch(`${server.url}/health`));
  });
});

test("a model that cannot be read ends the server at once, with the engine's own words and exit status, and is not announced", async () => {
  using dir = temporaryDirectory();
  const model = makeTinyModel(join(dir.path, "tiny"));
  const cut = join(dir.path, "cut");
  cpSync(model, cut, { recursive: true });
  truncateSync(join(cut, "model.safetensors"), 5000);
  const events: ServeEvent[] = [];
  await assert.rejects(
    serve({ model: cut, port: 0, device: "cpu", onEvent: (event) => events.push(event) }),
    (error: unknown) => {
      assert.ok(error instanceof ChildFailure);
      assert.match(error.message, /model\.safetensors/);
      assert.equal(error.exitCode, 3);
      return true;
    },
  );
  assert.deepEqual(
    events.map(({ type }) => type),
    ["stopped"],
  );
});

/** Leaves a request of many seconds more than 20 while it is under way; the engine has to drop it. */
async function leaveAndSee(
  server: TestServer,
  begin: (signal: AbortSignal) => Promise<unknown>,
): Promise<void> {
  const leave = new AbortController();
  let isOver = false;
  const under = begin(leave.signal)
    .catch(() => null)
    .finally(() => {
      isOver = true;
    });
  while ((await metric(server, "preftune_answers_running")) < 2) {
    assert.ok(!isOver, "the answer ended before the client could leave");
    await sleep(5);
  }
  leave.abort();
  const left = performance.now();
  while ((await metric(server, "preftune_answers_running")) > 0) await sleep(5);
  assert.ok(performance.now() - left < 20_000, "it continued to its end");
  await under;
}

test("a client that leaves frees its places, streaming or waiting for the whole", async () => {
  await using server = await startServer({ engine: scriptedEngine });
  const two = { ...endless, n: 2 };
  await leaveAndSee(server, (signal) => server.client().completions.create(two, { signal }));
  await leaveAndSee(server, async (signal) => {
    for await (const _ of await server.client().completions.create({ ...two, stream: true }, { signal }));
  });
  // a body of unannounced length is read, and so the request made, in another way
  const body = () => new Blob([JSON.stringify(two)]).stream();
  await leaveAndSee(server, (signal) =>
    server.fetch("/v1/completions", { method: "POST", body: body(), duplex: "half", signal }),
  );
  const records = server.events.flatMap((event) =>
    event.type === "request" && event.record.model !== null ? [event.record] : [],
  );
  assert.deepEqual(
    records.map(({ error }) => error),
    ["client_left", "client_left", "client_left"],
  );
});

test("the real engine: a client that leaves frees its places, kill -9 is outlived, and a seed means the same before and after", async () => {
  using dir = temporaryDirectory();
  const model = makeTinyModel(join(dir.path, "tiny"), { config: { max_position_embeddings: 8192 } });
  await using server = await startServer({ model, maxAnswers: 8 });
  const client = server.client();
  const long = { ...plain, max_tokens: 8000, n: 8, seed: 3, logit_bias: { [endOfTurn]: -100 } };
  const short = { ...plain, seed: 11, max_tokens: 20 };
  const before = await client.completions.create(short);
  await leaveAndSee(server, (signal) => client.completions.create(long, { signal }));
  const stream = await client.completions.create({ ...long, stream: true });
  let isKilled = false;
  await assert.rejects(
    (async () => {
      for await (const _ of stream) {
        if (!isKilled) process.kill(readyPid(server), "SIGKILL");
        isKilled = true;
      }
    })(),
    /ended by SIGKILL/,
  );
  await readyAgain(server, 2);
  const after = await client.completions.create(short);
  assert.equal(after.choices[0]?.text, before.choices[0]?.text);
});

const isStopping = (event: ServeEvent): event is Extract<ServeEvent, { type: "stopping" }> =>
  event.type === "stopping";

test("stopping: what is under way is finished, what comes is 503, and then the server is gone", async () => {
  await using server = await startServer({ engine: scriptedEngine, drainMs: 60_000 });
  const stream = await server
    .client()
    .completions.create({ ...plain, max_tokens: 20, seed: faults.slow, stream: true });
  const stopped = server.stop();
  assert.equal((await server.saw(isStopping)).open, 1);
  const late = await server.fetch("/v1/completions", { method: "POST", body: JSON.stringify(plain) });
  assert.equal(late.status, 503);
  assert.equal(await errorCode(late), "server_stopping");
  assert.equal((await fetch(`${server.url}/health`)).status, 503);
  let text = "";
  for await (const chunk of stream) text += chunk.choices[0]?.text ?? "";
  assert.equal(text.length, 20);
  await stopped;
  assert.deepEqual(server.events.at(-1), { type: "stopped", cut: 0 });
  await assert.rejects(fetch(`${server.url}/health`));
});

test("stopping does not wait for ever: what is left after the time for it gets an error", async () => {
  await using server = await startServer({ engine: scriptedEngine, drainMs: 100 });
  const stream = await server.client().completions.create({ ...endless, stream: true });
  const stopped = server.stop();
  await assert.rejects(
    (async () => {
      for await (const _ of stream);
    })(),
    /The server stops/,
  );
  await stopped;
  assert.deepEqual(server.events.at(-1), { type: "stopped", cut: 1 });
});
