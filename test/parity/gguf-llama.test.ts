/**
 * GGUF files in llama.cpp itself: the same tokens for texts and chats, the same greedy answers, and an end at the end of a turn.
 * One process of llama.cpp does all models of a test; without one (`npm run peers -- --gguf`) the tests are skipped.
 */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { at } from "../../src/base/at.ts";
import { readGguf } from "../../src/gguf/read.ts";
import type { CausalLM } from "../../src/models/causal-lm.ts";
import { loadModel } from "../../src/models/load.ts";
import { writeAdapter } from "../../src/models/save.ts";
import { exportGguf } from "../../src/recipes/export-gguf.ts";
import { openText } from "../../src/text/open-text.ts";
import { loadTokenizer } from "../../src/text/tokenizer.ts";
import { readTokenizerFiles } from "../../src/text/tokenizer-files.ts";
import { scope } from "../../src/torch/index.ts";
import { adapterParameters } from "../../src/train/parameters.ts";
import { amount } from "../support/campaign.ts";
import { type FixtureFamily, fixtureExamples, fixturePath } from "../support/fixture-files.ts";
import { fixtureModel } from "../support/fixtures.ts";
import {
  fixtureWithHead,
  fixtureWithTokenizer,
  ggufFamilies,
  ggufOf,
  modelWithTokenizer,
} from "../support/gguf-files.ts";
import {
  askLlama,
  type LlamaAnswer,
  skipWithoutLlama,
  skipWithoutQuantizer,
  writeQuantizer,
} from "../support/gguf-peers.ts";
import { makeChainModel } from "../support/sentencepiece.ts";
import { requireShared, skipWithoutShared } from "../support/shared.ts";
import { adaptPatterned, logitsOf, temporaryDirectory, tinyAdapterConfig } from "../support/tiny-models.ts";

const skip = skipWithoutLlama();
const scratch = skip === false ? temporaryDirectory() : null;
after(() => scratch?.[Symbol.dispose]());
const inScratch = (...parts: string[]): string => join(scratch?.path ?? "", ...parts);

const texts = [
  "Hello, world!",
  "It's 2024: they'll pay $1,234.56 (or 12345678)… won't they? I'M sure.",
  "  two  spaces,\ttabs\t\tand\n\n\nlines \n  of code:\n    return x[0] + 1;\n",
  "Größe, naïve café, Привет мир, 你好世界, こんにちは, مرحبا, 한국어",
  "emoji 👩‍👩‍👧‍👦 🇩🇪 \u{1F680}, a\u0301 combining, zero\u200Bwidth",
  "<|im_start|>user\nWhat is 2+2?<|im_end|>\n<|im_start|>assistant\n",
  " ",
  "a",
];

const tools = [
  {
    type: "function",
    function: {
      name: "weather",
      description: "The weather of a city",
      parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
    },
  },
];
const user = (content: string) => ({ role: "user", content }) as const;
const chats = [
  { prompt: [user("Who are you?")], tools: null },
  {
    prompt: [
      { role: "system", content: "Be brief." },
      user("Hi"),
      { role: "assistant", content: "Hello!" },
      user("2+2?"),
    ],
    tools: null,
  },
  { prompt: [user("Weather in Köln?")], tools },
] as const;

/** Texts with the ids that the tokenizer gives them: plain ones, and chats through its template. */
async function encoded(model: string): Promise<{ text: string; ids: number[] }[]> {
  const tokenizer = loadTokenizer(model);
  await using text = await openText(model);
  // llama.cpp composes no characters
  const composes = JSON.stringify(readTokenizerFiles(model).tokenizer["normalizer"] ?? null).includes("NFC");
  const all = texts.map((each) => (composes ? each.normalize("NFC") : each));
  if (text.encoder.hasChatTemplate) {
    for (const chat of chats) {
      const { prompt, tools: given } = chat;
      if (given !== null && !(tokenizer.chatTemplates.default ?? "").includes("tools")) continue;
      const row = {
        kind: "chat",
        where: "chat",
        prompt: [...prompt],
        tools: given,
        completions: [],
      } as const;
      all.push((await text.encoder.promptText(row)).text);
    }
  }
  return all.map((each) => ({ text: each, ids: tokenizer.encode(each, { addSpecialTokens: false }) }));
}

