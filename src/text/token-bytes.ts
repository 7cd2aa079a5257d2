/** The bytes that a token stands for, which may be a part of a character only. */

/** GPT-2's visible stand-ins for the 256 bytes, in the order of the bytes: printable ones stand for themselves. */
export function byteSymbols(): string[] {
  const symbols: string[] = [];
  let next = 256;
  for (let byte = 0; byte < 256; byte++) {
    const isVisible = (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
    symbols.push(String.fromCharCode(isVisible ? byte : next++));
  }
  return symbols;
}

const byteOfSymbol = new Map(byteSymbols().map((symbol, byte) => [symbol, byte]));

/** Bytes of a token of a byte-level vocabulary; null where it has signs that stand for no byte. */
export function byteLevelBytes(token: string): Uint8Array | null {
  const bytes: number[] = [];
  return pushBytes(token, bytes) ? Uint8Array.from(bytes) : null;
}

/** Adds the same bytes to `bytes`. @returns false where the token has none, which are then as they were */
export function pushBytes(token: string, bytes: number[]): boolean {
  const before = bytes.length;
  for (const symbol of token) {
    const byte = byteOfSymbol.get(symbol);
    if (byte === undefined) {
      bytes.length = before;
      return false;
    }
    bytes.push(byte);
  }
  return true;
}
