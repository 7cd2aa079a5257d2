/** Tests of score-batch.ts: log-probs that are not finite although the weights are. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { withoutLeaks } from "../../test/support/close.ts";
import { tinyModel } from "../../test/support/tiny-models.ts";
import { packExamples } from "../data/packing.ts";
import { noGrad, ops, scope } from "../torch/index.ts";
import { requireFiniteScore, scoreBatch } from "./score-batch.ts";

const numerics = { dtype: "float32", gradient_checkpointing: false, logits_chunk_size: null } as const;
const example = {
  origin: { file: "rows.jsonl", line: 3 },
  promptIds: [1, 9, 30],
  completions: [{ ids: [4, 4, 2] }, { ids: [17, 2] }],
};

test("numbers that grow beyond float32 on the way: the row is named, and what to do", () => {
  withoutLeaks(() => {
    using _ = scope();
    const model = tinyModel("llama_untied");
    const batch = { packed: packExamples([example]), indices: [0] };
    for (const score of scoreBatch(model, batch, numerics))
      requireFiniteScore(score, "rows.jsonl:3", "first");
    noGrad(() => ops.mul_(ops.detach(model.model.norm.weight), 3e38));
    const [, rejected] = scoreBatch(model, batch, numerics);
    assert.ok(rejected);
    assert.throws(
      () => requireFiniteScore(rejected, "rows.jsonl:3", "rejected"),
      /^FormatError: rows\.jsonl:3: the log-prob of the rejected completion is NaN.*Compute in float32/,
    );
  });
});
