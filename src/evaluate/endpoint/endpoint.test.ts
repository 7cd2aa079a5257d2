/** Tests of endpoint.ts with an endpoint on loopback that does everything wrong in turn. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type ChatAnswer, completion, startJudge } from "../../../test/support/judge-server.ts";
import { ConfigError, EndpointError } from "../../base/errors.ts";
import { forEachAtOnce } from "./at-once.ts";
import type { Clock } from "./clock.ts";
import { Endpoint, type EndpointOptions } from "./endpoint.ts";

const request = { messages: [{ role: "user" as const, content: "q" }], temperature: 0, maxTokens: 64 };

/** Time that passes only by sleeping, which is written down. */
function fakeClock(): Clock & { slept: number[] } {
  let now = 0;
  const slept: number[] = [];
  return {
    slept,
    now: () => now,
    date: () => Date.parse("2026-01-01T00:00:00Z") + now,
    sleep: (ms) => {
      slept.push(ms);
      now += ms;
      return Promise.resolve();
    },
    random: () => 0.5,
  };
}

async function served(
  answers: readonly ChatAnswer[],
  options: Partial<EndpointOptions> = {},
): Promise<{
  endpoint: Endpoint;
  clock: ReturnType<typeof fakeClock>;
  server: Awaited<ReturnType<typeof startJudge>>;
}> {
  const server = await startJudge((_, before) => answers[Math.min(before, answers.length - 1)] ?? "");
  const clock = fakeClock();
  return {
    endpoint: new Endpoint({ baseUrl: server.baseUrl, model: "m", clock, ...options }),
    clock,
    server,
  };
}

test("an answer: what is sent, what comes back, what is counted", async () => {
  const { endpoint, server } = await served(["hello"], {
    apiKey: "secret",
    extra: { seed: 1, stream: null },
  });
  await using _ = server;
  const reply = await endpoint.chat(request);
  assert.deepEqual(reply, {
    text: "hello",
    finishReason: "stop",
    usage: { promptTokens: 100, completionTokens: 10 },
  });
  const [call] = server.calls;
  assert.equal(call?.path, "/v1/chat/completions");
  assert.equal(call?.authorization, "Bearer secret");
  assert.deepEqual(call?.body, {
    model: "m",
    messages: request.messages,
    temperature: 0,
    max_tokens: 64,
    seed: 1,
  });
  assert.deepEqual(endpoint.spent, {
    requests: 1,
    retries: 0,
    promptTokens: 100,
    completionTokens: 10,
    uncounted: 0,
    unanswered: 0,
  });
});

describe("what passes is tried again", () => {
  const faults: [name: string, fault: ChatAnswer][] = [
    ["429", { status: 429 }],
    ["500", { status: 500, body: "oops" }],
    ["503", { status: 503, body: "" }],
    ["409", { status: 409, body: "" }],
    ["521", { status: 521, body: "" }],
    ["a hang-up", "hang up"],
    ["no JSON", { body: "<html>" }],
    ["JSON that is cut", { body: completion({ text: "cut" }).slice(0, 40) }],
    ["no choices", { body: "{}" }],
    ["choices of another kind", { body: `{"choices":[null]}` }],
    ["a list", { body: "[]" }],
    ["content that is no text", { body: `{"choices":[{"message":{"content":[1]}}]}` }],
  ];
  for (const [name, fault] of faults) {
    test(name, async () => {
      const { endpoint, clock, server } = await served([fault, fault, "at last"]);
      await using _ = server;
      assert.equal((await endpoint.chat(request)).text, "at last");
      assert.equal(server.calls.length, 3);
      assert.equal(endpoint.spent.retries, 2);
      // doubled from 500 ms, three quarters of it at random() = 0.5
      assert.deepEqual(clock.slept, [375, 750]);
    });
  }
});

test("an error under the status of an answer is told in its own words, without the key", async () => {
  const body = JSON.stringify({ error: { message: "Insufficient credits of k3y", code: 402 } });
  const { endpoint, server } = await served([{ body }], { maxRetries: 0, apiKey: "k3y" });
  await using _ = server;
  await assert.rejects(
    endpoint.chat(request),
    /expected an answer, got an error: Insufficient credits of …\. Check that it runs/,
  );
});

test("no answer in time counts as a fault", async () => {
  const { endpoint, server } = await served(["no answer", "late"], { timeoutMs: 2000 });
  await using _ = server;
  assert.equal((await endpoint.chat(request)).text, "late");
  const stuck = await served(["no answer"], { timeoutMs: 50, maxRetries: 1 });
  await using __ = stuck.server;
  await assert.rejects(
    stuck.endpoint.chat(request),
    /no answer within 0\.05 s after 2 tries\. Check that it runs/,
  );
  assert.equal(stuck.endpoint.spent.unanswered, 2);
});

