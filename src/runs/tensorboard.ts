/**
 * TensorBoard's event files, written without TensorFlow: records with masked CRC-32C checksums around protocol buffers. The file
 * follows `metrics.jsonl`: a run that starts or resumes writes all rows that are there into a new file, and removes the older
 * one. So no step is there twice or lost, whatever ended the run before.
 */
import { existsSync, readdirSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { messageOf } from "../base/errors.ts";
import { ignoreErrors, io, makeDirectories, writeAllSync } from "../base/file-io.ts";
import { warn } from "../base/warn.ts";
import type { MetricRow } from "./metrics.ts";
import { chartName, numbersOf } from "./tracker-names.ts";

const fileNames = /^events\.out\.tfevents\..*\.preftune$/;

/** Appends rows of metrics and texts to an event file. It never throws: what cannot be written is counted and reported once. */
export class TensorboardWriter {
  #fd: number | null = null;
  #hasFailed = false;
  /** Rows that are not in the file. */
  #lost = 0;

  /**
   * @param dir - made, and emptied of files that this class wrote
   * @param rows - those there already
   * @param texts - shown beside the metrics, by name
   */
  constructor(dir: string, rows: readonly MetricRow[], texts: Readonly<Record<string, string>>) {
    this.#try(() => {
      makeDirectories(dir);
      for (const name of readdirSync(dir)) if (fileNames.test(name)) io.rmSync(join(dir, name));
      this.#fd = io.openSync(freshPath(dir), "wx");
      this.#append(record(message([double(1, seconds()), text(3, "brain.Event:2")])));
      this.#append(event(0, bytes(7, message([varint(1, 1)]))));
      for (const [name, content] of Object.entries(texts)) this.#append(event(0, textSummary(name, content)));
    });
    for (const row of rows) this.write(row);
  }

  /** Appends the numbers of a row, named as transformers' callback does: train/loss, eval/loss. */
  write(row: MetricRow): void {
    const values = numbersOf(row).map(([key, value]) => scalar(chartName(key), value));
    if (values.length === 0) return;
    this.#try(() => this.#append(event(row.global_step, bytes(5, message(values)))));
    if (this.#hasFailed) this.#lost += 1;
  }

  /** Closes the file; says how many rows are not in it. */
  close(): void {
    const fd = this.#fd;
    this.#fd = null;
    if (fd !== null) this.#try(() => io.closeSync(fd));
    if (this.#lost > 0) warn(`TensorBoard: ${this.#lost} rows are not in its file; metrics.jsonl has them.`);
    this.#lost = 0;
  }

  #append(bytesOfRecord: Buffer): void {
    if (this.#fd !== null) writeAllSync(this.#fd, bytesOfRecord);
  }

  #try(work: () => void): void {
    try {
      work();
    } catch (error) {
      const fd = this.#fd;
      // what stands behind half a record cannot be read
      this.#fd = null;
      if (fd !== null) ignoreErrors(() => io.closeSync(fd));
      this.#hasFailed = true;
      warn(
        `TensorBoard: its file cannot be written: ${messageOf(error)}. Training continues; metrics.jsonl has every row, and a resumed run ` +
          "writes them all again.",
      );
    }
  }
}

function freshPath(dir: string): string {
  const path = (count: number): string =>
    join(dir, `events.out.tfevents.${Math.floor(seconds())}.${hostname()}.${process.pid}.${count}.preftune`);
  let count = 0;
  while (existsSync(path(count))) count++;
  return path(count);
}

function seconds(): number {
  return Date.now() / 1000;
}

function event(step: number, content: Buffer): Buffer {
  return record(message([double(1, seconds()), varint(2, step), content]));
}

/** tensorflow.Summary.Value with a `simple_value`, a float32. */
function scalar(tag: string, value: number): Buffer {
  return bytes(1, message([text(1, tag), float(2, value)]));
}

/** A summary of one text, as TensorBoard's text plugin has it: a tensor of one string. */
function textSummary(tag: string, content: string): Buffer {
  const tensor = message([
    varint(1, 7),
    bytes(2, message([bytes(2, message([varint(1, 1)]))])),
    text(8, content),
  ]);
  const plugin = bytes(9, message([bytes(1, message([text(1, "text")])), varint(4, 2)]));
  return bytes(5, message([bytes(1, message([text(1, `${tag}/text_summary`), bytes(8, tensor), plugin]))]));
}

function message(fields: readonly Buffer[]): Buffer {
  return Buffer.concat(fields);
}

function varint(field: number, value: number): Buffer {
  return Buffer.concat([varintBytes(field * 8), varintBytes(value)]);
}

function varintBytes(value: number): Buffer {
  const out: number[] = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) out.push((rest % 128) + 128);
  return Buffer.from([...out, rest]);
}

function double(field: number, value: number): Buffer {
  return Buffer.concat([varintBytes(field * 8 + 1), Buffer.from(Float64Array.of(value).buffer)]);
}

function float(field: number, value: number): Buffer {
  return Buffer.concat([varintBytes(field * 8 + 5), Buffer.from(Float32Array.of(value).buffer)]);
}

function bytes(field: number, content: Buffer): Buffer {
  return Buffer.concat([varintBytes(field * 8 + 2), varintBytes(content.byteLength), content]);
}

function text(field: number, content: string): Buffer {
  return bytes(field, Buffer.from(content, "utf8"));
}

/** A record of TensorFlow's files: length, its checksum, data, its checksum. */
function record(data: Buffer): Buffer {
  const length = Buffer.from(BigUint64Array.of(BigInt(data.byteLength)).buffer);
  return Buffer.concat([length, maskedChecksum(length), data, maskedChecksum(data)]);
}

function maskedChecksum(data: Buffer): Buffer {
  const sum = crc32c(data);
  const masked = (((sum >>> 15) | (sum << 17)) + 0xa282_ead8) >>> 0;
  return Buffer.from(Uint32Array.of(masked).buffer);
}

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let sum = byte;
  for (let bit = 0; bit < 8; bit++) sum = sum & 1 ? (sum >>> 1) ^ 0x82f6_3b78 : sum >>> 1;
  return sum;
});

/** CRC-32C (Castagnoli) of some bytes. */
export function crc32c(data: Uint8Array): number {
  let sum = 0xffff_ffff;
  for (const byte of data) sum = (sum >>> 8) ^ (table[(sum ^ byte) & 255] ?? 0);
  return (sum ^ 0xffff_ffff) >>> 0;
}
