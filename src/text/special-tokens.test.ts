/** Special tokens of a tokenizer's files, as AutoTokenizer of transformers 5.23.0 names them (`special_tokens_map`). */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";

import { FormatError } from "../base/errors.ts";
import { createRowEncoder } from "./encode.ts";
import { loadTokenizer, type Tokenizer } from "./tokenizer.ts";

const words = "<unk> <s> </s> <pad> <sep> <cls> <mask> a b <img> <x> <e2> <b2>".split(" ");
const json = {
  added_tokens: [],
  normalizer: null,
  pre_tokenizer: { type: "WhitespaceSplit" },
  post_processor: null,
  decoder: null,
  model: {
    type: "WordLevel",
    vocab: Object.fromEntries(words.map((word, id) => [word, id])),
    unk_token: "<unk>",
  },
};

interface Files {
  /** added_tokens of tokenizer.json. */
  listed?: readonly object[];
  config?: object;
  map?: object;
  added?: object;
}

function load<T>({ listed = [], config = {}, map, added }: Files, use: (tokenizer: Tokenizer) => T): T {
  const directory = mkdtempSync(join(tmpdir(), "preftune-special-"));
  const write = (name: string, value: object | undefined) => {
    if (value !== undefined) writeFileSync(join(directory, name), JSON.stringify(value));
  };
  try {
    write("tokenizer.json", { ...json, added_tokens: listed });
    write("tokenizer_config.json", { eos_token: "</s>", ...config });
    write("special_tokens_map.json", map);
    write("added_tokens.json", added);
    return use(loadTokenizer(directory));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const decoder = { added_tokens_decoder: { 1: { content: "<s>", special: true } } };
const cases: [string, Files, Record<string, string>][] = [
  [
    "all seven names",
    { config: { bos_token: "<s>", sep_token: "<sep>", cls_token: "<cls>", mask_token: "<mask>" } },
    { bos_token: "<s>", eos_token: "</s>", sep_token: "<sep>", cls_token: "<cls>", mask_token: "<mask>" },
  ],
  [
    "a tokenizer's own names, of texts and added tokens, not of other objects",
    {
      config: {
        image_token: "<img>",
        boi_token: { content: "<x>" },
        eoi_token: { __type: "AddedToken", content: "<x>" },
        add_bos_token: false,
        null_token: null,
      },
    },
    { eos_token: "</s>", eoi_token: "<x>", image_token: "<img>" },
  ],
  [
    "names in extra_special_tokens, which overrule those beside it",
    { config: { image_token: "<x>", extra_special_tokens: { image_token: "<img>", foo: "<x>" } } },
    { eos_token: "</s>", image_token: "<img>", foo: "<x>" },
  ],
  [
    "names in additional_special_tokens",
    { config: { additional_special_tokens: { image_token: "<img>" } } },
    { eos_token: "</s>", image_token: "<img>" },
  ],
  [
    "names in model_specific_special_tokens, where there are no others",
    { config: { model_specific_special_tokens: { image_token: "<img>" } } },
    { eos_token: "</s>", image_token: "<img>" },
  ],
  [
    "and where there are others",
    { config: { video_token: "<x>", model_specific_special_tokens: { image_token: "<img>" } } },
    { eos_token: "</s>", video_token: "<x>" },
  ],
  [
    "special_tokens_map.json overrules a config without added_tokens_decoder, null too",
    {
      config: { bos_token: null, pad_token: "<pad>" },
      map: { eos_token: "<e2>", bos_token: "<b2>", pad_token: { content: "<x>" }, cls_token: "<cls>" },
    },
    { bos_token: "<b2>", eos_token: "<e2>", pad_token: "<x>", cls_token: "<cls>" },
  ],
  ["a null of the map takes the token away", { map: { eos_token: null } }, {}],
  [
    "the map is not read beside added_tokens_decoder",
    { config: { bos_token: null, ...decoder }, map: { eos_token: "<e2>", bos_token: "<b2>" } },
    { eos_token: "</s>" },
  ],
  [
    "nor beside an empty one",
    { config: { added_tokens_decoder: {} }, map: { eos_token: "<e2>" } },
    { eos_token: "</s>" },
  ],
  [
    "the tokenizer's own names of the config stay",
    {
      config: { image_token: "<x>" },
      map: { image_token: "<img>", extra_special_tokens: { foo: "<x>" } },
    },
    { eos_token: "</s>", image_token: "<x>", foo: "<x>" },
  ],
];
for (const [name, files, expected] of cases) {
  test(name, () => {
    load(files, ({ specialTokens }) => assert.deepEqual({ ...specialTokens }, expected));
  });
}

test("tokens with a name are one token in a text and special", () => {
  load({ config: { image_token: "<img>" } }, (tokenizer) => {
    const ids = tokenizer.encode("a<img>b", { addSpecialTokens: false });
    assert.deepEqual(ids, [7, 9, 8]);
    assert.equal(tokenizer.isSpecial(9), true);
  });
});

test("tokens of added_tokens.json are added beside a config without added_tokens_decoder", () => {
  const encode = (files: Files) =>
    load(files, (tokenizer) => tokenizer.encode("a <x> <new>", { addSpecialTokens: false }));
  assert.deepEqual(encode({ added: { "<new>": 13 } }), [7, 10, 13]);
  assert.deepEqual(encode({ config: decoder, added: { "<new>": 13 } }), [7, 10, 0]);
  const isSpecial = (files: Files) => load(files, (tokenizer) => tokenizer.isSpecial(13));
  assert.equal(isSpecial({ added: { "<new>": 13 } }), false);
  assert.equal(isSpecial({ map: { cls_token: "<new>" }, added: { "<new>": 13 } }), true);
});

const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false };
const token = (id: number, content: string, special: boolean) => ({ id, content, ...flags, special });
const entry = (content: string, special: boolean) => ({ content, ...flags, special });
const object = (content: string) => ({ __type: "AddedToken", content, ...flags });
/** Decoded with `skip_special_tokens`, of "a <x> b <img>". */
const skipped: [string, Files, string][] = [
  [
    "an added token in extra_special_tokens keeps the flag of its file",
    { listed: [token(10, "<x>", false)], config: { extra_special_tokens: ["<x>", "<img>"] } },
    "a <x> b",
  ],
  [
    "one that a file has as special stays so",
    {
      listed: [token(10, "<x>", true)],
      config: { added_tokens_decoder: { 10: entry("<x>", false) } },
    },
    "a b <img>",
  ],
  [
    "one that added_tokens_decoder alone has as special is",
    { listed: [token(10, "<x>", false)], config: { added_tokens_decoder: { 10: entry("<x>", true) } } },
    "a b <img>",
  ],
  [
    "one with a name is where added_tokens_decoder has it",
    {
      listed: [token(10, "<x>", false)],
      config: { mask_token: "<x>", added_tokens_decoder: { 10: entry("<x>", false) } },
    },
    "a b <img>",
  ],
  [
    "and where there is no added_tokens_decoder",
    { listed: [token(10, "<x>", false)], config: { mask_token: "<x>" } },
    "a b <img>",
  ],
  [
    "not where added_tokens_decoder lacks it",
    { listed: [token(10, "<x>", false)], config: { mask_token: "<x>", added_tokens_decoder: {} } },
    "a <x> b <img>",
  ],
  [
    "an object of extra_special_tokens that does not say so is a plain added token",
    { config: { extra_special_tokens: [object("<x>"), "<img>"] } },
    "a <x> b",
  ],
  [
    "extra_special_tokens of special_tokens_map.json are added to those of the config, objects special",
    {
      config: { extra_special_tokens: ["<img>"] },
      map: { extra_special_tokens: [{ content: "<x>", ...flags }] },
    },
    "a b",
  ],
];
for (const [name, files, expected] of skipped) {
  test(`special among the added tokens: ${name}`, () => {
    load(files, (tokenizer) => {
      const text = tokenizer.decode([7, 10, 8, 9], { skipSpecialTokens: true });
      assert.equal(text, expected);
    });
  });
}

test("split_special_tokens, which splits those of a template too, is refused", () => {
  load({ config: { split_special_tokens: false } }, () => undefined);
  assert.throws(
    () => load({ config: { split_special_tokens: true } }, () => undefined),
    (error) =>
      error instanceof FormatError &&
      /tokenizer_config\.json: expected .* got split_special_tokens: true.*Set it to false/.test(
        error.message,
      ),
  );
});

test("a template reads them, and what they say is part of the hash of a row's text", async () => {
  const chatTemplate =
    "{{ cls_token }}{% for m in messages %} {{ image_token }} {{ m.content }} {{ eos_token }}{% endfor %}";
  const encoded = (config: object) =>
    load({ config: { chat_template: chatTemplate, cls_token: "<cls>", ...config } }, async (tokenizer) => {
      await using encoder = createRowEncoder(tokenizer);
      const messages = [
        { role: "user" as const, content: "b" },
        { role: "assistant" as const, content: "a" },
      ];
      const row = { kind: "conversation" as const, where: "1", messages };
      const [outcome] = await encoder.encode([row]);
      assert.ok(outcome !== undefined && "row" in outcome, String(Object(outcome).error));
      const { promptIds, completions } = outcome.row;
      return { ids: [...promptIds, ...(completions[0]?.ids ?? [])], hash: encoder.fingerprint() };
    });
  const one = await encoded({ image_token: "<img>" });
  const other = await encoded({ image_token: "<x>" });
  assert.deepEqual(one.ids, [5, 9, 8, 2, 9, 7, 2]);
  assert.deepEqual(other.ids, [5, 10, 8, 2, 10, 7, 2]);
  assert.notEqual(one.hash, other.hash);
});
