/** Text that comes in pieces, as lines. */

/** The complete lines of some bytes, each with its newline. A line, like a piece, is valid until the next one is asked for. */
export function* linesIn(pieces: Iterable<Buffer>): Generator<Buffer> {
  let begun: Buffer[] = [];
  for (const piece of pieces) {
    let start = 0;
    for (let end = piece.indexOf(10); end >= 0; end = piece.indexOf(10, start)) {
      const line = piece.subarray(start, end + 1);
      yield begun.length === 0 ? line : Buffer.concat([...begun, line]);
      begun = [];
      start = end + 1;
    }
    // a copy: the next piece may take its place
    if (start < piece.length) begun.push(Buffer.from(piece.subarray(start)));
  }
}
