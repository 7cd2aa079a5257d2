/** Prompts in one pass: which are computed together, which wait, and that the numbers are those of each alone. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { withoutLeaks } from "../../test/support/close.ts";
import { generateRequest } from "../../test/support/generate-request.ts";
import { tinyModel } from "../../test/support/tiny-models.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { pageTokens } from "../nn/cache-pages.ts";
import { Engine } from "./engine.ts";
import type { GenerateEvent, GenerateRequest } from "./request.ts";

const ids = (length: number, step: number) => Array.from({ length }, (_, i) => ((i + 1) * step) % 32);

/** Tokens of each pass that the first step makes for some requests, and all that the requests are told. */
function passesOf(model: CausalLM, requests: readonly Partial<GenerateRequest>[]) {
  const passes: number[] = [];
  const { hiddenStates } = model;
  model.hiddenStates = (stream, ...rest) => {
    passes.push(stream.positions.size(0));
    return hiddenStates.call(model, stream, ...rest);
  };
  using engine = new Engine({ model, tokenizer: null });
  const told = requests.map((request, i) => {
    const events: GenerateEvent[] = [];
    engine.submit(`${i}`, generateRequest({ logprobs: 2, ...request }), (event) => events.push(event));
    return events;
  });
  engine.step();
  const first = passes.slice();
  while (engine.step());
  model.hiddenStates = hiddenStates;
  return { first, told };
}

test("prompts share a pass, one that begins with a page of another waits for it, and each is told what it is told alone", () => {
  withoutLeaks(() => {
    const model = tinyModel("gemma3");
    const begins = ids(pageTokens, 7);
    const requests: Partial<GenerateRequest>[] = [
      { promptIds: [...begins, 5, 6], n: 3 },
      { promptIds: ids(9, 3), promptLogprobs: 1 },
      { promptIds: [...begins, 8, 9, 10], temperature: 0 },
      { promptIds: ids(4, 5), maxNewTokens: 0, promptLogprobs: 0 },
      { promptIds: ids(20, 11), n: 2 },
    ];
    const { first, told } = passesOf(model, requests);
    // the third has a page of the first to take, and computes what follows it
    assert.deepEqual(first, [pageTokens + 2 + 9, 3 + 4 + 20]);
    for (const [i, request] of requests.entries()) {
      const alone = passesOf(model, [request]).told[0] ?? [];
      const asAlone = (events: readonly GenerateEvent[] = []) =>
        events.map((event) => (event.type === "done" ? { ...event, cachedTokens: 0 } : event));
      assert.deepEqual(asAlone(told[i]), asAlone(alone), `request ${i}`);
    }
  });
});

test("a request that an event of a prompt beside it cancels is told nothing more", () => {
  withoutLeaks(() => {
    using engine = new Engine({ model: tinyModel("llama_tied"), tokenizer: null });
    const told: string[] = [];
    for (const id of ["a", "b", "c"]) {
      engine.submit(
        id,
        generateRequest({ promptIds: ids(5, id.charCodeAt(0)), promptLogprobs: 0 }),
        (event) => {
          if (!told.includes(`${id} ${event.type}`)) told.push(`${id} ${event.type}`);
          engine.cancel("b");
        },
      );
    }
    while (engine.step());
    assert.deepEqual(told, [
      "a prompt",
      "c prompt",
      "a token",
      "c token",
      "a end",
      "a done",
      "c end",
      "c done",
    ]);
    assert.equal(engine.stats.cacheBytesUsed, 0);
  });
});
