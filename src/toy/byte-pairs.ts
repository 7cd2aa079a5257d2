/**
 * Learns a byte-level BPE vocabulary from a text: the pair of neighbours that comes most often becomes one symbol, again
 * and again (Sennrich et al. 2016, arXiv:1508.07909), on bytes written as GPT-2 writes them.
 */
import { at } from "../base/at.ts";
import { byteSymbols } from "../text/token-bytes.ts";

/** A learned vocabulary. */
export interface BytePairs {
  /** The 256 symbols of single bytes, then what the merges made, in that order. */
  symbols: string[];
  /** Pairs that become one symbol, the first learned first. */
  merges: [string, string][];
}

/** How GPT-2 cuts text into words before merging; tokenizers call it ByteLevel with `use_regex`. */
const wordPattern = /'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;

/**
 * At most `count` merges learned from `text`; fewer when every word that comes twice is a single symbol before.
 * Ties go to the pair that sorts first, so the result depends on the text alone.
 */
export function learnBytePairs(text: string, count: number): BytePairs {
  const alphabet = byteSymbols();
  const symbols = [...alphabet];
  const merges: [string, string][] = [];
  const words = countWords(text, alphabet);
  while (merges.length < count) {
    const best = mostFrequentPair(words);
    if (best === null) break;
    merges.push(best);
    symbols.push(best.join(""));
    for (const word of words) word.symbols = merge(word.symbols, best);
  }
  return { symbols, merges };
}

interface Word {
  symbols: string[];
  count: number;
}

function countWords(text: string, alphabet: readonly string[]): Word[] {
  const counts = new Map<string, number>();
  for (const [word] of text.matchAll(wordPattern)) counts.set(word, (counts.get(word) ?? 0) + 1);
  return [...counts].map(([word, count]) => ({
    symbols: Array.from(Buffer.from(word, "utf8"), (byte) => at(alphabet, byte)),
    count,
  }));
}

/** The pair that comes most often, or null when none comes twice. */
function mostFrequentPair(words: readonly Word[]): [string, string] | null {
  const counts = new Map<string, number>();
  for (const { symbols, count } of words) {
    for (let i = 0; i + 1 < symbols.length; i++) {
      // no byte's symbol is a space
      const pair = `${symbols[i]} ${symbols[i + 1]}`;
      counts.set(pair, (counts.get(pair) ?? 0) + count);
    }
  }
  let best: string | null = null;
  let most = 1;
  for (const [pair, count] of counts) {
    if (count < most || (count === most && (best === null || pair > best))) continue;
    best = pair;
    most = count;
  }
  return best === null ? null : (best.split(" ") as [string, string]);
}

function merge(symbols: readonly string[], [left, right]: readonly [string, string]): string[] {
  const merged: string[] = [];
  for (const symbol of symbols) {
    if (symbol === right && merged.at(-1) === left) merged[merged.length - 1] = left + right;
    else merged.push(symbol);
  }
  return merged;
}
