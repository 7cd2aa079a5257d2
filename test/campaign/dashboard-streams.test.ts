/**
 * The dashboard's streams: opened and closed again they leave nothing behind, a tick sends new lines and no others, and a page that
 * takes nothing is left. In full some thousands of streams with a run that is written meanwhile.
 */
import assert from "node:assert/strict";
import { appendFileSync, readdirSync, realpathSync } from "node:fs";
import { get, type IncomingMessage } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { createDashboardApp } from "../../src/dashboard/dashboard-app.ts";
import { idOf } from "../../src/dashboard/run-store.ts";
import type { MetricRow } from "../../src/runs/metrics.ts";
import { Callers } from "../../src/serve/callers.ts";
import { listen, REQUEST_TIMEOUTS } from "../../src/serve/server.ts";
import { amount } from "../support/campaign.ts";
import { fewRows, withDashboardApp, writeRun } from "../support/dashboards.ts";
import { residentMiB } from "../support/memory.ts";

const row = (step: number): string =>
  `${JSON.stringify({ global_step: step, epoch: step / 100, loss: 1 / step, grad_norm: 0.5, num_tokens: step })}\n`;

/** A dashboard that listens, with a run, and somebody who is logged in. */
async function withServer(
  rows: readonly MetricRow[],
  body: (server: {
    url: string;
    /** Of somebody who logs in. */
    login: () => Record<string, string>;
    headers: Record<string, string>;
    dir: string;
    id: string;
  }) => Promise<void>,
): Promise<void> {
  await withDashboardApp(async ({ root, context, faults }) => {
    const dir = writeRun(root, "a", rows);
    const callers = new Callers();
    const app = createDashboardApp({ context, allowedHosts: [], callers, onFault: context.onFault });
    const server = await listen((request, source) => app.fetch(request, source), {
      ...{ host: "127.0.0.1", port: 0, callers, timeouts: REQUEST_TIMEOUTS },
    });
    try {
      const login = () => {
        const secret = context.sessions.exchange(context.sessions.link({ role: "viewer", name: "v" }));
        return { cookie: `preftune-${new URL(server.url).port}=${secret}` };
      };
      await body({ url: server.url, login, headers: login(), dir, id: idOf(realpathSync(dir)) });
      assert.deepEqual(faults, []);
    } finally {
      await server.close(100);
    }
  });
}

/** Asks on a connection of its own. */
function ask(url: string, headers: Record<string, string>): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = get(url, { agent: false, headers }, resolve);
    request.once("error", reject);
  });
}

/** Reads of a stream until `wanted` is in its text, then leaves. */
async function readUntil(url: string, headers: Record<string, string>, wanted: string): Promise<string> {
  const answer = (await ask(url, headers)).setEncoding("utf8");
  assert.equal(answer.statusCode, 200);
  let text = "";
  for await (const chunk of answer) {
    text += chunk;
    if (text.includes(wanted)) break;
  }
  return text;
}

const handles = (): number => readdirSync("/proc/self/fd").length;
const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;

/** Waits until a count is down to what it was. */
async function untilDown(count: () => number, before: number, what: string): Promise<void> {
  for (let i = 0; i < 6000 && count() > before; i++) await new Promise((done) => setTimeout(done, 10));
  assert.ok(count() <= before, `${what}: ${before} before, ${count()} after`);
}

const skip = process.platform === "linux" ? false : "counts what Linux lists";

test("streams that were opened and closed leave no handle, no timer and no place taken", {
  skip,
}, async () => {
  await withServer(fewRows, async ({ url, login, headers, dir, id }) => {
    const stream = `${url}/api/stream?runs=${id}`;
    // a session has four streams at most
    const browsers = Array.from({ length: 16 }, login);
    const ofMany = (count: number) => Array.from({ length: count }, (_, i) => browsers[i % 16] ?? headers);
    await readUntil(stream, headers, "event: summary");
    const [fds, waits] = [handles(), timers()];
    const [total, atOnce] = [amount(200, 20_000), 40];
    let memory = 0;
    for (let opened = 0, step = 20; opened < total; opened += atOnce, step++) {
      appendFileSync(join(dir, "metrics.jsonl"), row(step));
      await Promise.all(ofMany(atOnce).map((own) => readUntil(stream, own, "event: summary")));
      await untilDown(handles, fds, "handles");
      // by then the heap has the size that it keeps, garbage aside
      if (opened === total / 4) memory = residentMiB();
    }
    await untilDown(timers, waits, "timers");
    const grown = residentMiB() - memory;
    if (memory > 0) assert.ok(grown < 32, `${grown.toFixed(1)} MiB more after three times as many streams`);
    // of 64 places none is taken any more
    const answers = await Promise.all(ofMany(64).map((own) => ask(stream, own)));
    const first = (answer: IncomingMessage): Promise<string> =>
      new Promise((resolve) => answer.setEncoding("utf8").once("data", resolve));
    const said = await Promise.all(answers.map(first));
    for (const text of said) assert.doesNotMatch(text, /event: problem/);
    assert.match(await readUntil(stream, headers, "problem"), /64 pages are open already/);
    for (const answer of answers) answer.destroy();
  });
});

test("a tick sends the new lines and no others, however long the run is", async () => {
  const rows = Array.from({ length: amount(5000, 100_000) }, (_, i) => JSON.parse(row(i + 1)) as MetricRow);
  await withServer(rows, async ({ url, headers, dir, id }) => {
    const metrics = join(dir, "metrics.jsonl");
    const opened = (await ask(`${url}/api/runs/${id}/curves`, headers)).setEncoding("utf8");
    let body = "";
    for await (const chunk of opened) body += chunk;
    const { place } = JSON.parse(body) as { place: string };
    const stream = `${url}/api/stream?runs=${id}@${place}`;
    const told = readUntil(stream, headers, '"step":200003,"epoch"');
    for (const step of [200_001, 200_002, 200_003]) {
      await new Promise((done) => setTimeout(done, 50));
      appendFileSync(metrics, row(step));
    }
    const text = await told;
    assert.equal(text.match(/"step":\d+,"epoch"/g)?.length, 3, "each new line once");
    assert.ok(text.length < 4500, `${text.length} bytes for three lines`);
    // and after a break from where it was
    const last = /^id: (.*)$/m.exec(text.slice(text.lastIndexOf("id: ")))?.[1] ?? "";
    appendFileSync(metrics, row(200_004));
    const again = await readUntil(stream, { ...headers, "last-event-id": last }, '"step":200004,"epoch"');
    assert.equal(again.match(/"step":\d+,"epoch"/g)?.length, 1);
  });
});

test("a page that takes nothing, or vanished in the middle of its question, holds nobody up", async () => {
  await withServer(fewRows, async ({ url, headers, id }) => {
    const { hostname, port, host } = new URL(url);
    const sockets = Array.from({ length: amount(4, 40) }, () => connect(Number(port), hostname));
    sockets.forEach((socket, i) => {
      socket.on("error", () => {});
      socket.pause();
      const question = `GET /api/stream?runs=${id} HTTP/1.1\r\nHost: ${host}\r\nCookie: ${headers["cookie"]}\r\n`;
      // every second one never ends its question
      socket.write(i % 2 === 0 ? `${question}\r\n` : question);
    });
    const text = await readUntil(`${url}/api/stream?runs=${id}`, headers, "event: summary");
    assert.match(text, /event: summary/);
    for (const socket of sockets) socket.destroy();
  });
});
