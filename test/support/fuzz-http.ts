/** A million request bodies that are nearly right, each answered or refused by the server's own error. */
import assert from "node:assert/strict";
import { FastRandom, jsonMarks, Mutant } from "./byte-mutations.ts";
import { amount, campaignSeed, figure, isNightly, progress } from "./campaign.ts";
import { collectGarbage, residentMiB } from "./memory.ts";
import { type App, appKey, withServedApp } from "./served-app.ts";

const encoder = new TextEncoder();

/** Bodies that are answered. */
const bodies: readonly object[] = [
  { model: "tiny", messages: [{ role: "user", content: "hi" }], max_tokens: 2 },
  {
    model: "mine",
    messages: [
      { role: "system", content: "be brief" },
      { role: "user", content: [{ type: "text", text: "a ß 😀\n" }] },
      {
        role: "assistant",
        content: null,
        tool_calls: [{ id: "c", type: "function", function: { name: "f", arguments: "{}" } }],
      },
      { role: "tool", content: "1", tool_call_id: "c" },
    ],
    ...{ n: 2, stream: true, stream_options: { include_usage: true }, logprobs: true, top_logprobs: 1 },
    ...{
      temperature: 0.5,
      top_p: 0.9,
      top_k: 5,
      min_p: 0.1,
      repetition_penalty: 1.1,
      seed: 7,
      stop: ["x", "yy"],
    },
    ...{
      presence_penalty: -0.5,
      frequency_penalty: 0.25,
      logit_bias: { "5": -100 },
      user: "u",
      metadata: {},
    },
    chat_template_kwargs: { enable_thinking: false, depth: [1, { a: null }] },
  },
  { model: "tiny", prompt: "once", max_tokens: 1, echo: true, logprobs: 2 },
  { model: "tiny", prompt: ["a", "b"], n: 2, stream: true, stop: "z", seed: -1 },
  { model: "tiny", prompt: [[5, 6], [7]], max_tokens: 0, echo: true },
  { model: "tiny", prompt: [40, 41, 42], temperature: 0, best_of: 1, suffix: "" },
];

const seeds = bodies.map((body) => encoder.encode(JSON.stringify(body)));

const names = [...new Set(bodies.flatMap((body) => Object.keys(body)))];

const words = [
  ...names.map((name) => `"${name}":`),
  ...jsonMarks,
  ...["\\u00", "null", "true", "false", "[[[[", '{"a":{"a":'],
  ...[
    "-1",
    "-0",
    "0",
    "1e308",
    "1e-308",
    "1e999",
    "-1e999",
    "9007199254740993",
    "18446744073709551616",
    "2.0",
    "NaN",
  ],
  ...[
    '"role":"system"',
    '"role":"king"',
    '"content":""',
    "{{ 7 }}",
    "{% raw %}",
    "<|im_end|>",
    "<|im_start|>user\n",
  ],
  ...[
    '"__proto__":{"n":9}',
    '"constructor":1',
    '"toString":',
    '"messages":[],',
    "\u0000",
    "\u2028",
    "\ufeff",
    "𝒳",
  ],
].map((word) => encoder.encode(word));
words.push(Uint8Array.of(0xff), Uint8Array.of(0xc0, 0x80), Uint8Array.of(0xed, 0xa0, 0x80));

/** Values that a field may be given in place of a valid one. */
const values: readonly unknown[] = [
  ...[
    null,
    true,
    false,
    0,
    -0,
    1,
    -1,
    2,
    0.5,
    1e-308,
    5e-324,
    1e308,
    -1e308,
    2 ** 31,
    2 ** 53,
    1e21,
    "",
    "a",
    "1",
    "null",
  ],
  ...[
    [],
    {},
    [null],
    [[]],
    [{}],
    [0],
    [1e9],
    ["a", 1],
    { a: 1 },
    { "5": 1e308 },
    { "-1": 1 },
    { type: "text" },
    [[[[[0]]]]],
  ],
  ...["x".repeat(3000), "😀".repeat(200), "\ud800", "\u0000", Array.from({ length: 40 }, (_, i) => i)],
];

const types = [
  "application/json",
  "application/json; charset=utf-8",
  "APPLICATION/JSON",
  "text/plain",
  "",
  "application/jsonx",
];

/** Statuses with which a request is answered or refused; 500 is none of them. */
const expected = new Set([200, 400, 404, 413, 415, 422]);

