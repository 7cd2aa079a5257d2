/** What a page is told: the lines that it lacks and no others, and when it has to read all again. */
import assert from "node:assert/strict";
import { appendFileSync, mkdirSync, realpathSync, rmSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type DashboardApp, fewRows, withDashboardApp, writeRun } from "../../test/support/dashboards.ts";
import { stringifyNumbers } from "../base/json-numbers.ts";
import { idOf } from "./run-store.ts";
import type { WireCurve, WireRow } from "./wire.ts";

interface Message {
  event: string;
  id: string;
  data: {
    rows?: WireRow[];
    count?: number;
    summary?: { step: number; state: string };
    changed?: { name: string; isArchived: boolean }[];
    isWhole?: boolean;
    message?: string;
  };
}

/** The messages of a stream until one is of the wanted kind. */
async function messagesUntil(
  app: DashboardApp,
  path: string,
  wanted: string,
  { lastId, onBegun = () => {} }: { lastId?: string | undefined; onBegun?: () => void } = {},
): Promise<Message[]> {
  const stop = new AbortController();
  const headers = lastId === undefined ? {} : { "last-event-id": lastId };
  const answer = await app.ask(path, { as: "viewer", headers, signal: stop.signal });
  assert.equal(answer.status, 200);
  const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
  const messages: Message[] = [];
  for (let text = ""; ; ) {
    const { value, done } = (await reader?.read()) ?? { done: true };
    if (done || value === undefined) break;
    text += value;
    const parts = text.split("\n\n");
    text = parts.pop() ?? "";
    // what the run is at is said at the beginning of each stream
    if (parts.some((part) => messageOf(part).event === "summary")) onBegun();
    messages.push(
      ...parts.map(messageOf).filter(({ event }, i) => event !== "summary" || messages.length + i > 0),
    );
    if (messages.some(({ event }) => event === wanted)) break;
  }
  await reader?.cancel();
  stop.abort();
  return messages;
}

function messageOf(text: string): Message {
  const field = (name: string): string => new RegExp(`^${name}: (.*)$`, "m").exec(text)?.[1] ?? "";
  return { event: field("event"), id: field("id"), data: JSON.parse(field("data")) as Message["data"] };
}

const row = (step: number): string =>
  `${stringifyNumbers({ global_step: step, epoch: step / 10, loss: 1 })}\n`;

test("a page gets the lines that are new, after a break too, and is told when the run was cut", async () => {
  await withDashboardApp(async (app) => {
    const dir = writeRun(app.root, "a");
    const id = idOf(realpathSync(dir));
    const metrics = join(dir, "metrics.jsonl");
    const opened = await app.ask(`/api/runs/${id}/curves`, { as: "viewer" });
    const { place, curves } = (await opened.json()) as { place: string; curves: Record<string, WireCurve> };
    assert.deepEqual(curves["loss"], {
      ...{ step: [5, 10], epoch: [0.5, 1], tokens: [100, 200], seconds: [1, 2], value: [1.5, "NaN"] },
    });
    assert.deepEqual(curves["eval_loss"]?.tokens, [0]);

    appendFileSync(metrics, `${row(15)}{"global_step":`);
    const first = await messagesUntil(app, `/api/stream?runs=${id}@${place}`, "rows");
    assert.deepEqual(
      first.map(({ event, data }) => [event, data.rows?.map(({ step }) => step)]),
      [["rows", [15]]],
    );
    appendFileSync(metrics, `20,"loss":2}\n`);
    const lastId = first.at(-1)?.id ?? "";
    const second = await messagesUntil(app, `/api/stream?runs=${id}@${place}`, "rows", { lastId });
    assert.deepEqual(second[0]?.data.rows, [
      { step: 20, epoch: 1.5, tokens: 200, seconds: 2, values: { global_step: 20, loss: 2 } },
    ]);

    truncateSync(metrics, Buffer.byteLength(stringifyNumbers(fewRows[0])) + 1);
    const third = await messagesUntil(app, `/api/stream?runs=${id}@${place}`, "restart", {
      lastId: second[0]?.id,
    });
    assert.deepEqual(
      third.map(({ event }) => event),
      ["restart"],
    );
  });
});

test("events and states are told, and a page is told of runs that are not there", async () => {
  await withDashboardApp(async (app) => {
    const dir = writeRun(app.root, "a");
    const id = idOf(realpathSync(dir));
    const { place } = (await (await app.ask(`/api/runs/${id}/curves`, { as: "owner" })).json()) as {
      place: string;
    };
    const begun = Promise.withResolvers<void>();
    const told = messagesUntil(app, `/api/stream?runs=${id}@${place}`, "summary", { onBegun: begun.resolve });
    await Promise.race([begun.promise, told]);
    appendFileSync(
      join(dir, "log.jsonl"),
      `{"time":"2026-01-01T00:00:00Z","event":"failed","message":"no <b>luck</b>"}\n`,
    );
    const messages = await told;
    assert.deepEqual([messages[0]?.event, messages[0]?.data.count], ["events", 3]);
    assert.equal(messages.at(-1)?.data.summary?.state, "failed");
    const [refused] = await messagesUntil(app, "/api/stream?runs=gone@1.2.3.4", "problem");
    assert.match(refused?.data.message ?? "", /no such run/);
    const many = Array.from({ length: 9 }, (_, i) => i).join(",");
    assert.equal((await app.ask(`/api/stream?runs=${many}`, { as: "owner" })).status, 422);
  });
});

