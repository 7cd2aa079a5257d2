/** The safetensors reader and writer against each other, against files of the reference writer, and against hostile ones. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import fc from "fast-check";
import { fixturePath } from "../../test/support/fixture-files.ts";
import { FileError, FormatError } from "../base/errors.ts";
import { readSafetensorsHeader, readTensorBytes, type TensorDtype } from "./safetensors.ts";
import { type TensorSource, writeSafetensors } from "./safetensors-write.ts";

let dir = "";
before(() => {
  dir = mkdtempSync(join(tmpdir(), "preftune-safetensors-"));
});
after(() => rmSync(dir, { recursive: true, force: true }));

function source(name: string, dtype: TensorDtype, shape: number[], bytes: Uint8Array): TensorSource {
  return { name, dtype, shape, bytes: () => bytes };
}

/** Writes raw bytes: a header text with its length (or a false one), then the data. */
function craft(header: string | Uint8Array, data: Uint8Array = new Uint8Array(0), length?: bigint): string {
  const path = join(dir, "crafted.safetensors");
  const text = Buffer.from(header);
  const head = Buffer.alloc(8);
  head.writeBigUInt64LE(length ?? BigInt(text.byteLength), 0);
  writeFileSync(path, Buffer.concat([head, text, data]));
  return path;
}

function entry(dtype: string, shape: unknown, offsets: unknown): string {
  return JSON.stringify({ dtype, shape, data_offsets: offsets });
}

describe("round trip", () => {
  const sizes: Record<string, number> = { BOOL: 1, U8: 1, F16: 2, BF16: 2, I32: 4, F32: 4, I64: 8, F64: 8 };
  const tensor = fc
    .record({
      name: fc.string({ unit: "binary" }).filter((name) => name !== "__metadata__"),
      dtype: fc.constantFrom<TensorDtype>("BOOL", "U8", "F16", "BF16", "I32", "F32", "I64", "F64"),
      shape: fc.array(fc.nat(3), { maxLength: 3 }),
      seed: fc.nat(255),
    })
    .map(({ name, dtype, shape, seed }) => {
      const count = shape.reduce((a, b) => a * b, 1) * (sizes[dtype] ?? 0);
      return source(
        name,
        dtype,
        shape,
        Uint8Array.from({ length: count }, (_, i) => (i * 7 + seed) & 255),
      );
    });

  test("what is written is read back, byte for byte, aligned, and the same every time", () => {
    const tensors = fc.uniqueArray(tensor, { selector: (t) => t.name, maxLength: 8 });
    const metadata = fc.dictionary(
      fc.string().filter((key) => key !== "__proto__"),
      fc.string(),
    );
    fc.assert(
      fc.property(tensors, metadata, (written, meta) => {
        const path = join(dir, "round.safetensors");
        rmSync(path, { force: true });
        const bytes = writeSafetensors(path, written, meta);
        const first = readFileSync(path);
        assert.equal(first.byteLength, bytes);
        const file = readSafetensorsHeader(path);
        assert.equal(file.dataStart % 8, 0);
        assert.deepEqual(file.metadata, { ...meta });
        assert.equal(file.tensors.size, written.length);
        for (const { name, dtype, shape, bytes: content } of written) {
          const read = file.tensors.get(name);
          assert(read);
          assert.deepEqual([read.dtype, read.shape], [dtype, shape]);
          assert.equal(read.begin % (sizes[dtype] ?? 1), 0);
          assert.deepEqual(readTensorBytes(file, read), content());
        }
        rmSync(path);
        writeSafetensors(path, written, meta);
        assert.deepEqual(readFileSync(path), first);
      }),
      { numRuns: 150 },
    );
  });

  test("the bytes of a small file, by hand", () => {
    const path = join(dir, "hand.safetensors");
    writeSafetensors(path, [source("a", "U8", [3], new Uint8Array([1, 2, 3]))]);
    const json = '{"__metadata__":{"format":"pt"},"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}}    ';
    assert.equal(json.length, 88);
    const head = Buffer.alloc(8);
    head.writeUInt8(88, 0);
    assert.deepEqual(readFileSync(path), Buffer.concat([head, Buffer.from(json), Buffer.from([1, 2, 3])]));
  });

  test("wide elements come first, equal ones keep their order", () => {
    const path = join(dir, "order.safetensors");
    const order: string[] = [];
    const spy = (name: string, dtype: TensorDtype, size: number): TensorSource => ({
      name,
      dtype,
      shape: [1],
      bytes: () => {
        order.push(name);
        return new Uint8Array(size);
      },
    });
    writeSafetensors(path, [spy("z", "BOOL", 1), spy("y", "F32", 4), spy("x", "F32", 4), spy("w", "I64", 8)]);
    assert.deepEqual(order, ["w", "y", "x", "z"]);
    assert.deepEqual([...readSafetensorsHeader(path).tensors.keys()], ["w", "y", "x", "z"]);
  });

  test("files of the reference writer", () => {
    const path = fixturePath("llama_tied", "model", "model.safetensors");
    const file = readSafetensorsHeader(path);
    assert.deepEqual(file.metadata, { format: "pt" });
    assert.equal(file.tensors.size, 20);
    const embedding = file.tensors.get("model.embed_tokens.weight");
    assert(embedding);
    assert.deepEqual([embedding.dtype, embedding.shape], ["F32", [512, 64]]);
    const copy = join(dir, "copy.safetensors");
    writeSafetensors(
      copy,
      [...file.tensors.values()].map((t) => ({ ...t, bytes: () => readTensorBytes(file, t) })),
      file.metadata,
    );
    assert.deepEqual(readFileSync(copy), readFileSync(path), "the reference writer's bytes");
  });
});