/** Makes a body in `mutant`: of fields that were exchanged, or of bytes that were. */
function makeBody(random: FastRandom, mutant: Mutant): void {
  const at = random.below(bodies.length);
  if (random.below(2) === 0) {
    const body: Record<string, unknown> = { ...bodies[at] };
    for (let changes = 1 + random.below(3); changes > 0; changes--) {
      const name = random.pick(names);
      if (random.below(5) === 0) delete body[name];
      else body[name] = random.pick(values);
    }
    mutant.begin(encoder.encode(JSON.stringify(body)));
    if (random.below(4) > 0) return;
  } else {
    mutant.begin(seeds[at] as Uint8Array);
  }
  for (let changes = random.below(4); changes > 0; changes--) mutant.change(random, words, seeds);
}

interface Asked {
  path: string;
  type: string;
  body: Uint8Array<ArrayBuffer>;
}

/** Asks and reads the reply to its end; gives its status. */
async function ask(app: App, { path, type, body }: Asked): Promise<number> {
  try {
    const headers = { host: "localhost", authorization: `Bearer ${appKey}`, "content-type": type };
    const reply = await app.request(path, { method: "POST", headers, body });
    const text = await reply.text();
    assert.ok(expected.has(reply.status), `status ${reply.status}: ${text}`);
    const isStream = reply.headers.get("content-type")?.startsWith("text/event-stream") === true;
    if (isStream) assert.ok(text.endsWith("data: [DONE]\n\n"), text);
    else assert.equal(typeof JSON.parse(text), "object");
    return reply.status;
  } catch (cause) {
    throw new Error(`${path}, ${type}, body ${Buffer.from(body).toString("base64")}`, { cause });
  }
}

interface Tally {
  inputs: number;
  answered: number;
  slowestMs: number;
}

async function fuzz(app: App, inputs: number, seed: number): Promise<Tally> {
  const random = new FastRandom(seed);
  const mutant = new Mutant(1 << 17);
  const tally: Tally = { inputs: 0, answered: 0, slowestMs: 0 };
  const tell = progress();
  for (; tally.inputs < inputs; tally.inputs++) {
    makeBody(random, mutant);
    const path = random.pick(["/v1/chat/completions", "/v1/completions"]);
    const type = random.below(20) === 0 ? random.pick(types) : "application/json";
    const asked = { path, type, body: mutant.bytes.slice() };
    const began = performance.now();
    if ((await ask(app, asked)) === 200) tally.answered++;
    const ms = performance.now() - began;
    if (ms > tally.slowestMs) tally.slowestMs = Math.max(tally.slowestMs, await leastMs(app, asked, ms));
    if (!isNightly) continue;
    if (tally.inputs % 5000 === 0) collectGarbage();
    tell(
      () => `${tally.inputs.toLocaleString("en")} bodies, ${tally.answered.toLocaleString("en")} answered`,
    );
  }
  return tally;
}

/** What a body takes, without what other programs took of the time: the least of three. */
async function leastMs(app: App, asked: Asked, firstMs: number): Promise<number> {
  let least = firstMs;
  for (let again = 0; again < 2; again++) {
    const began = performance.now();
    await ask(app, asked);
    least = Math.min(least, performance.now() - began);
  }
  return least;
}

/**
 * One part of the campaign of a million bodies.
 *
 * @param part - decides the bodies, with PREFTUNE_SEED
 */
export async function fuzzHttp(part: number): Promise<void> {
  await withServedApp({}, async ({ app, admission }) => {
    const seed = 1000 * campaignSeed + part;
    await fuzz(app, amount(200, 20_000), seed + 500);
    const before = residentMiB();
    const { inputs, answered, slowestMs } = await fuzz(app, amount(1500, 500_000), seed);
    const grownMiB = Math.max(0, residentMiB() - before);
    assert.equal(admission.open, 0, "answers that nobody gave back");
    figure(
      18,
      `Fuzz of HTTP bodies, part ${part} of 2`,
      `${inputs.toLocaleString("en")} bodies, ${answered.toLocaleString("en")} answered, 0 faults, slowest ${slowestMs.toFixed(0)} ms, memory held grew ${grownMiB.toFixed(0)} MiB`,
      "500,000 bodies, 0 crashes, 0 above 1 s, below 256 MiB",
      answered > 0 && answered < inputs && (!isNightly || (slowestMs < 1000 && grownMiB < 256)),
    );
  });
}
