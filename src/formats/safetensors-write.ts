/**
 * Writes safetensors files tensor by tensor, so that memory holds one tensor at a time.
 *
 * Data is laid out by falling element size and else in the order given, as the reference implementation does: the
 * format allows no gaps, and a float behind an odd number of bytes could not be memory-mapped.
 */
import { dirname } from "node:path";
import { FormatError, PreftuneError } from "../base/errors.ts";
import { createFileSync, errorCode, fileFailure, formatBytes, writeAllSync } from "../base/file-io.ts";
import { requireFreeBytes } from "../base/files.ts";
import {
  dtypeBytes,
  maxHeaderBytes,
  maxTensors,
  type TensorDtype,
  tensorBytes,
} from "./safetensors-layout.ts";

/**
 * A tensor to write. `bytes` is called once, when its turn comes; little-endian, row by row, whole or in pieces, each of which is
 * written before the next is asked for.
 */
export interface TensorSource {
  name: string;
  dtype: TensorDtype;
  shape: readonly number[];
  bytes: () => Uint8Array | Iterable<Uint8Array>;
}

/** What transformers wants to see in every file of weights. */
const defaultMetadata: Readonly<Record<string, string>> = { format: "pt" };

/** Bytes of the tensor's data by its dtype and shape. @throws {FormatError} for impossible sizes */
export function sourceBytes(tensor: Pick<TensorSource, "name" | "dtype" | "shape">): number {
  const isValid = tensor.shape.every((size) => Number.isSafeInteger(size) && size >= 0);
  const bytes = isValid ? tensorBytes(tensor.dtype, tensor.shape) : null;
  if (bytes === null) {
    throw new FormatError(`Tensor "${tensor.name}": shape [${tensor.shape.join(", ")}] cannot be stored.`);
  }
  return bytes;
}

/**
 * Creates `path` (which must not exist) with these tensors, synced to disk.
 *
 * The same tensors and metadata give the same bytes. Call it inside a temporary directory for crash safety.
 * @param metadata - strings for the header; `{ format: "pt" }` unless given
 * @param options - `isTransient`: nobody needs the file after a power cut, so it is not synced
 * @returns bytes of the file
 * @throws {FileError} when the disk is full or not writable; the partial file is removed
 * @throws {FormatError} when a name comes twice or a tensor's bytes do not match its shape
 */
export function writeSafetensors(
  path: string,
  tensors: readonly TensorSource[],
  metadata: Readonly<Record<string, string>> = defaultMetadata,
  { isTransient = false }: { isTransient?: boolean } = {},
): number {
  const ordered = [...tensors].sort((a, b) => dtypeBytes[b.dtype] - dtypeBytes[a.dtype]);
  const { header, dataBytes } = buildHeader(path, ordered, metadata);
  const fileBytes = header.byteLength + dataBytes;
  requireFreeBytes(dirname(path), fileBytes, path);
  try {
    createFileSync(
      path,
      (fd) => {
        writeAllSync(fd, header);
        for (const tensor of ordered) writeTensor(fd, path, tensor);
      },
      !isTransient,
    );
  } catch (cause) {
    if (errorCode(cause) === null || cause instanceof PreftuneError) throw cause;
    const kept = errorCode(cause) === "EEXIST" ? "It is left as it was." : "The partial file was removed.";
    throw fileFailure({ action: "write", path, cause, bytes: fileBytes, kept });
  }
  return fileBytes;
}

function buildHeader(
  path: string,
  tensors: readonly TensorSource[],
  metadata: Readonly<Record<string, string>>,
): { header: Uint8Array; dataBytes: number } {
  const members: string[] = [];
  if (Object.keys(metadata).length > 0) members.push(`"__metadata__":${JSON.stringify(metadata)}`);
  const names = new Set(["__metadata__"]);
  let position = 0;
  for (const tensor of tensors) {
    if (names.has(tensor.name)) {
      throw new FormatError(
        `Cannot write ${path}: the tensor name "${tensor.name}" is taken. Give each its own.`,
      );
    }
    names.add(tensor.name);
    const end = position + sourceBytes(tensor);
    const { dtype, shape } = tensor;
    members.push(
      `${JSON.stringify(tensor.name)}:${JSON.stringify({ dtype, shape, data_offsets: [position, end] })}`,
    );
    position = end;
  }
  const json = Buffer.from(`{${members.join(",")}}`, "utf8");
  const padded = Math.ceil(json.byteLength / 8) * 8;
  if (padded > maxHeaderBytes || tensors.length > maxTensors) {
    throw new FormatError(
      `Cannot write ${path}: ${tensors.length} tensors with a header of ${formatBytes(padded)} are more than ` +
        "safetensors readers accept. Split them over several files.",
    );
  }
  const header = Buffer.alloc(8 + padded, " ");
  header.writeBigUInt64LE(BigInt(padded), 0);
  json.copy(header, 8);
  return { header, dataBytes: position };
}

function writeTensor(fd: number, path: string, tensor: TensorSource): void {
  const bytes = tensor.bytes();
  const expected = sourceBytes(tensor);
  let written = 0;
  for (const piece of bytes instanceof Uint8Array ? [bytes] : bytes) {
    written += piece.byteLength;
    if (written <= expected) writeAllSync(fd, piece);
  }
  if (written === expected) return;
  throw new FormatError(
    `Cannot write ${path}: tensor "${tensor.name}" of ${tensor.dtype} [${tensor.shape.join(", ")}] ` +
      `takes ${expected} bytes, its source gave ${written}. The partial file was removed.`,
  );
}
