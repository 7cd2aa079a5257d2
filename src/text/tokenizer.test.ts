import assert from "node:assert/strict";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";

import fc from "fast-check";

import { requireShared, skipWithoutShared } from "../../test/support/shared.ts";
import { toyFiles, withToyTokenizer } from "../../test/support/toy-tokenizer.ts";
import { DataError, FormatError } from "../base/errors.ts";
import { loadTokenizer } from "./tokenizer.ts";
import { TokenizerPipeline } from "./tokenizer-library.ts";

const plain = { addSpecialTokens: false };
const special = { addSpecialTokens: true };
const keep = { skipSpecialTokens: false };

test("encodes, decodes and knows its special tokens", async () => {
  await withToyTokenizer({ prependBos: true }, (directory) => {
    const tokenizer = loadTokenizer(directory);
    const text = "all a\n\nß<|im_end|>";
    const ids = tokenizer.encode(text, special);
    assert.equal(ids[0], tokenizer.bosTokenId);
    assert.deepEqual(ids.slice(1), tokenizer.encode(text, plain));
    assert.equal(tokenizer.decode(ids, keep), `<s>${text}`);
    assert.equal(tokenizer.decode(ids, { skipSpecialTokens: true }), "all a\n\nß");
    assert.equal(tokenizer.decode([], keep), "");
    assert.equal(tokenizer.decode([99_999], keep), "");
    assert.equal(tokenizer.vocabSize, 5 + 256 + 3);
    assert.equal(tokenizer.tokenId("</s>"), 4);
    assert.equal(tokenizer.tokenId("nowhere"), null);
    assert.deepEqual(tokenizer.files, ["tokenizer.json", "tokenizer_config.json"]);
    assert.match(tokenizer.fingerprint, /^[0-9a-f]{64}$/);
  });
});

test("half of a surrogate pair is no text: refused, as Python's tokenizers do", async () => {
  await withToyTokenizer({}, (directory) => {
    const tokenizer = loadTokenizer(directory);
    for (const text of ["a\ud83d", "\ude00b", "\ude00\ud83d"]) {
      for (const addSpecialTokens of [true, false]) {
        assert.throws(
          () => tokenizer.encode(text, { addSpecialTokens }),
          (error) => error instanceof DataError && /half of a surrogate pair/.test(error.message),
        );
      }
    }
    assert.doesNotThrow(() => tokenizer.encode("a\ud83d\ude00", { addSpecialTokens: false }));
  });
});

test("merges as strings and as lists are the same tokenizer", async () => {
  const encode = (stringMerges: boolean) =>
    withToyTokenizer({ stringMerges }, (directory) => loadTokenizer(directory).encode("all a a", plain));
  assert.deepEqual(await encode(true), await encode(false));
});

test("the section cache gives what the library gives for the whole text", async () => {
  await withToyTokenizer({}, (directory) => {
    const tokenizer = loadTokenizer(directory);
    const pipeline = new TokenizerPipeline(toyFiles().tokenizer);
    const unit = fc.constantFrom(
      "<|im_start|>",
      "<|im_end|>",
      "<|im_",
      "end|>",
      " a",
      "ll",
      "\n",
      "é",
      "🙂",
      " ",
    );
    fc.assert(
      fc.property(fc.array(unit, { maxLength: 12 }), (parts) => {
        const text = parts.join("");
        assert.deepEqual(tokenizer.encode(text, plain), pipeline.encode(text, false));
        assert.equal(tokenizer.decode(tokenizer.encode(text, plain), keep), text);
      }),
    );
  });
});

test("chat templates are those of .jinja files, or, where there are none, of the config, as in transformers 5", async () => {
  const chatTemplate = [
    { name: "default", template: "config" },
    { name: "tool_use", template: "tools" },
  ];
  await withToyTokenizer({ chatTemplate }, (directory) => {
    assert.deepEqual(loadTokenizer(directory).chatTemplates, {
      default: "config",
      named: { tool_use: "tools" },
    });
    writeFileSync(join(directory, "chat_template.jinja"), "file");
    mkdirSync(join(directory, "additional_chat_templates"));
    writeFileSync(join(directory, "additional_chat_templates", "rag.jinja"), "rag");
    const tokenizer = loadTokenizer(directory);
    assert.deepEqual(tokenizer.chatTemplates, { default: "file", named: { rag: "rag" } });
    assert.deepEqual(tokenizer.files.slice(2), [
      "chat_template.jinja",
      "additional_chat_templates/rag.jinja",
    ]);
  });
  await withToyTokenizer({ chatTemplate: "one" }, (directory) => {
    assert.deepEqual(loadTokenizer(directory).chatTemplates, { default: "one", named: {} });
    mkdirSync(join(directory, "additional_chat_templates"));
    writeFileSync(join(directory, "additional_chat_templates", "tool_use.jinja"), "tools");
    assert.deepEqual(loadTokenizer(directory).chatTemplates, { default: null, named: { tool_use: "tools" } });
  });
  const byName = { default: "own", rag: "rag" };
  await withToyTokenizer({ config: { chat_template: byName } }, (directory) => {
    assert.deepEqual(loadTokenizer(directory).chatTemplates, { default: "own", named: { rag: "rag" } });
  });
});