test("the same tokens for texts and chats", { skip: skip || skipWithoutShared("tokenizers") }, async () => {
  const models: [string, string][] = [
    ["fixture", fixturePath("llama_tied", "model")],
    ["stories260K", requireShared("models", "stories260K")],
    ["smollm2", modelWithTokenizer(inScratch("smollm2"), requireShared("tokenizers", "smollm2"), 49_152)],
  ];
  if (amount(0, 1) === 1) {
    models.push([
      "qwen3",
      modelWithTokenizer(inScratch("qwen3"), requireShared("tokenizers", "qwen3"), 151_936),
    ]);
  }
  const jobs = [];
  const wanted: { name: string; rows: Awaited<ReturnType<typeof encoded>> }[] = [];
  for (const [name, dir] of models) {
    const rows = await encoded(dir);
    wanted.push({ name, rows });
    jobs.push({
      model: await ggufOf(dir, inScratch(), `tokens-${name}`),
      texts: rows.map(({ text }) => text),
    });
  }
  for (const [i, { tokens }] of askLlama(jobs).entries()) {
    const { name, rows } = wanted[i] ?? { name: "", rows: [] };
    for (const [t, { text, ids }] of rows.entries())
      assert.deepEqual(tokens[t], ids, `${name}: ${JSON.stringify(text)}`);
  }
});

const ends = [0, 2];

/** The most likely continuation, token by token, until an end, and the log-probs of the first token. */
function greedy(
  model: CausalLM,
  prompt: readonly number[],
  most: number,
): { tokens: number[]; first: number[] } {
  const { vocabSize } = model.config;
  const tokens: number[] = [];
  let first: number[] = [];
  while (tokens.length < most) {
    const logits = logitsOf(model, [...prompt, ...tokens]).slice(-vocabSize);
    if (first.length === 0) first = logProbs(logits);
    const best = logits.indexOf(Math.max(...logits));
    if (ends.includes(best)) break;
    tokens.push(best);
  }
  return { tokens, first };
}

function logProbs(logits: readonly number[]): number[] {
  const top = Math.max(...logits);
  const total = Math.log(logits.reduce((sum, x) => sum + Math.exp(x - top), 0));
  return logits.map((x) => x - top - total);
}

/** Compares llama.cpp's answers to prompts with the model's. */
function assertAnswers(
  what: string,
  answer: LlamaAnswer | undefined,
  model: CausalLM,
  { prompts, most }: { prompts: readonly (readonly number[])[]; most: number },
): void {
  // ggml looks GELU up in a table of float16
  const allowed = model.config.design.activation === "gelu_tanh" ? 5e-4 : 1e-4;
  for (const [p, prompt] of prompts.entries()) {
    const want = greedy(model, prompt, most);
    assert.deepEqual(answer?.greedy[p], want.tokens, `${what}, prompt ${p}`);
    for (const [id, probability] of answer?.first[p] ?? []) {
      const difference = Math.abs(probability - Math.exp(want.first[id] ?? 0));
      assert.ok(difference < allowed, `${what}, prompt ${p}, token ${id}: off by ${difference}`);
    }
  }
}

/** Two prompts for a fixture, and how far its answers are compared. */
function promptsFor(family: FixtureFamily): { prompts: number[][]; most: number } {
  return {
    prompts: fixtureExamples(family)
      .map(({ promptIds }) => promptIds)
      .slice(1, 3),
    most: 64,
  };
}

test("greedy answers of 64 tokens and the next token's probabilities, in f32", { skip }, async () => {
  const models = ggufFamilies.map((family) => ({
    ...{ family, name: String(family) },
    dir: fixtureWithTokenizer(family, inScratch(`hf-${family}`)),
  }));
  // a head that the file has to have, where the model has no separate one
  const tied = fixtureWithHead("olmo2", inScratch("hf-olmo2-tied"), true);
  models.push({ family: "olmo2", name: "olmo2-tied", dir: tied });
  const jobs = [];
  for (const { family, name, dir } of models) {
    jobs.push({ model: await ggufOf(dir, inScratch(), name), ...promptsFor(family) });
  }
  for (const [i, answer] of askLlama(jobs).entries()) {
    using _ = scope();
    const { family, name, dir } = at(models, i);
    assertAnswers(name, answer, loadModel(dir), promptsFor(family));
  }
});

