/** Abusive requests: what is out of bounds is refused by its status, and however many come, others are answered and nothing grows. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Random } from "../../src/base/random.ts";
import { amount, campaignSeed, figure, isNightly } from "../support/campaign.ts";
import { HealthProber, percentile } from "../support/health-prober.ts";
import { rawPost, type Served, served } from "../support/served.ts";

let server: Served;
/** Resident memory of the HTTP process at rest, in MiB. */
const residentAtRest = async () => {
  await sleep(amount(0, 5000));
  return ((await server.idle()).get("process_resident_memory_bytes") ?? Number.NaN) / 2 ** 20;
};
let atStart = Number.NaN;
before(async () => {
  server = await served();
  atStart = await residentAtRest();
});
after(() => server[Symbol.asyncDispose]());

const [chatPath, plainPath] = ["/v1/chat/completions", "/v1/completions"] as const;
const plain = { model: "tiny", prompt: "hi", max_tokens: 2 };
const chat = { model: "tiny", messages: [{ role: "user", content: "hi" }], max_tokens: 2 };

test("what is beyond a limit is refused with its status", async () => {
  const nested = `{"model":"tiny","user":${"[".repeat(64)}${"]".repeat(64)},"prompt":"hi"}`;
  const message = { role: "user", content: "" };
  const cases: [name: string, path: string, body: string, status: number][] = [
    ["a body of 1 MiB and a byte", plainPath, " ".repeat(2 ** 20 + 1), 413],
    ["JSON nested 65 deep", plainPath, nested, 400],
    ["n of 9", plainPath, JSON.stringify({ ...plain, n: 9 }), 422],
    ["33 stop texts", plainPath, JSON.stringify({ ...plain, stop: Array(33).fill("x") }), 422],
    ["1,001 messages", chatPath, JSON.stringify({ ...chat, messages: Array(1001).fill(message) }), 422],
    [
      "1,025 biases",
      plainPath,
      JSON.stringify({
        ...plain,
        logit_bias: Object.fromEntries(Array.from({ length: 1025 }, (_, i) => [i, 1])),
      }),
      422,
    ],
    ["a prompt of 512 tokens", plainPath, JSON.stringify({ ...plain, prompt: "x".repeat(512) }), 400],
    ["a prompt of a million", plainPath, JSON.stringify({ ...plain, prompt: "x".repeat(10 ** 6) }), 400],
    ["257 prompts", plainPath, JSON.stringify({ ...plain, prompt: Array(257).fill("x") }), 422],
  ];
  for (const [name, path, body, status] of cases)
    assert.equal((await server.post(path, body)).status, status, name);
  const long = await server.post(plainPath, JSON.stringify({ ...plain, max_tokens: 10 ** 9 }));
  const { usage } = (await long.json()) as { usage: { total_tokens: number } };
  assert.ok(usage.total_tokens <= 512, "an answer ends with the context");
  figure(
    22,
    "limits of body, depth, n, stop, messages, biases, prompts",
    "413, 400, 422",
    "each",
    true,
    "`stop` takes 32 texts (first goal: 4), since tasks of lm-eval have more than 4",
  );
});

test("numbers that cannot be are refused in every field that takes one", async () => {
  const fields = [
    "n",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "top_logprobs",
  ];
  const values = [
    "-1e308",
    "1e308",
    "1e999",
    "NaN",
    "Infinity",
    "-Infinity",
    "1.5e-320",
    '"1"',
    "[1]",
    "-3.5",
  ];
  // a temperature or penalty that is next to nothing is served
  const served = new Set([
    "temperature",
    "top_p",
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
  ]);
  let refused = 0;
  for (const field of fields) {
    for (const value of values) {
      if (value === "1.5e-320" && served.has(field)) continue;
      const body = JSON.stringify({ ...chat, logprobs: true, [field]: 0 }).replace(
        `"${field}":0`,
        `"${field}":${value}`,
      );
      const { status } = await server.post(chatPath, body);
      assert.ok(status === 422 || status === 400, `${field}: ${value} gave ${status}`);
      refused++;
    }
  }
  figure(
    22,
    "negative, NaN, infinite and enormous numbers in every field",
    `${refused} refused`,
    "all",
    true,
  );
});

const size = 2 ** 20;
const fill = (unit: string, head: string, tail: string): string =>
  head + unit.repeat(Math.floor((size - head.length - tail.length) / Buffer.byteLength(unit))) + tail;
const list = (count: number, make: (i: number) => string): string =>
  Array.from({ length: count }, (_, i) => make(i)).join();
const promptOf = (unit: string): string => fill(unit, '{"model":"tiny","prompt":"', '"}');
const content = '{"model":"tiny","messages":[{"role":"user","content":"hi"}]';

/** Bodies of a megabyte that are hard to read, to check, to render or to tokenise. */
const heavy: [path: string, body: string][] = [
  [plainPath, promptOf("word ")],
  [plainPath, promptOf("\\n")],
  [plainPath, promptOf("😀")],
  [plainPath, promptOf("漢字")],
  [plainPath, promptOf("\u0301\u0327")],
  [plainPath, promptOf("\\u0041")],
  [plainPath, fill("1,", '{"model":"tiny","prompt":[', "1]}")],
  [plainPath, fill("1.0,", '{"model":"tiny","prompt":[', "1]}")],
  [plainPath, fill("-1,", '{"model":"tiny","prompt":[', "1]}")],
  [plainPath, fill('"",', '{"model":"tiny","prompt":[', '""]}')],
  [plainPath, `{"model":"tiny","prompt":"a","logit_bias":{${list(70_000, (i) => `"\\u0031${i}":1`)}}}`],
  [plainPath, `{"model":"tiny","prompt":"a",${list(70_000, (i) => `"x${i}":null`)}}`],
  [chatPath, `${content},"chat_template_kwargs":{${list(70_000, (i) => `"x${i}":1.0`)}}}`],
  [
    chatPath,
    fill('{"type":"text","text":""},', '{"model":"tiny","messages":[{"role":"user","content":[', "{}]}]}"),
  ],
  [
    chatPath,
    `{"model":"tiny","messages":[${list(1000, (i) => `{"role":"assistant","content":"a","reasoning_content":"${i}"}`)}]}`,
  ],
  [
    chatPath,
    fill("{},", '{"model":"tiny","messages":[{"role":"assistant","content":"","tool_calls":[', "{}]}]}"),
  ],
];