test("special tokens come from objects and from special_tokens_map.json too", async () => {
  await withToyTokenizer({ config: { eos_token: { content: "</s>" }, bos_token: null } }, (directory) => {
    writeFileSync(
      join(directory, "special_tokens_map.json"),
      JSON.stringify({ bos_token: "<s>", pad_token: { content: "<|endoftext|>" } }),
    );
    const tokenizer = loadTokenizer(directory);
    assert.deepEqual([tokenizer.bosTokenId, tokenizer.eosTokenId, tokenizer.padTokenId], [3, 4, 0]);
  });
});

test("tokens that only the config lists are added", async () => {
  const config = { added_tokens_decoder: { 264: { content: "<|new|>", special: true } } };
  await withToyTokenizer({ config }, (directory) => {
    const tokenizer = loadTokenizer(directory);
    assert.deepEqual(tokenizer.encode("<|new|>", plain), [264]);
    assert.equal(tokenizer.vocabSize, 265);
  });
});

// What AutoTokenizer of transformers 5.23.0 makes of the same files.
test("special tokens of the config that are in the vocabulary are added, and its flags count", async () => {
  const { tokenizer: json } = toyFiles();
  const { vocab } = json["model"] as { vocab: Record<string, number> };
  const config = {
    eos_token: "</s>",
    added_tokens_decoder: { 1: { content: "<|im_start|>", lstrip: true, special: true } },
  };
  await withToyTokenizer({ config }, (directory) => {
    const path = join(directory, "tokenizer.json");
    const added = (json["added_tokens"] as { content: string }[]).filter((token) => token.content !== "</s>");
    writeFileSync(path, JSON.stringify({ ...json, added_tokens: added }));
    const tokenizer = loadTokenizer(directory);
    assert.deepEqual(tokenizer.encode("a</s>b", plain), [vocab["a"], 4, vocab["b"]]);
    assert.equal(tokenizer.isSpecial(4), true);
    assert.deepEqual(tokenizer.encode("a <|im_start|> b", plain), [vocab["a"], 1, vocab["Ġ"], vocab["b"]]);
  });
});

test("missing and broken files are named, with the remedy", async () => {
  const fails = (directory: string, pattern: RegExp): void => {
    assert.throws(
      () => loadTokenizer(directory),
      (error) => error instanceof FormatError && pattern.test(error.message),
    );
  };
  fails(
    "/nonexistent/model",
    /Expected a tokenizer\.json in \/nonexistent\/model, but the directory does not exist/,
  );
  await withToyTokenizer({}, (directory) => {
    writeFileSync(join(directory, "tokenizer.json"), '{"model": ');
    fails(directory, /Expected JSON in .*tokenizer\.json.*cut short/);
    writeFileSync(join(directory, "tokenizer.json"), "[]");
    fails(directory, /Expected a JSON object in .*tokenizer\.json/);
    writeFileSync(join(directory, "tokenizer.json"), '{"model": {"type": "Strange"}}');
    fails(directory, /the model Strange is not supported/);
    rmSync(join(directory, "tokenizer.json"));
    fails(directory, /but it is missing\. Point at a directory saved by save_pretrained/);
    writeFileSync(join(directory, "tokenizer.model"), "");
    fails(directory, /only a SentencePiece tokenizer\.model\. Convert it once with Python/);
  });
  await withToyTokenizer({}, (directory) => {
    rmSync(join(directory, "tokenizer_config.json"));
    fails(directory, /tokenizer_config\.json beside tokenizer\.json, but it is missing/);
  });
  await withToyTokenizer({ config: { eos_token: "<eot>" } }, (directory) => {
    fails(directory, /Expected eos_token "<eot>" .* in the vocabulary/);
  });
  await withToyTokenizer({ chatTemplate: [{ name: "x" }] }, (directory) => {
    fails(directory, /Expected chat_template in .* list of/);
  });
});

