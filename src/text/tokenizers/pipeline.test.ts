/** The whole of a tokenizer.json against the Rust library: tokens and texts for every kind of part, and what is refused. */
import assert from "node:assert/strict";
import test from "node:test";

import { golden } from "../../../test/support/goldens.ts";
import type { JsonObject } from "../tokenizer-files.ts";
import { TokenizerPipeline } from "../tokenizer-library.ts";

/** A tokenizer.json but for its model, and what Python's tokenizers 0.23.3 makes of the strings with it. */
interface Variant {
  model: string;
  parts: JsonObject;
  ids: (number[] | null)[];
  special: number[][] | null;
  texts: (string | null)[] | null;
}

interface Goldens {
  strings: string[];
  added: JsonObject[];
  models: Record<string, JsonObject>;
  variants: Variant[];
}

const { strings, added, models, variants } = golden<Goldens>("tokenizers");

function fileOf(model: string, parts: JsonObject): JsonObject {
  const size = vocabularySize(model);
  return {
    ...parts,
    model: models[model],
    added_tokens: added.map((token, i) => ({ special: false, ...token, id: size + i })),
  };
}

function vocabularySize(model: string): number {
  return Object.keys(models[model]?.["vocab"] as object).length;
}

function nameOf({ model, parts }: Variant): string {
  const types = Object.values(parts).map((part) =>
    JSON.stringify(part ?? "-", (key, value) => (key === "special_tokens" ? undefined : value)),
  );
  return `${model}: ${types.join(" ").slice(0, 300)}`;
}

function encode(pipeline: TokenizerPipeline, text: string): number[] | null {
  try {
    return pipeline.encode(text, false);
  } catch {
    return null;
  }
}

test("tokenizer.json of every kind of part gives the tokens of the Rust library", () => {
  for (const variant of variants) {
    const pipeline = new TokenizerPipeline(fileOf(variant.model, variant.parts));
    for (const [i, text] of strings.entries()) {
      const where = `${nameOf(variant)}\n${JSON.stringify(text)}`;
      assert.deepEqual(encode(pipeline, text), variant.ids[i], where);
      if (variant.special !== null) assert.deepEqual(pipeline.encode(text, true), variant.special[i], where);
      const ids = variant.ids[i];
      if (variant.texts !== null && ids != null) assert.equal(pipeline.decode(ids), variant.texts[i], where);
    }
  }
});

test("what is not available is refused by its name", () => {
  const parts = { normalizer: null, pre_tokenizer: null, decoder: null, post_processor: null };
  const { bytes } = models;
  const refusals: [JsonObject, RegExp][] = [
    [
      { normalizer: { type: "Precompiled", precompiled_charsmap: "" } },
      /the normalizer "Precompiled" is not supported/,
    ],
    [{ normalizer: { type: "Nmt" } }, /the normalizer "Nmt" is not supported/],
    [{ pre_tokenizer: { type: "UnicodeScripts" } }, /the pre-tokenizer "UnicodeScripts" is not supported/],
    [{ decoder: { type: "CTC" } }, /the decoder "CTC" is not supported/],
    [{ post_processor: { type: "Other" } }, /the post-processor "Other" is not supported/],
    [{ model: { ...bytes, end_of_word_suffix: "</w>" } }, /the member end_of_word_suffix of a BPE model/],
    [
      { model: { ...bytes, dropout: 0.1 } },
      /dropout of a BPE model is not supported: it makes tokens random/,
    ],
    [
      { added_tokens: [{ id: 999, content: "<x>" }] },
      /the added token "<x>" has the id 999, and the tokenizers library gives it 300/,
    ],
  ];
  for (const [change, message] of refusals) {
    assert.throws(() => new TokenizerPipeline({ ...fileOf("bytes", parts), ...change }), { message });
  }
});
