/** Records of TensorBoard's event files: masked CRC-32C checksums around protocol buffers. */
import type { EvaluationRecord, LogProbHistogram } from "./evaluation-records.ts";

/** The record that an event file begins with. */
export function firstRecord(seconds: number): Buffer {
  return record(message([double(1, seconds), text(3, "brain.Event:2")]));
}

/** The record with which the events of a process begin: those of earlier ones at the same steps no longer count. */
export function startRecord(): Buffer {
  return event(0, bytes(7, message([varint(1, 1)])));
}

/** Scalars of one step, by tag; kept as float32. */
export function scalarsRecord(step: number, values: readonly (readonly [string, number])[]): Buffer {
  return event(step, bytes(5, message(values.map(([tag, value]) => scalar(tag, value)))));
}

/** One text. */
export function textRecord(step: number, tag: string, content: string): Buffer {
  const tensor = message([varint(1, 7), shape([1]), text(8, content)]);
  return summary(step, `${tag}/text_summary`, { plugin: "text", tensor });
}

/** A distribution: rows of [left edge, right edge, count], ascending. */
export function histogramRecord(step: number, tag: string, { width, counts }: LogProbHistogram): Buffer {
  const rows = counts.map((count, i) => [-width * (i + 1), 0 - width * i, count]).reverse();
  const numbers = Buffer.from(Float64Array.from(rows.flat()).buffer);
  const tensor = message([varint(1, 2), shape([rows.length, 3]), bytes(4, numbers)]);
  return summary(step, tag, { plugin: "histograms", tensor });
}

/** The configuration of a run for the table of HPARAMS: numbers, truth values, and anything else as text. */
export function hparamsRecord(
  values: Readonly<Record<string, unknown>>,
  group: string,
  seconds: number,
): Buffer {
  const entries = Object.entries(values).map(([key, value]) =>
    bytes(1, message([text(1, key), bytes(2, hparam(value))])),
  );
  const start = message([...entries, text(4, group), double(5, seconds)]);
  const content = message([bytes(3, start)]);
  const tensor = message([varint(1, 1), shape([1]), float(5, 0)]);
  return summary(0, "_hparams_/session_start_info", { plugin: "hparams", tensor, content });
}

/** A google.protobuf.Value. */
function hparam(value: unknown): Buffer {
  if (typeof value === "number") return double(2, value);
  if (typeof value === "boolean") return varint(4, value ? 1 : 0);
  return text(3, typeof value === "string" ? value : (JSON.stringify(value) ?? ""));
}

/** The answers that an evaluation sampled, as Markdown; null: none. */
export function samplesText({ samples }: EvaluationRecord): string | null {
  if (samples.length === 0) return null;
  const quoted = (answer: string): string => `> ${answer.replaceAll("\n", "\n> ")}`;
  const parts = samples.map(({ prompt, answers }) =>
    [prompt, ...answers.map((one) => quoted(one.text))].join("\n\n"),
  );
  return parts.join("\n\n---\n\n");
}

interface PluginValue {
  plugin: string;
  /** A tensorflow.TensorProto. */
  tensor: Buffer;
  /** What the plugin keeps beside it. */
  content?: Buffer;
}

/** A tensor that a plugin shows. */
function summary(step: number, tag: string, { plugin, tensor, content }: PluginValue): Buffer {
  const data = message([text(1, plugin), ...(content === undefined ? [] : [bytes(2, content)])]);
  const metadata = message([bytes(1, data), varint(4, 2)]);
  return event(
    step,
    bytes(5, message([bytes(1, message([text(1, tag), bytes(8, tensor), bytes(9, metadata)]))])),
  );
}

function shape(sizes: readonly number[]): Buffer {
  return bytes(2, message(sizes.map((size) => bytes(2, message([varint(1, size)])))));
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
