/** The longest text that the engine writes: the model's context, stretched where its config scales positions. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { withoutLeaks } from "../../test/support/close.ts";
import { generateRequest } from "../../test/support/generate-request.ts";
import { tinyModel } from "../../test/support/tiny-models.ts";
import { Engine } from "./engine.ts";
import type { GenerateEvent } from "./request.ts";

for (const name of ["llama_tied", "llama_untied"] as const) {
  test(`${name}: a context that position scaling stretches is used to its end`, () => {
    const ropeScaling = { rope_type: "linear", factor: 4 };
    withoutLeaks(() => {
      const model = tinyModel(name, { max_position_embeddings: 20, rope_scaling: ropeScaling });
      using engine = new Engine({ model, tokenizer: null });
      const events: GenerateEvent[] = [];
      const ask = (tokens: number) => {
        const promptIds = Array.from({ length: tokens }, (_, i) => i % 32);
        const request = generateRequest({ promptIds, maxNewTokens: 100, stopIds: new Set() });
        engine.submit(`${tokens}`, request, (event) => events.push(event));
      };
      ask(30);
      while (engine.step());
      assert.equal(events.filter(({ type }) => type === "token").length, 50);
      assert.throws(() => ask(81), /the model's context ends at 80/);
    });
  });
}
