/** Compressed files of many parts, cut off anywhere, in pieces of every size: gzip-members.ts and zstd-frames.ts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { constants, deflateRawSync, gzipSync, zstdCompressSync } from "node:zlib";

import { decompressGzip } from "./gzip-members.ts";
import { decompressZstd } from "./zstd-frames.ts";

async function* chunks(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let start = 0; start < bytes.length; start += size) yield bytes.subarray(start, start + size);
}

type Decompress = typeof decompressGzip;

async function content(decompress: Decompress, bytes: Buffer, size = 64 * 1024): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of decompress(chunks(bytes, size))) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** Bytes that do not compress, the same in every run. */
function noise(count: number): Buffer {
  const bytes = Buffer.alloc(count);
  for (let i = 0, x = 1; i < count; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    bytes[i] = x >>> 24;
  }
  return bytes;
}

// Blocks of all three kinds: raw (noise), run-length (zeros) and compressed (text).
const parts = [
  noise(300_000),
  Buffer.alloc(500_000),
  Buffer.from("a line of text\n".repeat(30_000)),
  Buffer.from("x"),
];

function skippable(bytes: Buffer, kind = 0): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt32LE(0x184d2a50 + kind);
  header.writeUInt32LE(bytes.length, 4);
  return Buffer.concat([header, bytes]);
}

const withChecksum = { params: { [constants.ZSTD_c_checksumFlag]: 1 } };
const withoutSize = { params: { [constants.ZSTD_c_contentSizeFlag]: 0 } };

test("zstd: every frame is content, skippable ones are none, however the file comes in pieces", async () => {
  const frames = [
    skippable(Buffer.from("index")),
    ...parts.map((part, i) => zstdCompressSync(part, [{}, withChecksum, withoutSize, {}][i])),
    skippable(Buffer.alloc(0), 15),
    zstdCompressSync(""),
    zstdCompressSync("end", withChecksum),
    skippable(noise(100_000), 3),
  ];
  const expected = Buffer.concat([...parts, Buffer.from("end")]);
  for (const size of [977, 64 * 1024, 10_000_000]) {
    assert.ok(
      expected.equals(await content(decompressZstd, Buffer.concat(frames), size)),
      `chunks of ${size}`,
    );
  }
  const small = Buffer.concat([
    zstdCompressSync("a", withChecksum),
    skippable(Buffer.from("?")),
    zstdCompressSync("b"),
  ]);
  for (let size = 1; size <= small.length; size++) {
    assert.equal(String(await content(decompressZstd, small, size)), "ab", `chunks of ${size}`);
  }
});

test("zstd: a file cut off anywhere, or that goes on as something else, is refused", async () => {
  const first = zstdCompressSync("first", withChecksum);
  const whole = Buffer.concat([
    first,
    skippable(Buffer.from("skip")),
    zstdCompressSync(parts[2] ?? "", withChecksum),
  ]);
  const ends = [first.length, first.length + 12, whole.length];
  for (let length = 0; length <= whole.length; length++) {
    const read = content(decompressZstd, whole.subarray(0, length));
    if (ends.includes(length)) await read;
    else await assert.rejects(read, `${length} bytes`);
  }
  const garbage = Buffer.concat([first, Buffer.from("garbage")]);
  await assert.rejects(content(decompressZstd, garbage), /other bytes stand behind its last frame/);
  await assert.rejects(
    content(decompressZstd, Buffer.concat([first, Buffer.alloc(9)])),
    /other bytes stand behind/,
  );
  const flipped = Buffer.from(first);
  flipped.writeUInt8(flipped.readUInt8(9) ^ 1, 9);
  await assert.rejects(content(decompressZstd, flipped));
});

/** A member with every field that a header can have. */
function fullMember(text: string): Buffer {
  const plain = gzipSync(text);
  const header = Buffer.from([0x1f, 0x8b, 8, 0x1e, 0, 0, 0, 0, 0, 3, 3, 0, 1, 2, 3]);
  const names = Buffer.from("name\0a comment\0");
  const body = Buffer.concat([deflateRawSync(text), plain.subarray(-8)]);
  return Buffer.concat([header, names, Buffer.from([7, 7]), body]);
}

test("gzip: every member is content, zeros behind the last are none, however the file comes in pieces", async () => {
  const members = [...parts.map((part) => gzipSync(part)), fullMember("full"), gzipSync(""), gzipSync("end")];
  const expected = Buffer.concat([...parts, Buffer.from("fullend")]);
  for (const zeros of [0, 1, 2, 100_000]) {
    const file = Buffer.concat([...members, Buffer.alloc(zeros)]);
    for (const size of [997, 64 * 1024, 10_000_000]) {
      assert.ok(
        expected.equals(await content(decompressGzip, file, size)),
        `${zeros} zeros, chunks of ${size}`,
      );
    }
  }
  const small = Buffer.concat([gzipSync("a"), fullMember("b"), gzipSync("c"), Buffer.alloc(3)]);
  for (let size = 1; size <= small.length; size++) {
    assert.equal(String(await content(decompressGzip, small, size)), "abc", `chunks of ${size}`);
  }
});

test("gzip: a file cut off anywhere, or that goes on as something else, is refused", async () => {
  const first = gzipSync("first");
  const whole = Buffer.concat([first, fullMember("second")]);
  for (let length = 0; length <= whole.length; length++) {
    const read = content(decompressGzip, whole.subarray(0, length));
    if (length === first.length || length === whole.length) await read;
    else await assert.rejects(read, `${length} bytes`);
  }
  for (const [tail, message] of [
    [Buffer.from("garbage"), /other bytes stand behind its last member/],
    [Buffer.concat([Buffer.alloc(10), gzipSync("lost")]), /other bytes stand behind the zeros/],
    [Buffer.from([0x1f, 0x8b, 9, 0, 0, 0, 0, 0, 0, 0]), /unknown method 9/],
    [Buffer.from([0, 5]), /other bytes stand behind/],
  ] as const) {
    await assert.rejects(content(decompressGzip, Buffer.concat([first, tail])), message);
  }
  const wrongSum = Buffer.from(first);
  wrongSum.writeUInt32LE(1, first.length - 8);
  await assert.rejects(content(decompressGzip, wrongSum), /its checksum/);
  const wrongSize = Buffer.from(first);
  wrongSize.writeUInt32LE(4, first.length - 4);
  await assert.rejects(content(decompressGzip, wrongSize), /another length/);
});
