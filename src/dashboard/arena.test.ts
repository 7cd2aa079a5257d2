/** The arena: blind until the vote in every byte, at one pace, the vote a label; what goes wrong names no contestant. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { type DashboardApp, withDashboardApp } from "../../test/support/dashboards.ts";

const names = ["voice-alpha", "voice-omega"] as const;

/** An endpoint with two models that answer each in its own words; it refuses `broken`, and breaks off in the answer of `cut`. */
async function withContestants(
  body: (app: DashboardApp, asked: unknown[]) => Promise<void>,
  {
    broken = "",
    cut = "",
    isStrict = false,
    extra = "",
  }: { broken?: string; cut?: string; isStrict?: boolean; extra?: string } = {},
): Promise<void> {
  const asked: unknown[] = [];
  const server = createServer(async (request, response) => {
    const sent = JSON.parse(await text(request)) as { model: string };
    asked.push(sent);
    if (isStrict && "max_tokens" in sent) {
      response.writeHead(400).end("Unsupported parameter: 'max_tokens'");
      return;
    }
    if (sent.model === broken) {
      response.writeHead(404).end("no such model");
      return;
    }
    response.writeHead(200, { "content-type": "text/event-stream" });
    const words = sent.model === "model-alpha" ? ["One ", "two."] : ["A ", "much ", "longer ", "answer."];
    for (const content of words)
      response.write(`data: ${JSON.stringify({ choices: [{ delta: { content } }] })}\n\n`);
    const lost = 'data: {"error":{"message":"the engine is gone"}}\n\n';
    response.end(sent.model === cut ? lost : "data: [DONE]\n\n");
  }).listen(0, "127.0.0.1");
  await new Promise((resume) => server.once("listening", resume));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  try {
    await withDashboardApp(async (app) => {
      const dir = app.context.bench.dir;
      mkdirSync(dir, { recursive: true });
      const contestant = (name: string, model: string) =>
        `  - { name: ${name}, url: "${url}", model: ${model}${extra} }\n`;
      writeFileSync(
        join(dir, "arena.yaml"),
        `contestants:\n${contestant(names[0], "model-alpha")}${contestant(names[1], "model-omega")}`,
      );
      await body(app, asked);
    });
  } finally {
    server.close();
    server.closeAllConnections();
  }
}

const post = (app: DashboardApp, path: string, body: unknown) =>
  app.ask(path, { as: "owner", method: "POST", body });

async function fight(
  app: DashboardApp,
): Promise<{ battle: string; left: string; right: string; bytes: string }> {
  const bytes = await (await post(app, "/api/arena/battles", { prompt: "Say something." })).text();
  const pieces = bytes
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, string>);
  const side = (name: string) => pieces.map((piece) => piece[name] ?? "").join("");
  return { battle: side("battle"), left: side("left"), right: side("right"), bytes };
}

test("until the vote no byte tells who is who; the vote tells, is a label, and counts once", async () => {
  await withContestants(async (app, asked) => {
    const seen = { left: 0, right: 0 };
    for (let i = 0; i < 30; i++) {
      const { battle, left, right, bytes } = await fight(app);
      for (const word of [...names, "model-", "127.0.0.1"]) assert.ok(!bytes.includes(word), word);
      const isFirstLeft = left === "One two.";
      assert.deepEqual([left, right].toSorted(), ["A much longer answer.", "One two."]);
      const [winner, loser] = isFirstLeft ? (["left", "right"] as const) : (["right", "left"] as const);
      seen[winner]++;
      const vote = { battle, verdict: winner };
      const answer = await post(app, "/api/arena/votes", vote);
      assert.deepEqual(await answer.json(), { [winner]: names[0], [loser]: names[1] });
      assert.equal((await post(app, "/api/arena/votes", vote)).status, 404);
    }
    // 30 fair coins: the standard deviation is 2.7
    assert.ok(Math.min(seen.left, seen.right) > 15 - 11, JSON.stringify(seen));
    const { rates } = (await (await app.ask("/api/arena", { as: "owner" })).json()) as {
      rates: { one: string; rate: number }[];
    };
    assert.deepEqual([rates[0]?.one, rates[0]?.rate], [names[0], 1]);
    const { items } = (await (await app.ask("/api/items", { as: "viewer" })).json()) as {
      items: { votes: unknown[] }[];
    };
    assert.deepEqual([items.length, items[0]?.votes.length], [1, 30]);
    assert.equal(
      (asked as { stream: boolean }[]).every(({ stream }) => stream),
      true,
    );
    assert.deepEqual(app.faults, []);
  });
});

test("a contestant that does not answer: the person is told of neither, the terminal which", async () => {
  await withContestants(
    async (app) => {
      const { battle, bytes } = await fight(app);
      assert.match(bytes, /One of the contestants gave no answer/);
      // the battle's random digits may hold a 404
      const said = bytes.replaceAll(battle, "");
      for (const word of [...names, "model-", "127.0.0.1", "404"]) assert.ok(!said.includes(word), word);
      assert.equal((await post(app, "/api/arena/votes", { battle, verdict: "tie" })).status, 404);
      assert.match(
        String(app.faults[0]),
        /voice-omega.*127\.0\.0\.1.*answered with status 404.*no such model/,
      );
    },
    { broken: "model-omega" },
  );
});

test("an endpoint that refuses usual fields: the terminal is told of extra, which takes them out", async () => {
  await withContestants(
    async (app) => {
      await fight(app);
      assert.match(
        String(app.faults[0]),
        /status 400 .*'max_tokens' Take out or replace .* by the contestant's extra in arena\.yaml\./,
      );
    },
    { isStrict: true },
  );
  await withContestants(
    async (app, asked) => {
      const { left, right } = await fight(app);
      assert.deepEqual([left, right].toSorted(), ["A much longer answer.", "One two."]);
      const { messages: _, model: __, ...fields } = asked[0] as Record<string, unknown>;
      assert.deepEqual(fields, { temperature: 0.7, stream: true, max_completion_tokens: 9 });
    },
    { isStrict: true, extra: ", extra: { max_tokens: null, max_completion_tokens: 9 }" },
  );
});

test("an answer that is broken off is none to vote on", async () => {
  await withContestants(
    async (app) => {
      const { battle, bytes } = await fight(app);
      assert.match(bytes, /One of the contestants gave no answer/);
      assert.equal((await post(app, "/api/arena/votes", { battle, verdict: "tie" })).status, 404);
      assert.match(String(app.faults[0]), /voice-alpha.*the engine is gone/);
    },
    { cut: "model-alpha" },
  );
});

test("contestants come from the owner's file alone; without one it says how to write it", async () => {
  await withDashboardApp(async (app) => {
    const none = await app.ask("/api/arena", { as: "owner" });
    assert.match(await none.text(), /no contestants yet. Write them into arena\.yaml/);
    const own = await post(app, "/api/arena/battles", {
      prompt: "x",
      contestants: [{ url: "http://evil.example" }],
    });
    assert.match(await own.text(), /Unrecognized key: .*contestants/);
    mkdirSync(app.context.bench.dir, { recursive: true });
    writeFileSync(
      join(app.context.bench.dir, "arena.yaml"),
      "contestants:\n  - { name: a, url: ftp://x, model: m }\n",
    );
    assert.match(
      await (await post(app, "/api/arena/battles", { prompt: "x" })).text(),
      /expected a list of two contestants or more/,
    );
  });
});
