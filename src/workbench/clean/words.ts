/** Texts by their words: n-grams that two texts share, and texts that are nearly the same. */
import { deriveSeed } from "../../base/random.ts";

/** Letters with their marks, and digits, of any script; the mark of an emoji stands at no letter. */
const unbroken = /[\p{L}\p{N}][\p{L}\p{M}\p{N}]*/gu;
/** Scripts that are written without spaces between words. */
const spaceless =
  /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmer}\p{sc=Myanmar}]/u;
/** Knows the words of these scripts by ICU's dictionaries. */
const segmenter = new Intl.Segmenter("en", { granularity: "word" });

/** The words of a text in lower case. */
function wordsOf(text: string): string[] {
  const found = text.toLowerCase().match(unbroken) ?? [];
  return found.flatMap((one) =>
    spaceless.test(one) ? [...segmenter.segment(one)].map(({ segment }) => segment) : one,
  );
}

/** All runs of `n` words. */
function wordRuns(words: readonly string[], n: number): string[] {
  return Array.from({ length: Math.max(0, words.length - n + 1) }, (_, i) => words.slice(i, i + n).join(" "));
}

/** Fewer words say nothing of where a text is from. */
const leastWords = 5;

/** Texts that others are looked up in, by their runs of words. */
export class WordRuns {
  readonly #n: number;
  /** Whole texts shorter than n words, by their length. */
  readonly #short: Map<number, Set<string>> = new Map();
  readonly #runs: Set<string> = new Set();

  constructor(n: number) {
    this.#n = n;
  }

  /** @returns whether the text is looked up: one of fewer than five words is not */
  add(text: string): boolean {
    const words = wordsOf(text);
    if (words.length < leastWords) return false;
    if (words.length >= this.#n) for (const run of wordRuns(words, this.#n)) this.#runs.add(run);
    else {
      const known = this.#short.get(words.length) ?? new Set();
      this.#short.set(words.length, known.add(words.join(" ")));
    }
    return true;
  }

  /** The first run of words that `text` shares with a text that was added, or null. */
  sharedBy(text: string): string | null {
    const words = wordsOf(text);
    const long = wordRuns(words, this.#n).find((run) => this.#runs.has(run));
    if (long !== undefined) return long;
    for (const [length, known] of this.#short) {
      const found = wordRuns(words, length).find((run) => known.has(run));
      if (found !== undefined) return found;
    }
    return null;
  }
}

const bands = 16;
const bandSize = 4;
const shingleWords = 3;

/**
 * Finds texts that are nearly one that came before: the Jaccard similarity of their runs of three words.
 *
 * Paper: Broder 1997, On the resemblance and containment of documents. Candidates come from bands of min-hashes (64 hashes in
 * 16 bands of 4: a text of similarity 0.8 is missed once in 5,000); each candidate's similarity is then counted exactly.
 */
export class NearTexts {
  readonly #least: number;
  readonly #kept: ReadonlySet<string>[] = [];
  readonly #buckets: Map<string, number[]> = new Map();

  /** @param least - similarity, above 0 and at most 1 */
  constructor(least: number) {
    this.#least = least;
  }

  /**
   * The number of the text that this one nearly is, with the similarity; null: it is none, and has the next number itself. A text
   * without words is near none.
   */
  add(text: string): { of: number; similarity: number } | null {
    const words = wordsOf(text);
    const shingles = new Set(wordRuns(words, Math.min(shingleWords, Math.max(1, words.length))));
    const keys = shingles.size === 0 ? [] : bandKeys(shingles);
    const candidates = new Set(keys.flatMap((key) => this.#buckets.get(key) ?? []));
    for (const of of candidates) {
      const similarity = jaccard(shingles, this.#kept[of] ?? new Set());
      if (similarity >= this.#least) return { of, similarity };
    }
    const number = this.#kept.push(shingles) - 1;
    for (const key of keys) {
      const bucket = this.#buckets.get(key);
      if (bucket === undefined) this.#buckets.set(key, [number]);
      else bucket.push(number);
    }
    return null;
  }
}

function jaccard(a: ReadonlySet<string>, b: ReadonlySet<string>): number {
  let both = 0;
  for (const one of a) if (b.has(one)) both++;
  return both / (a.size + b.size - both);
}

function bandKeys(shingles: ReadonlySet<string>): string[] {
  const least = new Uint32Array(bands * bandSize).fill(0xffffffff);
  for (const shingle of shingles) {
    const hash = hashOf(shingle);
    for (let i = 0; i < least.length; i++) {
      const one = deriveSeed(hash, i);
      if (one < (least[i] ?? 0)) least[i] = one;
    }
  }
  return Array.from(
    { length: bands },
    (_, band) => `${band} ${least.slice(band * bandSize, (band + 1) * bandSize).join(" ")}`,
  );
}

/** FNV-1a over UTF-16 units. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
