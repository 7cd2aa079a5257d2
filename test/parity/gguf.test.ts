/**
 * GGUF files beside those of others: the file of SmolLM2 that llama.cpp's converter wrote, made again from a Hugging Face directory
 * with the numbers of that file; and gguf-py, which reads ours and quantises to the same bytes.
 */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { type TensorSource, writeSafetensors } from "../../src/formats/safetensors-write.ts";
import { decode } from "../../src/gguf/dequantise.ts";
import { type GgufFile, readGguf, readNumbers } from "../../src/gguf/read.ts";
import { blocks, type GgufType } from "../../src/gguf/types.ts";
import { amount } from "../support/campaign.ts";
import { fixtureWithTokenizer, ggufFamilies, ggufOf } from "../support/gguf-files.ts";
import { askGgufPython, skipWithoutGguf } from "../support/gguf-peers.ts";
import { requireShared, skipWithoutShared } from "../support/shared.ts";
import { temporaryDirectory } from "../support/tiny-models.ts";

const scratch = temporaryDirectory();
after(() => scratch[Symbol.dispose]());
const inScratch = (...parts: string[]): string => join(scratch.path, ...parts);

const oracle = ["models", "SmolLM2-135M-Instruct-Q4_1"];
const names: Readonly<Record<string, string>> = {
  attn_norm: "input_layernorm",
  ffn_norm: "post_attention_layernorm",
  attn_q: "self_attn.q_proj",
  attn_k: "self_attn.k_proj",
  attn_v: "self_attn.v_proj",
  attn_output: "self_attn.o_proj",
  ffn_gate: "mlp.gate_proj",
  ffn_up: "mlp.up_proj",
  ffn_down: "mlp.down_proj",
};
const width = 576;
const heads: Readonly<Record<string, number>> = { attn_q: 9, attn_k: 3 };

/** Rows 0, 2, 4, … of each head, then rows 1, 3, 5, …: how transformers has what llama.cpp interleaves. */
function halfSplit(rows: Float16Array, count: number): Float16Array {
  const out = new Float16Array(rows.length);
  const head = rows.length / width / count;
  for (let row = 0; row < rows.length / width; row++) {
    const [base, place] = [Math.floor(row / head) * head, row % head];
    const target = base + (place % 2) * (head / 2) + Math.floor(place / 2);
    out.set(rows.subarray(row * width, (row + 1) * width), target * width);
  }
  return out;
}

function numbersOf(file: GgufFile, name: string): Float16Array {
  const tensor = file.tensors.get(name);
  assert.ok(tensor !== undefined, name);
  return Float16Array.from(readNumbers(file, tensor));
}

/** The directory that llama.cpp's file was made from, its numbers dequantised and rounded to float16, with so many layers. */
function huggingFaceDirectory(file: GgufFile, dir: string, layers: number): void {
  mkdirSync(dir);
  const source = (name: string, from: string, swap?: number): TensorSource => ({
    name,
    dtype: "F16",
    shape: file.tensors.get(from)?.shape ?? [],
    bytes: () => {
      const numbers = numbersOf(file, from);
      return new Uint8Array((swap === undefined ? numbers : halfSplit(numbers, swap)).buffer);
    },
  });
  const tensors = [
    source("model.embed_tokens.weight", "token_embd.weight"),
    source("model.norm.weight", "output_norm.weight"),
  ];
  for (let layer = 0; layer < layers; layer++) {
    for (const [short, long] of Object.entries(names)) {
      const [name, from] = [`model.layers.${layer}.${long}.weight`, `blk.${layer}.${short}.weight`];
      tensors.push(source(name, from, heads[short]));
    }
  }
  writeSafetensors(join(dir, "model.safetensors"), tensors);
  const config = JSON.parse(readFileSync(join(requireShared(...oracle), "config.json"), "utf8")) as object;
  writeFileSync(join(dir, "config.json"), JSON.stringify({ ...config, num_hidden_layers: layers }));
  for (const name of ["tokenizer.json", "tokenizer_config.json"])
    cpSync(join(requireShared(...oracle), name), join(dir, name));
}

/** Keys of llama.cpp's file that tell what the directory does not, or another type. */
const ownKeys =
  /^general\.(name|organization|finetune|basename|size_label|license|languages|file_type)$|^llama\.block_count$/;

test("the file that llama.cpp's converter wrote, from its own numbers", {
  skip: skipWithoutShared(...oracle),
}, async () => {
  const theirs = readGguf(join(requireShared(...oracle), "SmolLM2-135M-Instruct.Q4_1.gguf"));
  const layers = amount(1, 30);
  huggingFaceDirectory(theirs, inScratch("smollm2"), layers);
  const ours = readGguf(await ggufOf(inScratch("smollm2"), scratch.path, "smollm2-f32"));
  for (const [key, value] of theirs.keys) {
    if (!ownKeys.test(key)) assert.deepEqual(ours.keys.get(key), value, key);
  }
  assert.equal(ours.keys.get("llama.block_count")?.value, layers);
  const wanted = [...theirs.tensors.keys()].filter(
    (name) => Number(/^blk\.(\d+)/.exec(name)?.[1] ?? 0) < layers,
  );
  assert.deepEqual([...ours.tensors.keys()].sort(), wanted.sort());
  for (const name of wanted) {
    const [got, want] = [numbersOf(ours, name), numbersOf(theirs, name)];
    assert.ok(Buffer.from(got.buffer).equals(Buffer.from(want.buffer)), name);
  }
});

