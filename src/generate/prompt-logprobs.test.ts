/** Log-probs of a prompt's tokens: those of the whole text at once, however the prompt is taken apart. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { generateRequest } from "../../test/support/generate-request.ts";
import { logitsOf, tinyModel } from "../../test/support/tiny-models.ts";
import { noGrad, scope, tensor } from "../torch/index.ts";
import { Engine } from "./engine.ts";
import { followingLogprobs } from "./forward.ts";
import type { EndEvent, GenerateEvent, GenerateRequest, TokenChoice } from "./request.ts";

/** A prompt of more than two of the parts that prompts are computed in. */
const promptIds = Array.from({ length: 600 }, (_, i) => (i * 37 + (i >> 3)) % 32);

function told(changes: Partial<GenerateRequest>): {
  tokens: TokenChoice[];
  events: GenerateEvent[];
} {
  const model = tinyModel("llama_untied", { max_position_embeddings: 640 });
  using engine = new Engine({ model, tokenizer: null });
  const events: GenerateEvent[] = [];
  engine.submit("x", generateRequest({ promptIds, ...changes }), (event) => events.push(event));
  while (engine.step());
  const tokens = events.flatMap((event) => (event.type === "prompt" ? event.tokens : []));
  return { tokens, events };
}

/** ln p of each token after the first, from the logits of the whole text. */
function expected(): { logprobs: number[]; likeliest: number[] } {
  const model = tinyModel("llama_untied", { max_position_embeddings: 640 });
  const logits = logitsOf(model, promptIds);
  const size = model.config.vocabSize;
  const rows = promptIds.slice(1).map((id, i) => {
    const row = logits.slice(i * size, (i + 1) * size);
    const most = Math.max(...row);
    const sum = most + Math.log(row.reduce((total, value) => total + Math.exp(value - most), 0));
    return { logprob: (row[id] as number) - sum, likeliest: most - sum };
  });
  return {
    logprobs: rows.map(({ logprob }) => logprob),
    likeliest: rows.map(({ likeliest }) => likeliest),
  };
}

function assertClose(got: readonly (number | null | undefined)[], want: readonly number[]): void {
  assert.equal(got.length, want.length);
  for (const [i, value] of want.entries()) assert.ok(Math.abs((got[i] ?? 9) - value) < 1e-5, `${i}`);
}

test("each token after the first has its log-prob and the likeliest in its place, before any token of the answer", () => {
  const { tokens, events } = told({ maxNewTokens: 2, promptLogprobs: 2 });
  assert.deepEqual(
    tokens.map(({ id }) => id),
    promptIds,
  );
  const [first, ...rest] = tokens;
  assert.deepEqual(first, { id: promptIds[0], logprob: null, top: [], isFirst: true });
  assert.ok(rest.every(({ isFirst, top }) => !isFirst && top.length === 2));
  const want = expected();
  assertClose(
    rest.map(({ logprob }) => logprob),
    want.logprobs,
  );
  assertClose(
    rest.map(({ top }) => top[0]?.logprob),
    want.likeliest,
  );
  const kinds = events.map(({ type }) => type).filter((type, i, all) => type !== all[i - 1]);
  assert.deepEqual(kinds, ["prompt", "token", "end", "done"]);
});

test("without an answer the prompt may fill the context, and is told alone", () => {
  const long = Array.from({ length: 640 }, (_, i) => promptIds[i % 600] as number);
  const { tokens, events } = told({ promptIds: long, maxNewTokens: 0, promptLogprobs: 0, n: 2 });
  assert.equal(tokens.length, 640);
  const ends = events.filter((event): event is EndEvent => event.type === "end");
  assert.deepEqual(
    ends.map(({ answer, reason, text }) => [answer, reason, text]),
    [
      [0, "length", ""],
      [1, "length", ""],
    ],
  );
  assert.deepEqual(events.at(-1), { type: "done", promptTokens: 640, cachedTokens: 0, completionTokens: 0 });
  assert.throws(
    () => told({ maxNewTokens: 0 }),
    /maxNewTokens: expected a whole number of at least 1, got 0/,
  );
  assert.throws(
    () => told({ promptLogprobs: -1 }),
    /promptLogprobs: expected a whole number of at least 0, got -1/,
  );
});

test("logits are made of a few tokens at a time: the log-probs are the same", () => {
  using _ = scope();
  const model = tinyModel("llama_untied");
  const { vocabSize, hiddenSize } = model.config;
  const rows = 11;
  const values = Float32Array.from({ length: rows * hiddenSize }, (__, i) => Math.sin(i));
  const hidden = tensor(values, [rows, hiddenSize]);
  const ids = Array.from({ length: rows - 1 }, (__, i) => i);
  const [whole, parts] = noGrad(() =>
    [rows, 3].map((atOnce) =>
      followingLogprobs(model, hidden, ids, { alternatives: 2, atOnce: atOnce * vocabSize }),
    ),
  );
  assert.deepEqual(
    parts?.map(({ id, top }) => [id, top.map((one) => one.id)]),
    whole?.map(({ id, top }) => [id, top.map((one) => one.id)]),
  );
  assertClose(parts?.map(({ logprob }) => logprob) ?? [], whole?.map(({ logprob }) => logprob ?? 0) ?? []);
});