test("a page that was away gets the list as it is now; one that has it gets nothing", async () => {
  await withDashboardApp(async (app) => {
    const gone = writeRun(app.root, "gone");
    writeRun(app.root, "a");
    const { mark } = (await (await app.ask("/api/runs", { as: "viewer" })).json()) as { mark: string };
    rmSync(gone, { recursive: true });
    app.context.runs.expectChange();
    const [first] = await messagesUntil(app, `/api/stream?list=${mark}`, "list");
    assert.equal(first?.data.isWhole, true);
    assert.deepEqual(
      first?.data.changed?.map(({ name }) => name),
      ["a"],
    );
  });
});

test("a page that heard of a change and was away while that was taken back gets the list as it is now", async () => {
  await withDashboardApp(async (app) => {
    const id = idOf(realpathSync(writeRun(app.root, "a")));
    const { mark } = (await (await app.ask("/api/runs", { as: "viewer" })).json()) as { mark: string };
    const address = `/api/stream?list=${mark}`;
    app.context.runs.mark(id, { isArchived: true });
    const [heard] = await messagesUntil(app, address, "list");
    assert.equal(heard?.data.changed?.[0]?.isArchived, true);
    app.context.runs.mark(id, { isArchived: false });
    const [now] = await messagesUntil(app, address, "list", { lastId: heard?.id });
    assert.deepEqual([now?.data.isWhole, now?.data.changed?.[0]?.isArchived], [true, false]);
  });
});

test("a run that goes away, or cannot be read any more, ends its stream with the reason", async () => {
  await withDashboardApp(async (app) => {
    const dir = writeRun(app.root, "a");
    const id = idOf(realpathSync(dir));
    const begun = Promise.withResolvers<void>();
    const told = messagesUntil(app, `/api/stream?runs=${id}`, "problem", { onBegun: begun.resolve });
    await Promise.race([begun.promise, told]);
    rmSync(dir, { recursive: true });
    assert.match((await told).at(-1)?.data.message ?? "", /no such run/);
    const other = writeRun(app.root, "b");
    rmSync(join(other, "metrics.jsonl"));
    mkdirSync(join(other, "metrics.jsonl"));
    const [said] = (
      await messagesUntil(app, `/api/stream?runs=${idOf(realpathSync(other))}`, "problem")
    ).slice(-1);
    assert.match(said?.data.message ?? "", /^The run cannot be read: .*b\/metrics\.jsonl/);
    assert.ok(!said?.data.message?.includes(app.root), "no path of this machine");
    assert.deepEqual(app.faults, []);
  });
});

test("of more windows than a browser has connections the one that has had its turn longest is left, of that session alone", async () => {
  await withDashboardApp(async (app) => {
    const id = idOf(realpathSync(writeRun(app.root, "a")));
    const stop = new AbortController();
    const browsers = { viewer: app.login("viewer"), owner: app.login("owner") };
    const open = async (as: "viewer" | "owner") => {
      const asked = { headers: browsers[as], signal: stop.signal };
      const { status, body } = await app.ask(`/api/stream?runs=${id}`, asked);
      assert.equal(status, 200);
      const reader = body?.getReader();
      let isOver = false;
      const ended = (async () => {
        while ((await reader?.read())?.done === false);
        isOver = true;
      })();
      return { ended, isOver: () => isOver, leave: () => reader?.cancel() };
    };
    const other = await open("owner");
    const windows = [];
    for (let i = 0; i < 6; i++) windows.push(await open("viewer"));
    await Promise.all(windows.slice(0, 2).map(({ ended }) => ended));
    // a look at the run takes a tick
    await new Promise((done) => setTimeout(done, 700));
    assert.deepEqual(
      windows.map(({ isOver }) => isOver()),
      [true, true, false, false, false, false],
    );
    assert.equal(other.isOver(), false);
    // the first comes back: now it is the third's turn to leave
    windows.push(await open("viewer"));
    await windows[2]?.ended;
    assert.deepEqual(
      windows.slice(3).map(({ isOver }) => isOver()),
      [false, false, false, false],
    );
    for (const window of [other, ...windows]) await window.leave();
    stop.abort();
  });
});

test("the streams of a session end with it: after a logout, and where a newer one takes its place", async () => {
  await withDashboardApp(async (app) => {
    const id = idOf(realpathSync(writeRun(app.root, "a")));
    const [viewer, oldest] = [app.login("viewer"), app.login("viewer")];
    const open = async (headers: { cookie: string }) => {
      const { status, body } = await app.ask(`/api/stream?runs=${id}`, { headers });
      assert.equal(status, 200);
      const reader = body?.getReader();
      const ended = (async () => {
        while ((await reader?.read())?.done === false);
      })();
      return { ended };
    };
    const [one, another, third] = [await open(viewer), await open(viewer), await open(oldest)];
    const out = await app.ask("/api/session", { method: "DELETE", headers: viewer });
    assert.equal(out.status, 200);
    await Promise.all([one.ended, another.ended]);
    for (let i = 0; i < 1000; i++) app.login("labeller");
    await third.ended;
    assert.equal((await app.ask(`/api/stream?runs=${id}`, { headers: viewer })).status, 401);
    assert.deepEqual(app.faults, []);
  });
});
