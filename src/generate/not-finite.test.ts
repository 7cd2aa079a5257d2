/** Requests whose numbers are not finite: each fails alone, whatever shares its passes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { withoutLeaks } from "../../test/support/close.ts";
import { generateRequest } from "../../test/support/generate-request.ts";
import { tinyModel } from "../../test/support/tiny-models.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { pageTokens } from "../nn/cache-pages.ts";
import { rollout } from "../online/rollout.ts";
import { noGrad, ops } from "../torch/index.ts";
import { Engine } from "./engine.ts";
import type { GenerateEvent, GenerateRequest } from "./request.ts";

/** An engine whose requests' events are kept. */
function started(model: CausalLM) {
  const engine = new Engine({ model, tokenizer: null });
  const events = new Map<string, GenerateEvent[]>();
  const of = (id: string) => events.get(id) ?? [];
  const submit = (id: string, changes: Partial<GenerateRequest>) => {
    events.set(id, []);
    engine.submit(id, generateRequest(changes), (event) => of(id).push(event));
  };
  const finish = () => {
    while (engine.step());
  };
  return { engine, submit, of, finish, [Symbol.dispose]: () => engine[Symbol.dispose]() };
}

function tokensOf(events: readonly GenerateEvent[]) {
  return events.filter(({ type }) => type === "token");
}

// longer than a page
const longPrompt = Array.from({ length: pageTokens + 9 }, (_, i) => (7 * i + 3) % 32);

/** A model whose numbers are not finite wherever token 7 has been read. */
function ruinedBySeven(): CausalLM {
  const model = tinyModel("llama_untied");
  const { weight } = model.model.embed_tokens;
  noGrad(() => ops.mul_(ops.select(ops.detach(weight), 0, 7), Number.NaN));
  return model;
}

test("a request whose numbers are not finite fails alone, at its prompt or later; those that share its passes are as without it", () => {
  withoutLeaks(() => {
    const model = ruinedBySeven();
    const asked = { n: 2, maxNewTokens: 6, logprobs: 2, logitBias: new Map([[7, -1e9]]) };
    const prompts = { a: longPrompt.map((id) => (id === 7 ? 8 : id)), b: [3, 1, 4] };
    const submitAll = (run: ReturnType<typeof started>) => {
      for (const [id, promptIds] of Object.entries(prompts)) run.submit(id, { ...asked, promptIds });
    };
    using alone = started(model);
    submitAll(alone);
    alone.finish();
    using run = started(model);
    run.submit("prompt", { ...asked, promptIds: [3, 7, 4] });
    // draws token 7 at once, which its second pass reads
    run.submit("answer", { ...asked, promptIds: [3, 1, 5], logitBias: new Map([[7, 1e9]]) });
    run.submit("log-probs", { promptIds: [3, 7, 4], maxNewTokens: 0, promptLogprobs: 1 });
    submitAll(run);
    run.finish();
    for (const id of ["prompt", "answer", "log-probs"]) {
      const [last, ...others] = run.of(id).toReversed();
      assert.match(
        last?.type === "error" ? last.message : "",
        /^the model's logits are not finite.*--dtype float32/,
      );
      assert.deepEqual(
        others.map(({ type }) => type),
        id === "answer" ? ["token", "token"] : [],
      );
    }
    for (const id of ["a", "b"]) assert.deepEqual(run.of(id), alone.of(id));
    assert.equal(run.engine.stats.cacheBytesUsed, 0);
    // pages that held such numbers do others no harm
    for (const id of ["a", "b"]) run.submit(`${id} again`, { ...asked, promptIds: prompts[id as "a"] });
    run.finish();
    for (const id of ["a", "b"]) assert.deepEqual(tokensOf(run.of(`${id} again`)), tokensOf(alone.of(id)));
  });
});

test("a rollout names the row whose prompt fails", async () => {
  const rows = [[3, 1, 4], [3, 7, 4], [7]].map((promptIds, i) => {
    const example = { origin: { file: "prompts.jsonl", line: i + 1 }, promptIds, completions: [] };
    return { index: i, example };
  });
  const how = { num_generations: 2, max_completion_length: 3, temperature: 1, stopIds: new Set<number>() };
  await assert.rejects(rollout(ruinedBySeven(), rows, { ...how, seed: 1, dtype: "float32" }), {
    name: "TorchError",
    message: /^prompts\.jsonl:2: the model's logits are not finite.* So of 1 other prompts\.$/,
  });
});
