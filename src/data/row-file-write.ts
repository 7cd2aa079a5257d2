/** Writes tokenised rows as a file: `row-file.ts` says how it is made up. */
import { createHash } from "node:crypto";
import { at } from "../base/at.ts";
import type { Completion, Example } from "./example.ts";
import { bytesOf, magic, pieceBytes, placesOf, type RowFile, type Sizes, version } from "./row-file.ts";
import { stringifyValues } from "./stored-values.ts";

/**
 * The bytes of the file, in pieces of at most 1 MiB that are to be used before the next is asked for.
 *
 * @param fingerprint - 64 hexadecimal digits: of what decides the rows
 */
export function* rowFileBytes(fingerprint: string, file: RowFile): Generator<Uint8Array> {
  const hash = createHash("sha256");
  for (const piece of inPieces(partsOf(fingerprint, file))) {
    hash.update(piece);
    yield piece;
  }
  yield hash.digest();
}

/** The parts before the digest, one behind the other. */
function* partsOf(fingerprint: string, { dataset, ...others }: RowFile): Generator<Uint8Array> {
  const { examples, evalExamples, report, fingerprint: rowsFingerprint } = dataset;
  const all = [...examples, ...(evalExamples ?? [])];
  const files = [...new Set(all.map(({ origin }) => origin.file))];
  const fileNumbers = new Map(files.map((name, number) => [name, number]));
  const details = all.map(detailsOf);
  const facts = Buffer.from(stringifyValues({ files, report, fingerprint: rowsFingerprint, ...others }));
  const sizes = { ...sizesOf(all), details: total(details), facts: facts.length };
  const held = evalExamples === null ? null : evalExamples.length;
  const places = placesOf({ train: examples.length, held, ...sizes });
  let done = 0;
  function* put(place: number, parts: Iterable<Uint8Array>): Generator<Uint8Array> {
    yield new Uint8Array(place - done);
    done = place;
    for (const part of parts) {
      done += part.length;
      yield part;
    }
  }
  const { lists, tokens, masks } = sizes;
  const numbers = [version, examples.length, (held ?? -1) + 1, lists, tokens, masks].map(BigInt);
  const header = BigUint64Array.from([...numbers, BigInt(sizes.details), BigInt(sizes.facts)]);
  yield* put(0, [Buffer.from(magic, "latin1"), bytesOf(header), Buffer.from(fingerprint, "hex")]);
  const row = ({ origin, completions }: Example, i: number) =>
    Float64Array.of(
      ...[origin.line, fileNumbers.get(origin.file) ?? 0, completions.length, at(details, i).length],
    );
  yield* put(places.rows, bytesOfEach(all, row));
  const list = ({ ids, mask }: Completion) => Uint32Array.of(ids.length, mask?.length ?? 0);
  yield* put(places.lists, bytesOfEach(listsOf(all), list));
  yield* put(
    places.tokens,
    bytesOfEach(listsOf(all), ({ ids }) => Int32Array.from(ids)),
  );
  yield* put(
    places.masks,
    bytesOfEach(listsOf(all), ({ mask }) => Uint8Array.from(mask ?? [])),
  );
  yield* put(places.details, details);
  yield* put(places.facts, [facts]);
  yield* put(places.digest, []);
}

function total(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, { length }) => sum + length, 0);
}

/** The prompt of each row and its answers. */
function* listsOf(examples: readonly Example[]): Generator<Completion> {
  for (const { promptIds, completions } of examples) {
    yield { ids: promptIds };
    yield* completions;
  }
}

function* bytesOfEach<T>(
  items: Iterable<T>,
  bytes: (item: T, index: number) => ArrayBufferView,
): Generator<Uint8Array> {
  let index = 0;
  for (const item of items) yield bytesOf(bytes(item, index++));
}

/** What a row has besides its tokens and its place, as JSON; nothing where that is nothing. */
function detailsOf({ origin: _, promptIds: _ids, completions: _all, ...details }: Example): Uint8Array {
  return Buffer.from(Object.keys(details).length === 0 ? "" : stringifyValues(details));
}

function sizesOf(examples: readonly Example[]): Pick<Sizes, "lists" | "tokens" | "masks"> {
  const sizes = { lists: 0, tokens: 0, masks: 0 };
  for (const { ids, mask } of listsOf(examples)) {
    sizes.lists++;
    sizes.tokens += ids.length;
    sizes.masks += mask?.length ?? 0;
  }
  return sizes;
}

/** The same bytes in few pieces. */
function* inPieces(parts: Iterable<Uint8Array>): Generator<Uint8Array> {
  const room = new Uint8Array(pieceBytes);
  let filled = 0;
  for (const part of parts) {
    for (let from = 0; from < part.length; ) {
      const some = part.subarray(from, from + pieceBytes - filled);
      room.set(some, filled);
      from += some.length;
      filled += some.length;
      if (filled < pieceBytes) continue;
      yield room;
      filled = 0;
    }
  }
  yield room.subarray(0, filled);
}