// Ids and texts that Python's tokenizers 0.23 gives: white space, digits and byte order marks beyond ASCII included.
const sample = "Grüße\u0085 \ufeff x٣٤ don't 123 漢字🙂<|im_end|>\n\n  y";
const golden: Record<string, { path: string[]; ids: number[]; bos: string }> = {
  qwen3: {
    path: ["tokenizers", "qwen3"],
    ids: [
      6464, 2391, 23455, 126, 227, 75780, 856, 149, 96, 149, 97, 1513, 944, 220, 16, 17, 18, 6567, 120, 95,
      18600, 145080, 151645, 271, 220, 379,
    ],
    bos: "",
  },
  smollm2: {
    path: ["tokenizers", "smollm2"],
    ids: [
      27302, 7170, 34878, 85, 141, 223, 216, 186, 136, 140, 1792, 164, 113, 164, 114, 1326, 982, 216, 33, 34,
      35, 17097, 137, 112, 36518, 10813, 38887, 2, 8866, 329,
    ],
    bos: "",
  },
  stories260K: {
    path: ["models", "stories260K"],
    ids: [
      1, 410, 463, 420, 198, 191, 198, 162, 411, 197, 136, 410, 242, 190, 194, 410, 444, 220, 166, 220, 167,
      279, 289, 439, 413, 410, 475, 479, 472, 410, 233, 191, 165, 232, 176, 154, 243, 162, 156, 133, 504, 506,
      288, 98, 367, 506, 505, 13, 13, 410, 348,
    ],
    bos: "<s> ",
  },
  fixture: {
    path: ["fixtures", "llama_tied", "model"],
    ids: [
      41, 84, 130, 123, 130, 256, 71, 129, 230, 223, 174, 122, 126, 223, 90, 152, 99, 152, 100, 270, 329, 9,
      86, 223, 19, 20, 21, 223, 165, 123, 98, 164, 258, 248, 175, 256, 250, 227, 2, 201, 201, 223, 223, 91,
    ],
    bos: "",
  },
};
for (const [name, { path, ids, bos }] of Object.entries(golden)) {
  test(`${name} encodes and decodes as Python does`, { skip: skipWithoutShared(...path) }, () => {
    const tokenizer = loadTokenizer(requireShared(...path));
    assert.deepEqual(tokenizer.encode(sample, special), ids);
    assert.equal(tokenizer.decode(ids, keep), bos + sample);
  });
}

test("byte-fallback decoding keeps a byte order mark", {
  skip: skipWithoutShared("models", "stories260K"),
}, () => {
  const tokenizer = loadTokenizer(requireShared("models", "stories260K"));
  const ids = tokenizer.encode("\uFEFFa", special);
  assert.equal(tokenizer.decode(ids, { skipSpecialTokens: true }), "\uFEFFa");
});

/** Ids of "a b" by AutoTokenizer of transformers 5.23, whose classes are of two minds about which file counts. */
const prefixes: [tokenizerClass: string, inJson: boolean, inConfig: boolean | undefined, ids: number[]][] = [
  ["PreTrainedTokenizerFast", true, false, [261, 37, 103]],
  ["PreTrainedTokenizerFast", false, true, [102, 37, 103]],
  ...["Qwen2Tokenizer", "GPT2TokenizerFast", "GPTNeoXTokenizer", "CodeGenTokenizer"].flatMap((name) => [
    [name, true, true, [261, 37, 103]] as (typeof prefixes)[0],
    [name, true, false, [102, 37, 103]] as (typeof prefixes)[0],
    [name, true, undefined, [102, 37, 103]] as (typeof prefixes)[0],
    [name, false, true, [261, 37, 103]] as (typeof prefixes)[0],
    [name, false, undefined, [102, 37, 103]] as (typeof prefixes)[0],
  ]),
];

test("add_prefix_space: transformers' ids, or the two files are refused where a class goes by the config", async () => {
  for (const [tokenizerClass, inJson, inConfig, ids] of prefixes) {
    const files = toyFiles({ config: { tokenizer_class: tokenizerClass, add_prefix_space: inConfig } });
    const json = JSON.stringify(files.tokenizer).replaceAll(
      '"add_prefix_space":false',
      `"add_prefix_space":${inJson}`,
    );
    await withToyTokenizer({ config: files.config }, (directory) => {
      writeFileSync(join(directory, "tokenizer.json"), json);
      const encoded = () => loadTokenizer(directory).encode("a b", plain);
      const isOfTwoMinds = tokenizerClass !== "PreTrainedTokenizerFast" && inJson !== (inConfig ?? false);
      if (isOfTwoMinds)
        assert.throws(encoded, /tokenizer_config\.json: expected add_prefix_space: (true|false), as/);
      else assert.deepEqual(encoded(), ids);
    });
  }
});
