/** How well the rewards of pairs tell the chosen completions, beside how well their lengths do. */
import { at } from "../base/at.ts";
import { bootstrapInterval, type Interval, shareInterval } from "../stats/bootstrap.ts";

/** A pair with its rewards. */
export interface RewardedRow {
  file: string;
  line: number;
  "reward/chosen": number;
  "reward/rejected": number;
  "num_tokens/chosen": number;
  "num_tokens/rejected": number;
}

/** How well the rewards tell the chosen completions of a file. */
export interface RewardAccuracy {
  pairs: number;
  /** Fraction of pairs whose chosen completion has strictly the greater reward, with Wilson's interval of 95 %. */
  accuracy: number;
  accuracyInterval: Interval;
  /** The same of "the longer completion, in tokens": equal lengths count half. */
  lengthAccuracy: number;
  lengthInterval: Interval;
  /** Accuracy on the pairs whose chosen completion is the longer one, and the shorter one; NaN where there are none. */
  accuracyOfLonger: number;
  accuracyOfShorter: number;
  /** Of accuracy − lengthAccuracy: pairs drawn with replacement, 95 %. */
  gainInterval: Interval;
}

/** How often the chosen completion has the greater reward, and how often it is the longer one. */
export function accuracyOf(rows: readonly RewardedRow[]): RewardAccuracy {
  const pairs = rows.length;
  const right = rows.map((row) => (row["reward/chosen"] > row["reward/rejected"] ? 1 : 0));
  const longer = rows.map(
    (row) => (Math.sign(row["num_tokens/chosen"] - row["num_tokens/rejected"]) + 1) / 2,
  );
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  const accuracyWhere = (length: number) => {
    const hits = right.filter((_, i) => longer[i] === length);
    return sum(hits) / hits.length;
  };
  const gain = (draw: Int32Array) =>
    draw.reduce((total, i) => total + at(right, i) - at(longer, i), 0) / pairs;
  return {
    pairs,
    accuracy: sum(right) / pairs,
    accuracyInterval: shareInterval(sum(right), pairs),
    lengthAccuracy: sum(longer) / pairs,
    lengthInterval: shareInterval(sum(longer), pairs),
    accuracyOfLonger: accuracyWhere(1),
    accuracyOfShorter: accuracyWhere(0),
    gainInterval: bootstrapInterval(pairs, gain),
  };
}