const quantisePython = `
import json, sys
import numpy as np
from gguf import GGUFReader, quantize
result = []
for job in json.load(sys.stdin):
    exact = {t.name: t.data for t in GGUFReader(job["exact"]).tensors}
    reader = GGUFReader(job["file"])
    same = lambda t: np.array_equal(np.frombuffer(t.data.tobytes(), np.uint8), np.frombuffer(quantize(np.ascontiguousarray(exact[t.name]), t.tensor_type).tobytes(), np.uint8))
    result.append({"different": [t.name for t in reader.tensors if not same(t)], "types": sorted({t.tensor_type.name for t in reader.tensors}),
                   "keys": {k: f.contents() for k, f in reader.fields.items() if not k.startswith("tokenizer.") and not k.startswith("GGUF.")}})
print(json.dumps(result))
`;

interface Quantised {
  different: string[];
  types: string[];
  keys: Record<string, unknown>;
}

test("gguf-py reads every family, and quantises to the same bytes", { skip: skipWithoutGguf() }, async () => {
  const jobs: { exact: string; file: string }[] = [];
  for (const family of ggufFamilies) {
    const model = fixtureWithTokenizer(family, inScratch(`hf-${family}`));
    const exact = await ggufOf(model, scratch.path, `${family}-f32`);
    // what is done to blocks of numbers does not depend on the family
    const types =
      family === ggufFamilies[0] ? (["f16", "bf16", "q8_0", "q4_0"] as const) : (["q8_0"] as const);
    for (const type of types) {
      jobs.push({ exact, file: await ggufOf(model, scratch.path, `${family}-${type}`, { type }) });
    }
  }
  const results = askGgufPython<Quantised[]>(quantisePython, jobs);
  for (const [i, { different, keys }] of results.entries()) {
    assert.deepEqual(different, [], jobs[i]?.file);
    assert.equal(keys["general.quantization_version"], 2);
  }
  assert.deepEqual(
    results.slice(0, 4).map(({ types }) => types),
    [
      ["F16", "F32"],
      ["BF16", "F32"],
      ["F32", "Q8_0"],
      ["F32", "Q4_0", "Q8_0"],
    ],
  );
  const keysOf = (family: string) =>
    results[jobs.findIndex(({ file }) => file.includes(`${family}-`))]?.keys ?? {};
  // where the window of 128 ends
  assert.equal(keysOf("mistral")["llama.context_length"], 128);
  assert.equal(keysOf("phi3")["phi3.context_length"], 128);
  const gemma = keysOf("gemma3_text");
  assert.equal(gemma["gemma3.attention.sliding_window"], 16);
  assert.equal(gemma["gemma3.attention.sliding_window_pattern"], 2);
  assert.equal(gemma["gemma3.rope.scaling.factor"], 8);
});

const dequantisePython = `
import base64, json, sys
import numpy as np
from gguf import GGMLQuantizationType as Types, dequantize
result = []
for job in json.load(sys.stdin):
    raw = np.frombuffer(base64.b64decode(job["raw"]), np.uint8)
    rows = raw.reshape(-1, job["bytes"])
    type = Types[job["type"]]
    if type.name == "F32": rows = rows.view(np.float32)
    if type.name == "F16": rows = rows.view(np.float16)
    numbers = dequantize(np.ascontiguousarray(rows), type).astype(np.float32)
    result.append(base64.b64encode(numbers.tobytes()).decode())
print(json.dumps(result))
`;

/** Blocks of random bytes whose float16 scales (at `scales`) are small numbers. */
function randomBlocks(type: GgufType, count: number, scales: readonly number[]): Uint8Array {
  const size = blocks[type].bytes;
  const raw = new Uint8Array(count * size);
  let state = 1;
  for (let i = 0; i < raw.length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    raw[i] = state >>> 24;
  }
  const view = new DataView(raw.buffer);
  for (let block = 0; block < count; block++) {
    for (const [i, at] of scales.entries()) view.setFloat16(block * size + at, (block + 1 + i) / 64, true);
  }
  return raw;
}

test("blocks of every type that is read are what gguf-py makes of them", { skip: skipWithoutGguf() }, () => {
  const scales: Readonly<Record<GgufType, readonly number[]>> = {
    f32: [],
    f16: [0],
    bf16: [],
    q4_0: [0],
    q4_1: [0, 2],
    q5_0: [0],
    q8_0: [0],
    q4_k: [0, 2],
    q5_k: [0, 2],
    q6_k: [208],
  };
  const types = Object.keys(scales) as GgufType[];
  const raw = types.map((type) => randomBlocks(type, 8, scales[type]));
  const jobs = types.map((type, i) => ({
    type: type.toUpperCase(),
    bytes: blocks[type].bytes,
    raw: Buffer.from(raw[i] ?? []).toString("base64"),
  }));
  const want = askGgufPython<string[]>(dequantisePython, jobs);
  for (const [i, type] of types.entries()) {
    const got = decode(type, raw[i] ?? new Uint8Array());
    const numbers = new Float32Array(new Uint8Array(Buffer.from(want[i] ?? "", "base64")).buffer);
    assert.deepEqual(got, numbers, type);
  }
});
