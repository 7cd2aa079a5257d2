/** Tensors over a memory map: shared, private, aligned or not, and never read before they are used. */
import assert from "node:assert/strict";
import { readFileSync, renameSync, rmSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { withoutLeaks } from "../../test/support/close.ts";
import { residentMiB } from "../../test/support/memory.ts";
import { temporaryDirectory } from "../../test/support/tiny-models.ts";
import { FormatError } from "../base/errors.ts";
import { readSafetensorsHeader, readTensorBytes, type TensorEntry } from "../formats/safetensors.ts";
import { writeSafetensors } from "../formats/safetensors-write.ts";
import { ops } from "../torch/index.ts";
import { copyStored, fileDtype, mapSafetensors } from "./mapped-file.ts";

const floats = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer);

/** A safetensors file byte by byte: header padded to `headerBytes`, then `data`. */
function writeRaw(path: string, header: object, headerBytes: number, data: Uint8Array): void {
  const json = Buffer.alloc(headerBytes, " ");
  assert.ok(json.write(JSON.stringify(header)) < headerBytes);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(headerBytes));
  writeFileSync(path, Buffer.concat([length, json, data]));
}

test("two tensors of one entry share memory; writing to one leaves the file as it was", () => {
  withoutLeaks(() => {
    using dir = temporaryDirectory();
    const path = join(dir.path, "a.safetensors");
    writeSafetensors(path, [{ name: "w", dtype: "F32", shape: [2, 2], bytes: () => floats(1, 2, 3, 4) }]);
    const before = readFileSync(path);
    const file = readSafetensorsHeader(path);
    const read = mapSafetensors(file);
    const entry = file.tensors.get("w") as TensorEntry;
    const [first, second] = [read(entry), read(entry)];
    assert.deepEqual(first.shape, [2, 2]);
    ops.mul_(first, 10);
    assert.deepEqual(second.toNumbers(), [10, 20, 30, 40], "a copy was made");
    assert.deepEqual(readFileSync(path), before);
    assert.deepEqual(mapSafetensors(file)(entry).toNumbers(), [1, 2, 3, 4]);
  });
});

test("tensors that begin anywhere are read right", () => {
  withoutLeaks(() => {
    using dir = temporaryDirectory();
    const path = join(dir.path, "odd.safetensors");
    const header = {
      bytes: { dtype: "U8", shape: [3], data_offsets: [0, 3] },
      wide: { dtype: "F32", shape: [2], data_offsets: [3, 11] },
      half: { dtype: "BF16", shape: [1, 1], data_offsets: [11, 13] },
      empty: { dtype: "F32", shape: [0, 4], data_offsets: [13, 13] },
    };
    // bfloat16 1.5 is 0x3fc0
    const data = Buffer.concat([Uint8Array.of(7, 8, 9), floats(0.5, -2), Uint8Array.of(0xc0, 0x3f)]);
    for (const headerBytes of [320, 321, 322, 323]) {
      writeRaw(path, header, headerBytes, data);
      const file = readSafetensorsHeader(path);
      const read = mapSafetensors(file);
      const of = (name: string) => read(file.tensors.get(name) as TensorEntry);
      assert.deepEqual(of("bytes").toNumbers(), [7, 8, 9]);
      assert.deepEqual(of("wide").toNumbers(), [0.5, -2]);
      assert.deepEqual(ops.to(of("half"), "float32").toNumbers(), [1.5]);
      assert.deepEqual([of("empty").shape, of("empty").toNumbers()], [[0, 4], []]);
    }
  });
});

test("mapping reads nothing: a large file costs no memory until it is used", () => {
  withoutLeaks(() => {
    using dir = temporaryDirectory();
    const path = join(dir.path, "large.safetensors");
    const bytes = 256 * 2 ** 20;
    const header = { big: { dtype: "F32", shape: [bytes / 4], data_offsets: [0, bytes] } };
    writeRaw(path, header, 128, new Uint8Array(0));
    // a hole: the file has its size, the disk nothing
    truncateSync(path, 8 + 128 + bytes);
    const file = readSafetensorsHeader(path);
    const before = residentMiB();
    const big = mapSafetensors(file)(file.tensors.get("big") as TensorEntry);
    const used = ops.slice(big, 0, 1000, 1004).toNumbers();
    const grown = process.memoryUsage.rss() / 2 ** 20 - before;
    assert.deepEqual(used, [0, 0, 0, 0]);
    assert.ok(grown < 32, `${grown} MiB more in memory`);
  });
});

test("a map outlives its file's name", () => {
  withoutLeaks(() => {
    const dir = temporaryDirectory();
    const path = join(dir.path, "gone.safetensors");
    writeSafetensors(path, [{ name: "w", dtype: "F32", shape: [2], bytes: () => floats(3, 4) }]);
    const file = readSafetensorsHeader(path);
    const w = mapSafetensors(file)(file.tensors.get("w") as TensorEntry);
    dir[Symbol.dispose]();
    assert.deepEqual(w.toNumbers(), [3, 4]);
  });
});

for (const [how, change, says] of [
  ["replaced", (path: string, other: string) => renameSync(other, path), /replaced or written to since/],
  ["written over", (path: string) => utimesSync(path, 1, 1), /replaced or written to since/],
  ["removed", (path: string) => rmSync(path), /it is gone/],
] as const) {
  test(`a file that is ${how} between its header and its tensors is refused: no model is of two files`, () => {
    withoutLeaks(() => {
      using dir = temporaryDirectory();
      const [path, other] = [join(dir.path, "a.safetensors"), join(dir.path, "b.safetensors")];
      const written = (value: number) => [
        { name: "w", dtype: "F32" as const, shape: [2], bytes: () => floats(value, value) },
      ];
      writeSafetensors(path, written(1));
      writeSafetensors(other, written(2));
      const file = readSafetensorsHeader(path);
      const entry = file.tensors.get("w") as TensorEntry;
      const target = ops.zeros([2], { dtype: "float32" });
      copyStored(file, entry, target);
      assert.deepEqual(target.toNumbers(), [1, 1]);
      change(path, other);
      const isRefused = (error: unknown) =>
        error instanceof FormatError && error.message.startsWith(path) && says.test(error.message);
      assert.throws(() => copyStored(file, entry, target), isRefused);
      assert.throws(() => mapSafetensors(file), isRefused);
      if (how !== "removed") assert.throws(() => readTensorBytes(file, entry), isRefused);
      assert.deepEqual(target.toNumbers(), [1, 1]);
    });
  });
}

test("element types by the file's names", () => {
  assert.deepEqual((["float32", "float16", "bfloat16", "int64", "uint8", "bool"] as const).map(fileDtype), [
    "F32",
    "F16",
    "BF16",
    "I64",
    "U8",
    "BOOL",
  ]);
});