test("requests that were sent and gave no answer are counted: the endpoint may bill them", async () => {
  const sent: ChatAnswer[] = ["hang up", { body: "<html>" }, { status: 504 }, { status: 524 }];
  const { endpoint, server } = await served([...sent, { status: 429 }, { status: 500 }, "at last"]);
  await using _ = server;
  assert.equal((await endpoint.chat(request)).text, "at last");
  assert.deepEqual([endpoint.spent.requests, endpoint.spent.unanswered], [7, 4]);
  const gone = await served([], { maxRetries: 0 });
  await gone.server[Symbol.asyncDispose]();
  await assert.rejects(gone.endpoint.chat(request), EndpointError);
  assert.deepEqual([gone.endpoint.spent.requests, gone.endpoint.spent.unanswered], [1, 0]);
});

test("Retry-After is kept to, in seconds, as a date and in milliseconds", async () => {
  const answers: ChatAnswer[] = [
    { status: 429, headers: { "retry-after": "7" } },
    { status: 503, headers: { "retry-after": "Thu, 01 Jan 2026 00:01:00 GMT" } },
    { status: 429, headers: { "retry-after-ms": "90000", "retry-after": "1" } },
    { status: 429, headers: { "retry-after": "86400" } },
    "ok",
  ];
  const { endpoint, clock, server } = await served(answers);
  await using _ = server;
  assert.equal((await endpoint.chat(request)).text, "ok");
  // the date is 60 s after the start, 7 s have gone; a day is cut to five minutes
  assert.deepEqual(clock.slept, [7000, 53_000, 90_000, 300_000]);
});

test("a wait that was asked for holds for all requests", async () => {
  const answers: ChatAnswer[] = [{ status: 429, headers: { "retry-after": "20" } }, "ok"];
  const { endpoint, clock, server } = await served(answers);
  await using _ = server;
  await endpoint.chat(request);
  assert.deepEqual(clock.slept, [20_000]);
  const limited = await served([{ status: 429, headers: { "retry-after": "20" } }, "ok"], { maxRetries: 0 });
  await using __ = limited.server;
  await assert.rejects(limited.endpoint.chat(request), /status 429/);
});

