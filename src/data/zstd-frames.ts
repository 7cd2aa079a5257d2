/**
 * Zstandard files of any number of frames (RFC 8878), as `cat`, `pzstd` and appending tools make them. Node's
 * decompressor drops what stands behind the end of a frame in the same chunk, so it is given each frame by itself.
 */
import { Readable } from "node:stream";
import zlib from "node:zlib";

import { ByteReader } from "./byte-reader.ts";

const frameMagic = 0xfd2fb528;
const skippableMagic = 0x184d2a50;

/** Bytes gathered before they go to the decompressor: blocks have headers of three bytes. */
const gathered = 64 * 1024;

/**
 * The content of all frames, skippable ones left out.
 *
 * @throws CutShortError, or an Error whose message continues a sentence about the file, when it is not such a file to its end
 */
export async function* decompressZstd(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const pieces = Readable.from(framePieces(new ByteReader(source)));
  const content = zlib.createZstdDecompress();
  pieces.on("error", (error) => content.destroy(error));
  try {
    for await (const piece of pieces.pipe(content)) yield piece as Buffer;
  } finally {
    pieces.destroy();
    content.destroy();
  }
}

/** The bytes of the frames; no piece has bytes of two of them. */
async function* framePieces(reader: ByteReader): AsyncGenerator<Buffer> {
  let magic = await reader.upTo(4);
  if (magic.length === 0) throw new Error("it is empty");
  if (kindOf(magic) === null) throw new Error("it does not begin as one");
  for (let kind = kindOf(magic); kind !== null; kind = kindOf(magic)) {
    if (kind === "frame") yield* gather(frame(reader, magic));
    else for await (const _ of reader.pass((await reader.take(4)).readUInt32LE()));
    magic = await reader.upTo(4);
  }
  if (magic.length > 0) throw new Error("other bytes stand behind its last frame");
}

function kindOf(magic: Buffer): "frame" | "skippable" | null {
  if (magic.length < 4) return null;
  const number = magic.readUInt32LE();
  if (number === frameMagic) return "frame";
  return number >>> 4 === skippableMagic >>> 4 ? "skippable" : null;
}

/** One frame: header, blocks, checksum. */
async function* frame(reader: ByteReader, magic: Buffer): AsyncGenerator<Buffer> {
  const descriptor = await reader.take(1);
  const flags = descriptor.readUInt8();
  const isSingleSegment = (flags & 0x20) !== 0;
  const contentSizeBytes = [isSingleSegment ? 1 : 0, 2, 4, 8][flags >> 6] ?? 0;
  const dictionaryBytes = [0, 1, 2, 4][flags & 3] ?? 0;
  const rest = (isSingleSegment ? 0 : 1) + dictionaryBytes + contentSizeBytes;
  yield Buffer.concat([magic, descriptor, await reader.take(rest)]);
  for (let isLast = false; !isLast; ) {
    const header = await reader.take(3);
    yield header;
    const fields = header.readUIntLE(0, 3);
    isLast = (fields & 1) === 1;
    const type = (fields >> 1) & 3;
    yield* reader.pass(type === 1 ? 1 : fields >> 3);
  }
  if ((flags & 4) !== 0) yield await reader.take(4);
}

async function* gather(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let held: Buffer[] = [];
  let bytes = 0;
  for await (const piece of pieces) {
    held.push(piece);
    bytes += piece.length;
    if (bytes < gathered) continue;
    yield Buffer.concat(held);
    held = [];
    bytes = 0;
  }
  if (bytes > 0) yield Buffer.concat(held);
}