describe("hostile files", () => {
  const bytes = (n: number): Uint8Array => new Uint8Array(n);
  const one = `{"a":${entry("U8", [4], [0, 4])}}`;
  const cases: [string, () => string, RegExp][] = [
    ["no header", () => craft(""), /expected at least 10 bytes, got 8/],
    ["header length 0", () => craft("{}", bytes(8), 0n), /at least 2 bytes, its length field says 0/],
    [
      "overlong header",
      () => craft(one, bytes(4), 2n ** 40n),
      /at most 100000000 bytes, its length field says 1099511627776/,
    ],
    ["header length 2^64-1", () => craft(one, bytes(4), 2n ** 64n - 1n), /length field says 1\.84e\+19/],
    ["header past the end", () => craft(one, bytes(4), 5000n), /truncated: its header needs 5008 bytes/],
    ["header not JSON", () => craft("{nonsense}"), /expected a JSON header: /],
    ["header a list", () => craft("[1, 2, 3]"), /expected the header to begin with "\{", got byte 91/],
    ["leading space", () => craft(` ${one}`, bytes(4)), /begin with "\{", got byte 32/],
    ["text behind the header", () => craft(`${one}x`, bytes(4)), /expected a JSON header: /],
    ["not UTF-8", () => craft(Buffer.from('{"\xff":1}', "latin1")), /header in UTF-8/],
    [
      "duplicate tensor",
      () => craft(`{"a":${entry("U8", [4], [0, 4])},"\\u0061":${entry("U8", [4], [0, 4])}}`, bytes(4)),
      /header has "a" twice/,
    ],
    [
      "duplicate field",
      () => craft('{"a":{"dtype":"U8","shape":[4],"shape":[4],"data_offsets":[0,4]}}', bytes(4)),
      /header has "shape" twice/,
    ],
    [
      "overlap",
      () => craft(`{"a":${entry("U8", [4], [0, 4])},"b":${entry("U8", [4], [2, 6])}}`, bytes(6)),
      /tensor "b" overlaps .* offset 4, got 2/,
    ],
    [
      "gap",
      () => craft(`{"a":${entry("U8", [4], [0, 4])},"b":${entry("U8", [1], [5, 6])}}`, bytes(6)),
      /tensor "b" leaves a gap .* offset 4, got 5/,
    ],
    [
      "gap at the start",
      () => craft(`{"a":${entry("U8", [4], [4, 8])}}`, bytes(8)),
      /tensor "a" leaves a gap/,
    ],
    ["trailing bytes", () => craft(one, bytes(5)), /got 1 bytes more/],
    [
      "truncated data",
      () => craft(one, bytes(3)),
      /truncated: its tensors need 4 bytes of data, the file has 3 \(1 bytes/,
    ],
    [
      "lying shape",
      () => craft(`{"a":${entry("F32", [4], [0, 4])}}`, bytes(4)),
      /tensor "a": shape \[4\] of F32 takes 16 bytes, data_offsets \[0,4\] give 4/,
    ],
    ["reversed offsets", () => craft(`{"a":${entry("U8", [4], [4, 0])}}`, bytes(4)), /give -4/],
    ["shape overflow", () => craft(`{"a":${entry("U8", [2 ** 32, 2 ** 32], [0, 0])}}`), /too large to exist/],
    [
      "shape overflow to zero in 64 bits",
      () => craft(`{"a":${entry("F64", [2 ** 40, 2 ** 40], [0, 0])}}`),
      /too large to exist/,
    ],
    [
      "negative size",
      () => craft(`{"a":${entry("U8", [-4], [0, 4])}}`, bytes(4)),
      /expected a shape .* got \[-4\]/,
    ],
    [
      "minus zero, which the library refuses too",
      () => craft('{"a":{"dtype":"U8","shape":[4],"data_offsets":[-0,4]}}', bytes(4)),
      /data_offsets/,
    ],
    ["broken size", () => craft(`{"a":${entry("U8", [1.5], [0, 4])}}`, bytes(4)), /got \[1\.5\]/],
    [
      "huge number",
      () => craft('{"a":{"dtype":"U8","shape":[1e400],"data_offsets":[0,4]}}', bytes(4)),
      /expected a shape/,
    ],
    ["shape not a list", () => craft(`{"a":${entry("U8", "4", [0, 4])}}`, bytes(4)), /expected a shape/],
    [
      "65 dimensions",
      () => craft(`{"a":${entry("U8", Array(65).fill(1), [0, 1])}}`, bytes(1)),
      /at most 64 sizes/,
    ],
    [
      "three offsets",
      () => craft(`{"a":${entry("U8", [4], [0, 4, 4])}}`, bytes(4)),
      /expected two data_offsets, got \[0,4,4\]/,
    ],
    [
      "no offsets",
      () => craft('{"a":{"dtype":"U8","shape":[4]}}', bytes(4)),
      /expected two data_offsets, got nothing/,
    ],
    [
      "unknown dtype",
      () => craft(`{"a":${entry("f32", [1], [0, 4])}}`, bytes(4)),
      /got "f32"\. Did you mean "F32"\?/,
    ],
    [
      "inherited dtype name",
      () => craft(`{"a":${entry("constructor", [1], [0, 4])}}`, bytes(4)),
      /got "constructor"/,
    ],
    ["tensor not an object", () => craft('{"a":[4]}', bytes(4)), /tensor "a": expected an object/],
    ["metadata not strings", () => craft('{"__metadata__":{"a":1}}'), /__metadata__ to map names to strings/],
    ["metadata a list", () => craft('{"__metadata__":[]}'), /__metadata__ to map names to strings/],
    [
      "deep nesting",
      () => craft(`{"a":${"[".repeat(50_000)}${"]".repeat(50_000)}}`),
      /nested at most 3 deep/,
    ],
    [
      "a million tensors",
      () => craft(`{${Array.from({ length: 1_000_000 }, (_, i) => `"${i}":0`).join(",")}}`),
      /at most 100000 tensors/,
    ],
    [
      "a pickle",
      () => craft("", Buffer.alloc(100), 0x0a8a0280n),
      /expected a safetensors file, got a Python pickle.*Convert it/,
    ],
  ];

  for (const [name, make, message] of cases) {
    test(name, () => {
      const path = make();
      assert.throws(
        () => readSafetensorsHeader(path),
        (error: unknown) => {
          assert(error instanceof FormatError, String(error));
          assert.match(error.message, message);
          assert(error.message.includes("crafted.safetensors"));
          return true;
        },
      );
    });
  }

  for (const [name, head, what] of [
    ["zip", "PK\x03\x04\x00\x00\x08\x08", "a zip file"],
    ["GGUF", "GGUF\x03\x00\x00\x00", "a GGUF file"],
    ["Git LFS pointer", "version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"],
    ["web page", "<!DOCTYPE html><html>", "a web page"],
  ] as const) {
    test(`named for what it is: ${name}`, () => {
      const path = join(dir, "other.safetensors");
      writeFileSync(path, head.padEnd(200, "\0"), "latin1");
      assert.throws(
        () => readSafetensorsHeader(path),
        new RegExp(`expected a safetensors file, got ${what}`),
      );
    });
  }

  test("a sound file is not mistaken for a pickle by its length of 640 bytes", () => {
    const path = craft(one.padEnd(640, " "), bytes(4));
    assert.deepEqual([...readFileSync(path).subarray(0, 2)], [0x80, 0x02]);
    assert.equal(readSafetensorsHeader(path).tensors.size, 1);
  });

  test("missing file and directory", () => {
    assert.throws(() => readSafetensorsHeader(join(dir, "none")), FileError);
    writeFileSync(join(dir, "empty"), "");
    assert.throws(() => readSafetensorsHeader(join(dir, "empty")), /expected at least 10 bytes, got 0/);
    assert.throws(() => readSafetensorsHeader(dir), /it is a directory, a file was expected/);
  });

  test("a lying header allocates nothing", () => {
    const path = craft(one, bytes(4), 99_999_999n);
    const before = process.memoryUsage().arrayBuffers;
    assert.throws(() => readSafetensorsHeader(path), FormatError);
    assert(process.memoryUsage().arrayBuffers - before < 1024 * 1024);
  });

  test("any damage is refused by name or leaves a sound file", () => {
    const path = join(dir, "whole.safetensors");
    rmSync(path, { force: true });
    writeSafetensors(path, [
      source("a", "F32", [2, 2], bytes(16)),
      source("b", "BF16", [3], bytes(6)),
      source("c", "BOOL", [], bytes(1)),
    ]);
    const whole = readFileSync(path);
    const damage = fc.array(fc.tuple(fc.nat(whole.byteLength - 1), fc.nat(255)), {
      minLength: 1,
      maxLength: 4,
    });
    fc.assert(
      fc.property(damage, fc.nat(whole.byteLength), fc.boolean(), (edits, length, cut) => {
        const bad = Buffer.from(whole);
        for (const [at, value] of edits) bad[at] = value;
        const damaged = join(dir, "damaged.safetensors");
        writeFileSync(damaged, cut ? bad.subarray(0, length) : bad);
        try {
          const { tensors, dataStart, fileBytes } = readSafetensorsHeader(damaged);
          for (const { begin, end } of tensors.values()) assert(begin <= end && dataStart + end <= fileBytes);
        } catch (error) {
          assert(error instanceof FormatError, String(error));
        }
      }),
      { numRuns: 1500 },
    );
  });
});
