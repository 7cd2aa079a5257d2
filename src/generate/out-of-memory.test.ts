/** Memory that runs out, planted at each call of an operator: the requests of the pass that fails end, and everything else is as before. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { amount } from "../../test/support/campaign.ts";
import { withoutLeaks } from "../../test/support/close.ts";
import { generateRequest } from "../../test/support/generate-request.ts";
import { withCalls } from "../../test/support/operator-calls.ts";
import { tinyModel } from "../../test/support/tiny-models.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { pageTokens } from "../nn/cache-pages.ts";
import type { DType } from "../torch/index.ts";
import { Engine } from "./engine.ts";
import type { GenerateEvent, GenerateRequest } from "./request.ts";

const planted = "out of memory (planted)";
const model = tinyModel("llama_tied", { max_position_embeddings: 2048 });

const short = {
  promptIds: Array.from({ length: 2 * pageTokens + 9 }, (_, i) => (i * 7) % 32),
  maxNewTokens: 2,
};
// takes two pages of the short one and a copy of a part of the third, and more pages than a cache begins with
const long = {
  promptIds: [
    ...short.promptIds.slice(0, 2 * pageTokens + 5),
    ...Array.from({ length: 7 * pageTokens }, (_, i) => (i * 5 + 1) % 32),
  ],
  n: 2,
  maxNewTokens: 3,
};

function opened(of: CausalLM, dtype: DType) {
  const engine = new Engine({ model: of, tokenizer: null, dtype });
  const submit = (id: string, changes: Partial<GenerateRequest>) => {
    const told: GenerateEvent[] = [];
    engine.submit(id, generateRequest({ logprobs: 1, ...changes }), (event) => told.push(event));
    return told;
  };
  const finish = () => {
    while (engine.step());
  };
  const ask = (changes: Partial<GenerateRequest>) => {
    const told = submit("it", changes);
    finish();
    return tokensOf(told);
  };
  return { engine, submit, finish, ask, [Symbol.dispose]: () => engine[Symbol.dispose]() };
}

const tokensOf = (events: readonly GenerateEvent[]) => events.filter(({ type }) => type === "token");

/** Answers to a long request that comes after a short one, with the call after so many others failing; the calls that there were. */
function failingAfter(count: number, dtype: DType): number {
  using run = opened(model, dtype);
  const [first, second] = [run.ask(short), opened(model, dtype)];
  const want = second.ask(long);
  second[Symbol.dispose]();
  let calls = 0;
  const events = run.submit("long", long);
  const change = (call: { with(...args: readonly unknown[]): unknown; args: readonly unknown[] }) => {
    calls += 1;
    if (calls - 1 === count) throw new Error(planted);
    return call.with(...call.args);
  };
  withCalls(change, run.finish);
  const last = events.at(-1);
  if (calls <= count) return calls;
  const where = `call ${count}`;
  assert.deepEqual(last, { type: "error", message: planted }, where);
  assert.equal(run.engine.stats.cacheBytesUsed, 0, where);
  // what was there before the failure, and what failed, to the bit
  assert.deepEqual(run.ask(short), first, where);
  assert.deepEqual(run.ask(long), want, where);
  return calls;
}

for (const dtype of ["float32", "float64"] as const) {
  test(`${dtype}: a request for which memory runs out ends alone, wherever that is, and nothing else is lost`, () => {
    withoutLeaks(() => {
      const calls = failingAfter(Number.POSITIVE_INFINITY, dtype);
      assert.ok(calls > 100, `${calls} calls`);
      // the first ones are those of the cache
      const places = new Set(Array.from({ length: 24 }, (_, i) => i));
      for (let place = 0; place < calls; place += Math.ceil(calls / amount(40, 2000))) places.add(place);
      for (const place of places) assert.ok(failingAfter(place, dtype) > place);
    });
  });
}