test("an adapter's file applied to the base model's, with another scale for some modules", {
  skip,
}, async () => {
  const names = ["llama_untied", "gemma3_text"] as const;
  const config = tinyAdapterConfig({
    targetModules: ["q_proj", "k_proj", "down_proj"],
    useRslora: true,
    rankPattern: { k_proj: 2 },
  });
  const jobs = [];
  for (const name of names) {
    using _ = scope();
    const model = fixtureModel(name);
    adaptPatterned(model, config);
    const adapter = inScratch(`adapter-${name}`);
    mkdirSync(adapter);
    writeAdapter(adapter, config, adapterParameters(model).tensors);
    const lora = await ggufOf(fixturePath(name, "model"), inScratch(), `lora-${name}`, {
      adapter,
      lora: true,
    });
    jobs.push({ model: inScratch(`${name}.gguf`), lora, ...promptsFor(name), most: 24 });
  }
  for (const [i, answer] of askLlama(jobs).entries()) {
    using _ = scope();
    const name = names[i] ?? "llama_untied";
    const model = loadModel(fixturePath(name, "model"), { adapter: inScratch(`adapter-${name}`) });
    assertAnswers(`${name} with its adapter`, answer, model, { ...promptsFor(name), most: 24 });
  }
});

test("Q4_K_M by llama-quantize: its blocks are read, what they cost is measured", {
  skip: skipWithoutQuantizer(),
}, async () => {
  const sizes = { hidden_size: 256, intermediate_size: 512, num_attention_heads: 4, head_dim: 64 };
  const dir = modelWithTokenizer(inScratch("wide"), fixturePath("llama_tied", "model"), 512, sizes);
  const quantizer = inScratch("llama-quantize");
  writeQuantizer(quantizer);
  const output = inScratch("wide-q4_k_m.gguf");
  const given = { source: dir, output, type: "q4_k_m", device: "cpu" } as const;
  const result = await exportGguf({ ...given, quantizer });
  const types = new Set([...readGguf(output).tensors.values()].map(({ type }) => type));
  assert.deepEqual([...types].sort(), ["f32", "q4_k", "q6_k"]);
  assert.ok(result.meanDifference > 1e-4 && result.meanDifference < 0.5, String(result.meanDifference));
  const [answer] = askLlama([{ model: output, prompts: [[1, 5, 9]], most: 4 }]);
  assert.equal(answer?.greedy.length, 1);
  writeFileSync(quantizer, "#!/bin/sh\necho no such type >&2\nexit 3\n");
  await assert.rejects(
    exportGguf({ ...given, quantizer, replace: true }),
    /ended with status 3.*no such type/s,
  );
  assert.deepEqual(new Set([...readGguf(output).tensors.values()].map(({ type }) => type)), types);
  await assert.rejects(
    exportGguf({ ...given, quantizer: inScratch("absent"), replace: true }),
    /none at .*absent.*--llama-quantize PATH/,
  );
});

/** The fixtures' tokenizer with another end of turn, which llama.cpp does not know by its text, beside the end of texts. */
function writeOwnEnd(dir: string): void {
  cpSync(fixturePath("llama_tied", "model"), dir, {
    recursive: true,
    filter: (path) => !/safetensors|config\.json$|jinja|special_tokens/.test(path),
  });
  const renamed = (file: string): string =>
    readFileSync(fixturePath("llama_tied", "model", file), "utf8").replaceAll("<|im_end|>", "<turn-ends>");
  writeFileSync(join(dir, "tokenizer.json"), renamed("tokenizer.json"));
  const config = { ...JSON.parse(renamed("tokenizer_config.json")), eos_token: "<|endoftext|>" };
  writeFileSync(join(dir, "tokenizer_config.json"), JSON.stringify(config));
}

test("an answer ends at the end of its turn, which is not the end of texts, in 100 of 100 samples", {
  skip,
}, async () => {
  const chain = [50, 60, 70, 80, 2];
  const dir = makeChainModel(inScratch("chain"), chain, 512, { write: writeOwnEnd, size: 512 });
  for (const type of ["f32", "q8_0"] as const) {
    const model = await ggufOf(dir, inScratch(), `chain-${type}`, { type });
    const [answer] = askLlama([{ model, prompts: [[50]], most: 20, samples: 100 }]);
    assert.deepEqual(answer?.greedy, [[60, 70, 80]]);
    assert.deepEqual(answer?.ended, [true]);
    assert.equal(answer?.sampled.filter(Boolean).length, 100);
  }
});
