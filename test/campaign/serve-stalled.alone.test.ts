/** Clients that do not read, do not speak or leave: they hold no place in the engine, keep nobody out and slow nothing. */
import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { amount, figure, isNightly } from "../support/campaign.ts";
import { HealthProber, percentile } from "../support/health-prober.ts";
import { rawPost, type Served, served } from "../support/served.ts";
import { endOfTurn } from "../support/tiny-model.ts";

const plain = { model: "tiny", prompt: "hi", max_tokens: 4 };
const body = (changes: object = {}): string => JSON.stringify({ ...plain, ...changes });
/** Never ends by itself before its length. */
const endless = { logit_bias: { [endOfTurn]: -100 } };

let server: Served;
before(async () => {
  server = await served(["--max-queue", "600"], 8192);
});
after(() => server[Symbol.asyncDispose]());

function leave(sockets: readonly Socket[]): void {
  for (const socket of sockets) socket.destroy();
}

test("streams with log-probs that nobody reads give their places back when the engine has done with them", async () => {
  const heavy = { ...endless, n: 8, max_tokens: amount(300, 2000), stream: true, logprobs: 20 };
  const stalled = await Promise.all(
    Array.from({ length: 3 }, () => server.raw(rawPost("/v1/completions", body(heavy)))),
  );
  while (((await server.metrics()).get("preftune_answers_running") ?? 0) === 0) await sleep(5);
  const idle = await server.idle();
  const unread = idle.get("preftune_unread_reply_bytes") ?? Number.NaN;
  // how much the connections take by themselves is the system's business
  if (isNightly) assert.ok(unread > 0 && unread <= 64 * 2 ** 20, `${unread} bytes`);
  const statuses = await Promise.all(
    Array.from({ length: 10 }, async () => (await server.post("/v1/completions", body({ n: 8 }))).status),
  );
  const answered = statuses.filter((status) => status === 200).length;
  figure(
    23,
    "80 answers asked for beside 3 stalled streams (n 8, log-probs)",
    `${answered * 8} answered`,
    "80",
    answered === 10,
  );
  leave(stalled);
  while (((await server.metrics()).get("preftune_unread_reply_bytes") ?? 0) > 0) await sleep(5);
});

test("connections without the key do not keep out who has it", async () => {
  const count = amount(300, 1024);
  const halves: Socket[] = [];
  const begin = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nX-Slow: ";
  let answered = 0;
  for (let i = 0; i < count; i++) {
    halves.push(await server.raw(begin));
    if (i % 50 !== 49) continue;
    if ((await server.post("/v1/completions", body(), { keepalive: false })).status === 200) answered++;
  }
  const asked = Math.floor(count / 50);
  const what = `requests with the key while ${count} half-open connections without it are made`;
  figure(23, what, `${answered} of ${asked} answered`, "all", answered === asked);
  leave(halves);
});

test("slow-loris connections are closed, those with the key as well, and others are answered meanwhile", {
  skip: isNightly ? false : "takes as long as the time-outs; the short form is in test/serve/limits.test.ts",
}, async () => {
  const count = 500;
  const prober = new HealthProber(server.url);
  const head = rawPost("/v1/completions", body()).split("\r\n\r\n")[0] ?? "";
  const beginnings = ["GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", `${head}\r\nX-Slow: `];
  const sockets = await Promise.all(
    Array.from({ length: count }, (_, i) => server.raw(beginnings[i % 2] ?? "")),
  );
  const drip = setInterval(() => {
    for (const socket of sockets) if (socket.writable) socket.write(" ");
  }, 500);
  const began = performance.now();
  await Promise.all(
    sockets.map(
      (socket) => new Promise<void>((resolve) => void socket.resume().once("close", () => resolve())),
    ),
  );
  clearInterval(drip);
  const seconds = (performance.now() - began) / 1000;
  const p99 = percentile(await prober.stop(), 0.99);
  figure(23, `${count} slow-loris connections`, "all closed", "all closed", true);
  figure(23, "time until they are closed", `${seconds.toFixed(1)} s`, "< 30 s", seconds < 30);
  figure(23, "health p99 meanwhile", `${p99.toFixed(0)} ms`, "< 100 ms", p99 < 100);
});

test("idle streams do not slow the server while it generates", async () => {
  const count = amount(40, 500);
  // long answers, of which 16 are computed at once
  const asked = { ...endless, max_tokens: 8000, stream: true };
  const streams: Socket[] = [];
  for (let i = 0; i < count; i++) streams.push(await server.raw(rawPost("/v1/completions", body(asked))));
  const begun = async () => {
    const metrics = await server.metrics();
    return (metrics.get("preftune_answers_running") ?? 0) + (metrics.get("preftune_requests_waiting") ?? 0);
  };
  while ((await begun()) < count) await sleep(20);
  const prober = new HealthProber(server.url);
  await server.metrics();
  await sleep(amount(500, 20_000));
  const loop = 1000 * ((await server.metrics()).get("nodejs_eventloop_lag_p99_seconds") ?? Number.NaN);
  const times = await prober.stop();
  const p99 = percentile(times, 0.99);
  assert.ok(times.every(Number.isFinite), `${times.length} answers of /health`);
  leave(streams);
  const idle = await server.idle();
  assert.equal(idle.get("preftune_unread_reply_bytes"), 0);
  figure(23, `${count} open streams`, "all taken, all places free afterwards", "all", true);
  if (!isNightly) return;
  figure(23, "health p99 with them while 16 answers are made", `${p99.toFixed(0)} ms`, "< 100 ms", p99 < 100);
  figure(23, "event-loop delay p99 meanwhile", `${loop.toFixed(0)} ms`, "< 50 ms", loop < 50);
});

test("a stream that is aborted half-way frees its place", async () => {
  const rounds = amount(3, 100);
  let longest = 0;
  for (let round = 0; round < rounds; round++) {
    const stop = new AbortController();
    const asked = body({ ...endless, n: 8, max_tokens: 8000, stream: true });
    const reply = await server.post("/v1/completions", asked, { signal: stop.signal });
    await reply.body?.getReader().read();
    stop.abort();
    const left = performance.now();
    await server.idle();
    longest = Math.max(longest, performance.now() - left);
  }
  figure(23, `${rounds} streams of 8 answers aborted`, "each frees its places", "each", true);
  if (!isNightly) return;
  const reached = `${(longest / 1000).toFixed(2)} s at most`;
  figure(23, "time until they are free", reached, "<= 1 s", longest <= 1000);
});
