/** What is written is read again, and damaged files are refused before anything is made of them. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { readGguf, readNumbers, requireSame } from "./read.ts";
import { bool, float32, type GgufValue, string, strings, uint32 } from "./values.ts";
import { type GgufSource, writeGguf } from "./write.ts";

const dir = mkdtempSync(join(tmpdir(), "preftune-gguf-"));
after(() => rmSync(dir, { recursive: true }));

const keys = new Map<string, GgufValue>([
  ["general.architecture", string("llama")],
  ["a", uint32(7)],
  ["b", float32(0.1)],
  ["c", bool(true)],
  ["d", strings(["x", "", "ä"])],
  ["e", { type: "int32s", value: [-1, 2] }],
  ["f", { type: "float32s", value: [0.5] }],
  ["g", { type: "int32", value: -3 }],
  ["h", { type: "uint64", value: 2 ** 40 }],
  ["i", { type: "float64", value: 0.1 }],
  ["j", { type: "bools", value: [true, false] }],
  ["k", { type: "uint32s", value: [4_000_000_000] }],
]);

const numbers = Float32Array.of(1, 2, 3, 4, 5, 6);
const source = (name: string): GgufSource => ({
  name,
  type: "f32",
  shape: [2, 3],
  bytes: () => [new Uint8Array(numbers.buffer)],
});

test("keys of every type and tensors come back as they were written", () => {
  const path = join(dir, "1.gguf");
  const tensors = [source("one"), source("two")];
  writeGguf(path, keys, tensors);
  const file = readGguf(path);
  assert.deepEqual(file.keys, keys);
  requireSame(file, { keys, tensors });
  const two = file.tensors.get("two");
  assert.ok(two !== undefined);
  assert.deepEqual(readNumbers(file, two), numbers);
  assert.deepEqual(readNumbers(file, two, { from: 2, count: 2 }), Float32Array.of(3, 4));
  const others = new Map([...keys, ["a", uint32(8)] as const]);
  assert.throws(() => requireSame(file, { keys: others, tensors }), /"a" is not as it was written/);
  assert.throws(() => requireSame(file, { keys, tensors: [source("one")] }), /number of tensors/);
});

test("a source with other bytes than its shape leaves nothing", () => {
  const path = join(dir, "2.gguf");
  const short = { ...source("one"), bytes: () => [new Uint8Array(20)] };
  assert.throws(() => writeGguf(path, keys, [short]), /takes 24 bytes, its source gave 20/);
  assert.throws(() => readGguf(path), /no such file/);
  assert.throws(() => writeGguf(path, keys, [source("one"), source("one")]), /is taken/);
});

test("damaged files are refused", () => {
  const path = join(dir, "3.gguf");
  writeGguf(path, keys, [source("one")]);
  const whole = readFileSync(path);
  const refused = (bytes: Uint8Array, message: RegExp): void => {
    writeFileSync(path, bytes);
    assert.throws(() => readGguf(path), message);
  };
  const changed = (at: number, value: bigint): Buffer => {
    const bytes = Buffer.from(whole);
    bytes.writeBigUInt64LE(value, at);
    return bytes;
  };
  refused(Buffer.from(`GGML${"x".repeat(40)}`), /begins with "GGML"/);
  refused(changed(8, 2n ** 60n), /tensors: expected at most/);
  refused(changed(16, 2n ** 60n), /keys: expected at most/);
  refused(changed(24, 2n ** 60n), /a text: expected at most/);
  refused(whole.subarray(0, 60), /header goes on after 60 bytes/);
  refused(whole.subarray(0, whole.length - 32), /tensor "one" lies at/);
});

test("a vocabulary of 300,000 tokens", () => {
  const path = join(dir, "large.gguf");
  const tokens = strings(Array.from({ length: 300_000 }, (_, id) => `token ${id}`));
  writeGguf(path, new Map([["tokenizer.ggml.tokens", tokens]]), []);
  assert.deepEqual(readGguf(path).keys.get("tokenizer.ggml.tokens"), tokens);
});
