/** Whenever the engine's process is killed, the client is told the cause: each moment of a request is forced, none awaited. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { scriptedProcess } from "../../test/support/scripted-process.ts";
import { Admission } from "./admission.ts";
import { createApp } from "./app.ts";
import { Callers } from "./callers.ts";
import type { EngineNews } from "./engine-process.ts";
import { Outlets } from "./outlet.ts";
import type { ReadRequest, Requests } from "./request-reader.ts";
import { REQUEST_LIMITS } from "./request-tables.ts";
import { serverMetrics } from "./server-metrics.ts";

/** When the process is killed: as the prompt is made, with the end of the process heard of before or after it is handed over. */
const moments = [
  "before the prompt, heard of",
  "before the prompt, unheard of",
  "once the answer has begun",
] as const;

async function replyOf(moment: (typeof moments)[number], stream: boolean): Promise<string> {
  const news: EngineNews[] = [];
  const engine = scriptedProcess({
    policy: { firstDelayMs: 60_000 },
    onNews: (each) => news.push(each),
  });
  const turn = () => new Promise(setImmediate);
  const kill = () => {
    const [ready] = news;
    if (ready?.type === "ready") process.kill(ready.pid, "SIGKILL");
  };
  const request: ReadRequest<"chat" | "completion"> = {
    fields: { model: "tiny", stream, max_tokens: 400, seed: 9005 },
    prompts: 1,
    continuesTurn: false,
    encode: async () => {
      if (moment !== "once the answer has begun") kill();
      while (moment === "before the prompt, heard of" && engine.state === "ready") await turn();
      return { prompts: [[1, 2]], stopIds: new Set(), echoes: null, warning: null };
    },
    drop: () => {},
  };
  const requests = { read: async () => request } as unknown as Requests;
  const app = createApp({
    model: { name: "tiny", adapters: [], requests, contextTokens: 512, vocabSize: 264 },
    engine,
    admission: new Admission(8),
    metrics: serverMetrics(engine, new Outlets()),
    limits: REQUEST_LIMITS,
    outlets: new Outlets(),
    callers: new Callers(),
    key: "k",
    loopbackOnly: true,
    origins: [],
    maxBodyBytes: 1000,
    onRequest: () => {},
    onFault: (error) => assert.fail(String(error)),
  });
  engine.start();
  while (engine.state !== "ready") await turn();
  try {
    const reply = app.request("/v1/completions", {
      method: "POST",
      headers: { authorization: "Bearer k", host: "localhost", "content-type": "application/json" },
      body: "{}",
    });
    if (moment === "once the answer has begun") {
      while ((engine.report?.stats.completionTokens ?? 0) === 0) await turn();
      kill();
    }
    return await (await reply).text();
  } finally {
    await engine.stop();
  }
}

test("kill -9 of the engine: whole or as a stream, the reply says that it ended by SIGKILL, whenever it was", async () => {
  for (const moment of moments) {
    for (const stream of [false, true]) {
      const reply = await replyOf(moment, stream);
      const last = reply.trim().split("\n\n").at(-1)?.replace("data: ", "") ?? "";
      const { error } = JSON.parse(last) as { error?: { code: string; message: string } };
      assert.equal(error?.code, "engine_crashed", `${moment}, ${stream ? "stream" : "whole"}: ${reply}`);
      assert.match(error?.message ?? "", /^The engine process ended by SIGKILL\. The answer is lost/);
    }
  }
});
