/** Gzip and zstd around JSON lines for fuzzing. What is read of gzip is what Node's own gunzip reads of it. */
import { gunzipSync, gzipSync, zstdCompressSync } from "node:zlib";
import { messageOf } from "../../src/base/errors.ts";
import type { RawRow } from "../../src/data/example.ts";
import type { FuzzTarget } from "./fuzz-data.ts";

const text = `${'{"prompt":"The sky is","chosen":" blue.","rejected":" green."}\n'.repeat(20)}{"n":1}\n`;
const gzip = [
  gzipSync(text),
  Buffer.concat([gzipSync("\n"), gzipSync(text), Buffer.alloc(8)]),
  gzipSync("", { level: 0 }),
  gzipSync(text, { level: 0 }),
];
const skippable = Buffer.from("502a4d180300000041414100", "hex").subarray(0, 11);
const zstd = [
  zstdCompressSync(text),
  Buffer.concat([skippable, zstdCompressSync(text), zstdCompressSync("\n")]),
];

function unlikeGunzip(rows: readonly RawRow[], file: Buffer): string | null {
  let content: string;
  try {
    content = gunzipSync(file).toString();
  } catch (error) {
    // Checksums and unknown flags of a header, which say nothing of the content, are not looked at.
    return /header/.test(messageOf(error)) ? null : `rows where gunzip says ${messageOf(error)}`;
  }
  const lines = content.split("\n").filter((line) => line.trim() !== "");
  return lines.length === rows.length ? null : `${rows.length} rows where gunzip has ${lines.length}`;
}

/** Gzip files of one and of several members. */
export const gzipFiles: FuzzTarget = {
  name: "gzip",
  ending: "jsonl.gz",
  seeds: gzip,
  pieces: [
    gzip[0] ?? Buffer.alloc(0),
    ...["1f8b", "1f8b0808000000000003", "000000000000"].map((hex) => Buffer.from(hex, "hex")),
  ],
  untrue: unlikeGunzip,
};

/** Zstandard files of one and of several frames. */
export const zstdFiles: FuzzTarget = {
  name: "zstd",
  ending: "jsonl.zst",
  seeds: zstd,
  pieces: [
    zstd[0] ?? Buffer.alloc(0),
    skippable,
    ...["28b52ffd", "28b52ffd0058010000"].map((hex) => Buffer.from(hex, "hex")),
  ],
};
