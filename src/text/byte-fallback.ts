/**
 * Decoding of byte-fallback tokens (`<0xEF>`), as used by SentencePiece-style tokenizers.
 *
 * Stands in for the library's own decoder, which drops U+FEFF and counts replacement characters differently.
 */
const byteToken = /^<0x([0-9A-Fa-f]{2})>$/;

/** The byte that a byte-fallback token stands for; null for any other token. */
export function byteOfToken(token: string): number | null {
  const digits = byteToken.exec(token)?.[1];
  return digits === undefined ? null : Number.parseInt(digits, 16);
}

/** Ids of the byte-fallback tokens of all 256 bytes; undefined where the vocabulary lacks one. */
export function idsOfBytes(ids: ReadonlyMap<string, number>): (number | undefined)[] {
  return Array.from({ length: 256 }, (_, byte) =>
    ids.get(`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`),
  );
}

/**
 * The tokens with each run of byte tokens replaced by its text.
 * A run that is not UTF-8 becomes a token U+FFFD for each byte, as in the Rust tokenizers.
 */
export function joinByteTokens(tokens: readonly string[]): string[] {
  const out: string[] = [];
  let run: number[] = [];
  const flush = (): void => {
    if (run.length > 0) out.push(...decodeRun(run));
    run = [];
  };
  for (const token of tokens) {
    const byte = byteOfToken(token);
    if (byte !== null) {
      run.push(byte);
    } else {
      flush();
      out.push(token);
    }
  }
  flush();
  return out;
}

const strictDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function decodeRun(bytes: number[]): string[] {
  try {
    return [strictDecoder.decode(Uint8Array.from(bytes))];
  } catch {
    return bytes.map(() => "\uFFFD");
  }
}
