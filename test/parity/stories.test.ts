/** A real trained model: stories260K scores a known sentence as its reference implementation does. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { scoreBatch } from "../../src/forward/score-batch.ts";
import { loadModel } from "../../src/models/load.ts";
import { loadTokenizer } from "../../src/text/tokenizer.ts";
import { assertClose, withoutLeaks } from "../support/close.ts";
import { microBatch } from "../support/fixtures.ts";
import { requireShared, skipWithoutShared } from "../support/shared.ts";

test("stories260K: the sentence's negative log-likelihood", {
  skip: skipWithoutShared("models", "stories260K"),
}, () => {
  const dir = requireShared("models", "stories260K");
  const golden = JSON.parse(readFileSync(requireShared("models", "stories260K", "golden.json"), "utf8"));
  const ids = loadTokenizer(dir).encode(golden.sentence, { addSpecialTokens: true });
  assert.equal(ids.length, golden.n_tokens);
  withoutLeaks(() => {
    const example = {
      origin: { file: "golden.json", line: 1 },
      promptIds: ids.slice(0, 1),
      completions: [{ ids: ids.slice(1) }],
    };
    const numerics = { dtype: "float32", gradient_checkpointing: false, logits_chunk_size: null } as const;
    const [score] = scoreBatch(loadModel(dir), microBatch([example]), numerics);
    assertClose(-(score?.sum ?? Number.NaN), golden.nll, { atol: 1e-3 });
  });
});
