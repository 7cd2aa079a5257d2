/**
 * Self-BLEU, its scores equal to those of sacrebleu's `BLEU(tokenize="13a", smooth_method="exp",
 * effective_order=True).sentence_score`: n-grams up to 4, several references with clipped counts, the closest
 * reference's length, case kept. Scores are from 0 to 100.
 *
 * BLEU: Papineni et al. 2002. 13a: the tokenisation of NIST's mteval-v13a.pl. Settings: Post 2018, arXiv:1804.08771.
 * Self-BLEU: Zhu et al. 2018, arXiv:1802.01886.
 */
import { at } from "../../base/at.ts";

const longest = 4;

/** White space as Python's `str.split` knows it. */
const space =
  "[\\t-\\r\\u001c-\\u0020\\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]";
const spaces = new RegExp(`${space}+`, "u");
/** From the first of a run on: it would else be tried at each of its places. */
const trailingSpaces = new RegExp(`(?<!${space})${space}+$`, "u");

/** Character references that 13a undoes, in its order: "&amp;lt;" becomes "<". */
const references: readonly (readonly [string, string])[] = [
  ["&quot;", '"'],
  ["&amp;", "&"],
  ["&lt;", "<"],
  ["&gt;", ">"],
];

/** Words and signs of `text` by 13a: signs stand apart, full stop, comma and dash not inside numbers. */
export function words(text: string): string[] {
  let line = text.replace(trailingSpaces, "");
  line = line.replaceAll("<skipped>", "").replaceAll("-\n", "").replaceAll("\n", " ");
  for (const [name, sign] of references) line = line.replaceAll(name, sign);
  line = ` ${line} `
    .replace(/[{-~[-` -&(-+:-@/]/gu, " $& ")
    .replace(/([^0-9])([.,])/gu, "$1 $2 ")
    .replace(/([.,])([^0-9])/gu, " $1 $2")
    .replace(/([0-9])(-)/gu, "$1 $2 ");
  return line.split(spaces).filter((word) => word !== "");
}

/** A text's n-grams, 1 to 4, each with how often it comes. */
interface Counted {
  length: number;
  counts: ReadonlyMap<string, number>;
}

/** The n-gram's words are joined by a space, which no word holds, behind its length. */
function countNgrams(text: string): Counted {
  const tokens = words(text);
  const counts = new Map<string, number>();
  for (let n = 1; n <= longest; n++) {
    for (let i = 0; i + n <= tokens.length; i++) {
      const ngram = `${n} ${tokens.slice(i, i + n).join(" ")}`;
      counts.set(ngram, (counts.get(ngram) ?? 0) + 1);
    }
  }
  return { length: tokens.length, counts };
}

/** The length nearest to `length`; of two the shorter. */
function closest(length: number, lengths: readonly number[]): number {
  return lengths.reduce((best, other) => {
    const gain = Math.abs(best - length) - Math.abs(other - length);
    return gain > 0 || (gain === 0 && other < best) ? other : best;
  }, Number.POSITIVE_INFINITY);
}

/**
 * BLEU of a text. Smoothing: an order without a match counts as half of one match, a quarter at the next such order, and so
 * on. Orders that the text is too short for are left out. 0 without a single match.
 */
function bleu(text: Counted, allowed: (ngram: string) => number, referenceLength: number): number {
  const matches = new Array<number>(longest).fill(0);
  for (const [ngram, count] of text.counts) {
    const n = Number(ngram[0]);
    matches[n - 1] = at(matches, n - 1) + Math.min(count, allowed(ngram));
  }
  if (matches.every((count) => count === 0)) return 0;
  const orders = Math.min(longest, text.length);
  let unmatched = 1;
  let logs = 0;
  for (let n = 1; n <= orders; n++) {
    const total = text.length - n + 1;
    const count = at(matches, n - 1);
    if (count === 0) unmatched *= 2;
    logs += Math.log((100 * (count === 0 ? 1 / unmatched : count)) / total);
  }
  const penalty = text.length < referenceLength ? Math.exp(1 - referenceLength / text.length) : 1;
  return penalty * Math.exp(logs / orders);
}

/**
 * BLEU of each of `texts` against all others, 0 to 100; their mean is the set's Self-BLEU: 100 when all are the same, low
 * when they differ. Two texts at least; fewer give no score.
 */
export function selfBleu(texts: readonly string[]): number[] {
  if (texts.length < 2) return [];
  const counted = texts.map(countNgrams);
  const most = new Map<string, { first: number; holder: number; second: number }>();
  for (const [holder, { counts }] of counted.entries()) {
    for (const [ngram, count] of counts) {
      const known = most.get(ngram);
      if (known === undefined) most.set(ngram, { first: count, holder, second: 0 });
      else if (count > known.first) most.set(ngram, { first: count, holder, second: known.first });
      else if (count > known.second) known.second = count;
    }
  }
  const lengths = counted.map(({ length }) => length);
  return counted.map((text, own) => {
    const allowed = (ngram: string): number => {
      const known = most.get(ngram);
      return known === undefined ? 0 : known.holder === own ? known.second : known.first;
    };
    return bleu(text, allowed, closest(text.length, lengths.toSpliced(own, 1)));
  });
}