const refusals: [status: number, body: string, message: RegExp][] = [
  [401, `{"error":{"message":"bad key sk-secret given"}}`, /status 401: bad key … given\. Check the key/],
  [404, `{"error":{"message":"no such model"}}`, /status 404: no such model\. Check the address/],
  [400, `{"detail":"too\\nlong\\u001b[31m"}`, /status 400: too long \[31m\. Check the model's name/],
  [422, "plain", /status 422: plain/],
  [429, `{"error":{"code":"insufficient_quota","message":"pay"}}`, /status 429: pay\./],
];
for (const [status, body, message] of refusals) {
  test(`status ${status} of this kind is not tried again`, async () => {
    const { endpoint, server } = await served([{ status, body }], { apiKey: "sk-secret" });
    await using _ = server;
    await assert.rejects(endpoint.chat(request), (error: unknown) => {
      assert.ok(error instanceof EndpointError);
      assert.match(error.message, message);
      assert.equal(error.status, status);
      assert.equal(error.exitCode, 7);
      return true;
    });
    assert.equal(server.calls.length, 1);
  });
}

test("redirects are not followed", async () => {
  const elsewhere = await startJudge(() => "stolen");
  await using _ = elsewhere;
  const redirect = { status: 307, headers: { location: `${elsewhere.baseUrl}/chat/completions` } };
  const { endpoint, server } = await served([redirect], { apiKey: "k" });
  await using __ = server;
  await assert.rejects(endpoint.chat(request), /status 307.*points elsewhere, which is not followed/);
  assert.equal(elsewhere.calls.length, 0);
});

test("nothing listens: the address is named", async () => {
  const closed = await served([""], { maxRetries: 1 });
  await closed.server[Symbol.asyncDispose]();
  await assert.rejects(
    closed.endpoint.chat(request),
    /^EndpointError: http:\/\/127\.0\.0\.1:\d+\/v1, model m: .*ECONNREFUSED.* after 2 tries/,
  );
});

test("a key that cannot be sent is refused and not shown; an empty one is none", async () => {
  const options = { baseUrl: "https://host/v1", model: "m" };
  for (const apiKey of ["se cret", "se\ncret", "sécret"]) {
    assert.throws(
      () => new Endpoint({ ...options, apiKey }),
      (error: unknown) => error instanceof ConfigError && !error.message.includes("cret"),
    );
  }
  const { endpoint, server } = await served(["x"], { apiKey: " \n" });
  await using _ = server;
  await endpoint.chat(request);
  assert.equal(server.calls[0]?.authorization, null);
});

test("an answer without text is one: of a judge it has no verdict", async () => {
  const message = (fields: object): ChatAnswer => ({
    body: JSON.stringify({ choices: [{ message: fields, finish_reason: "length" }] }),
  });
  const { endpoint, server } = await served([
    message({ content: null }),
    message({ content: null, reasoning_content: "[[3]]" }),
    message({
      content: [
        { type: "thinking", thinking: [{ type: "text", text: "[[3]]" }] },
        { type: "text", text: "so " },
        { type: "text", text: "[[8]]" },
      ],
    }),
    message({ content: null, refusal: "no" }),
  ]);
  await using _ = server;
  assert.deepEqual(await endpoint.chat(request), { text: "", finishReason: "length", usage: null });
  assert.equal((await endpoint.chat(request)).text, "", "thoughts in a field of their own");
  assert.equal((await endpoint.chat(request)).text, "so [[8]]", "thoughts in a part of their own");
  assert.equal((await endpoint.chat(request)).text, "no");
  assert.equal(endpoint.spent.uncounted, 4);
});

test("requests a minute are spread evenly", async () => {
  const { endpoint, clock, server } = await served(["x"], { requestsPerMinute: 30 });
  await using _ = server;
  for (let i = 0; i < 3; i++) await endpoint.chat(request);
  assert.deepEqual(clock.slept, [2000, 2000]);
});

test("tokens a minute: what was counted, not what was thought, holds the next back", async () => {
  // Each answer costs 110; before it is there a request is thought to cost (body / 4 + 32) < 80.
  const { endpoint, clock, server } = await served(["x"], { tokensPerMinute: 250 });
  await using _ = server;
  await endpoint.chat(request);
  await endpoint.chat(request);
  assert.deepEqual(clock.slept, []);
  await endpoint.chat(request);
  assert.deepEqual(clock.slept, [60_000]);
  const small = await served(["x"], { tokensPerMinute: 1 });
  await using __ = small.server;
  await small.endpoint.chat(request);
  assert.deepEqual(small.clock.slept, [], "a request larger than the limit goes alone");
});

test("so many at once, and no more after a failure", async () => {
  // nobody is answered before four have asked, and then no further question comes before an answer
  let release: () => void = () => undefined;
  const fourAsked = new Promise<void>((resolve) => {
    release = resolve;
  });
  const server = await startJudge(async (_, before) => {
    if (before === 3) release();
    await fourAsked;
    return { text: "x" };
  });
  await using _ = server;
  const endpoint = new Endpoint({ baseUrl: server.baseUrl, model: "m" });
  await forEachAtOnce([...Array(8).keys()], 4, async () => void (await endpoint.chat(request)));
  assert.equal(server.mostAtOnce, 4);
  const begun: number[] = [];
  const finished: number[] = [];
  await assert.rejects(
    forEachAtOnce([0, 1, 2, 3, 4], 2, async (item) => {
      begun.push(item);
      await new Promise((resolve) => setImmediate(resolve));
      if (item === 0) throw new Error("first");
      await new Promise((resolve) => setImmediate(resolve));
      finished.push(item);
    }),
    /first/,
  );
  assert.deepEqual(begun, [0, 1]);
  assert.deepEqual(finished, [1], "what was under way is waited for");
});

const addresses: [address: string, key: string | null, message: RegExp][] = [
  ["ftp://host/v1", null, /expected an address such as/],
  ["host:8000", null, /expected an address such as/],
  ["user:pass@host/v1", null, /got "…@host\/v1"/],
  ["https://user:pass@host/v1", null, /^ConfigError: https:\/\/host: expected an address without a name/],
  ["https://host/v1?key=1", null, /without a name, a password or a query/],
  ["http://judge.example/v1", "k", /the key would travel unencrypted/],
];
for (const [address, apiKey, message] of addresses) {
  test(`address refused: ${address}`, () => {
    assert.throws(
      () => new Endpoint({ baseUrl: address, model: "m", apiKey }),
      (error: unknown) => error instanceof ConfigError && message.test(String(error)),
    );
  });
}

test("addresses are taken with or without what comes behind the version", () => {
  for (const baseUrl of [
    "http://127.0.0.1:1/v1",
    "http://127.0.0.1:1/v1/",
    "http://127.0.0.1:1/v1/chat/completions",
  ]) {
    assert.equal(new Endpoint({ baseUrl, model: "m", apiKey: "k" }).baseUrl, "http://127.0.0.1:1/v1");
  }
});
