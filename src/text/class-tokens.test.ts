import assert from "node:assert/strict";
import test from "node:test";

import { withToyTokenizer } from "../../test/support/toy-tokenizer.ts";
import { refuseClassTokens } from "./class-tokens.ts";
import { loadTokenizer } from "./tokenizer.ts";

test("a template that reads a token which transformers' class has and the config does not name is refused", async () => {
  const config = { tokenizer_class: "LlamaTokenizerFast", bos_token: undefined };
  const chatTemplate = "{{ bos_token }}{{ messages[0].content }}";
  const loaded = async (more: object, template = chatTemplate): Promise<unknown> =>
    withToyTokenizer(
      { chatTemplate: template, config: { ...config, ...more } },
      (directory) => loadTokenizer(directory).bosToken,
    );
  await assert.rejects(loaded({}), {
    message:
      /tokenizer_config\.json: expected bos_token, .* LlamaTokenizerFast takes "<s>" then\. Add "bos_token": "<s>", or null for none\.$/,
  });
  assert.equal(await loaded({ bos_token: "<s>" }), "<s>");
  assert.equal(await loaded({ bos_token: null }), null);
  assert.equal(await loaded({ tokenizer_class: "PreTrainedTokenizerFast" }), null);
  assert.equal(await loaded({}, "{{ my_bos_token }}{{ messages[0].content }}"), null);
});

test("the tokens are those of transformers 5.23", () => {
  // AutoTokenizer.from_pretrained(...).special_tokens_map where neither file names bos_token and eos_token
  for (const [name, bos, eos] of [
    ["LlamaTokenizer", "<s>", "</s>"],
    ["GPT2TokenizerFast", "<|endoftext|>", "<|endoftext|>"],
    ["GPTNeoXTokenizer", "<|endoftext|>", "<|endoftext|>"],
    ["Qwen2TokenizerFast", null, "<|endoftext|>"],
    ["CohereTokenizerFast", "<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>"],
    ["GemmaTokenizer", "<bos>", "<eos>"],
  ] as const) {
    for (const [key, token] of [
      ["bos_token", bos],
      ["eos_token", eos],
    ] as const) {
      const check = (vocab: object): void => {
        const model = { type: "BPE", vocab };
        refuseClassTokens(
          { model },
          { tokenizer_class: name },
          { path: "c.json", templates: [`{{ ${key} }}`] },
        );
      };
      check({ other: 0 });
      if (token === null) check({ "<s>": 0, "<|endoftext|>": 1 });
      else assert.throws(() => check({ [token]: 0 }), { message: new RegExp(`"${key}": "`) }, name);
    }
  }
});