/** Small ones: no JSON, nothing that is known, more than there may be. */
const light: [path: string, body: string][] = [
  [plainPath, "{"],
  [plainPath, "[".repeat(5000)],
  [plainPath, JSON.stringify({ ...plain, n: -1 })],
  [plainPath, JSON.stringify({ ...plain, prompt: "x".repeat(20_000) })],
  [plainPath, JSON.stringify({ ...plain, prompt: Array(256).fill("hi"), max_tokens: 1 })],
  [chatPath, JSON.stringify({ ...chat, n: 8, logprobs: true, top_logprobs: 20, max_tokens: 8 })],
  [chatPath, JSON.stringify({ ...chat, stop: Array(32).fill("x".repeat(200)), stream: true })],
  [chatPath, JSON.stringify({ ...chat, temprature: 1 })],
];

const random = new Random(campaignSeed);
const pick = <T>(from: readonly T[]): T => from[Math.floor(random.next() * from.length)] as T;

/** One abusive request: heavy, light, keyless, broken off or half sent. Its status; 0: there was none. */
async function abuse(): Promise<number> {
  const kind = random.next();
  const [path, body] = kind < 0.06 ? pick(heavy) : pick(light);
  if (kind > 0.9) {
    const socket = await server.raw(rawPost(path, body).slice(0, 20 + Math.floor(random.next() * 1000)));
    await sleep(5);
    socket.destroy();
    return 0;
  }
  const leave = new AbortController();
  if (kind > 0.8 || (kind < 0.03 && random.next() < 0.5)) setTimeout(() => leave.abort(), random.next() * 50);
  const headers = { "content-type": "application/json", authorization: "Bearer wrong" };
  try {
    const init = kind > 0.75 && kind < 0.8 ? { headers } : {};
    const reply = await server.post(path, body, { signal: leave.signal, ...init });
    await reply.text();
    return reply.status;
  } catch {
    return 0;
  }
}

test("however many abusive requests come, short ones are answered, health is told at once, and memory does not grow", async () => {
  const count = amount(60, 10_000);
  // what is needed once is loaded and compiled
  for (const [path, body] of [...heavy.slice(0, amount(5, heavy.length)), ...light])
    await (await server.post(path, body)).text();
  let done = 0;
  const statuses = new Map<number, number>();
  const run = async (end: number, beside: number) => {
    const worker = async () => {
      while (done < end) {
        done++;
        const status = await abuse();
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
        if (isNightly && done % 500 === 0)
          console.log(`${done} of ${count}: ${JSON.stringify([...statuses])}`);
      }
    };
    await Promise.all(Array.from({ length: beside }, worker));
  };
  // until then the process grows, by 200 MiB or more, to what eight requests at once take, some of a megabyte
  const counted = count / 5;
  await run(counted, 8);
  const early = await residentAtRest();
  const prober = new HealthProber(server.url);
  await server.metrics();
  const waits: number[] = [];
  let isOver = false;
  const short = (async () => {
    while (!isOver) {
      const began = performance.now();
      const reply = await server.post(plainPath, JSON.stringify({ ...plain, max_tokens: 1 }));
      await reply.text();
      if (reply.status === 200) waits.push(performance.now() - began);
      else assert.equal(reply.status, 429);
      await sleep(50);
    }
  })();
  await run(count, 8);
  isOver = true;
  await short;
  const loop = 1000 * ((await server.metrics()).get("nodejs_eventloop_lag_p99_seconds") ?? Number.NaN);
  const health = await prober.stop();
  const late = await residentAtRest();
  assert.ok(waits.length > 0 && health.every(Number.isFinite));
  const faults = [...statuses.keys()].filter((status) => status >= 500);
  assert.doesNotMatch(server.printed(), /"event":"(fault|engine crashed)"/);
  figure(22, `${done} abusive requests`, `${faults.length} answered with 5xx`, "0", faults.length === 0);
  if (!isNightly) return;
  const p99 = percentile(health, 0.99);
  figure(
    23,
    "health p99 under abuse",
    `${p99.toFixed(0)} ms, ${Math.max(...health).toFixed(0)} at most`,
    "< 100 ms",
    p99 < 100,
  );
  figure(23, "event-loop delay p99 under abuse", `${loop.toFixed(0)} ms`, "< 50 ms", loop < 50);
  const [half, most] = [percentile(waits, 0.5), percentile(waits, 0.99)];
  figure(
    23,
    "a short request under abuse",
    `${half.toFixed(0)} ms in the middle, p99 ${most.toFixed(0)} ms`,
    "half of them < 1 s",
    half < 1000,
  );
  figure(
    22,
    `resident memory of the HTTP process from the ${counted.toLocaleString("en")}th of them on`,
    `${early.toFixed(0)} MiB, then ${late.toFixed(0)} (${atStart.toFixed(0)} before the first)`,
    "< 64 MiB more from there on",
    late - early < 64,
    `memory is compared from the ${counted.toLocaleString("en")}th request on (first goal: from the first), since until then the process grows by more than 64 MiB to what eight requests at once take`,
  );
});
