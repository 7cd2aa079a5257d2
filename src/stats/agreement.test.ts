/** Tests of agreement.ts: other packages' numbers, published tables, and intervals that hold the truth. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { golden } from "../../test/support/goldens.ts";
import { Random } from "../base/random.ts";
import {
  agreementOf,
  cohenKappa,
  type Distance,
  gwetAc1,
  krippendorffAlpha,
  type Ratings,
  rawAgreement,
} from "./agreement.ts";

interface Case {
  categories: number;
  ratings: (number | null)[][];
  kappa: number | null;
  ac1: number;
  raw: number;
  alpha: Record<Distance, number>;
}

const near = (actual: number, expected: number, tolerance: number, what = ""): void =>
  assert.ok(
    Math.abs(actual - expected) <= tolerance,
    `${what} ${actual} is not within ${tolerance} of ${expected}`,
  );

test("kappa, AC1 and alpha are those of scikit-learn, irrCAC and krippendorff to 1e-9", () => {
  const { cases } = golden<{ cases: Case[] }>("agreement");
  for (const { categories, ratings, ...expected } of cases) {
    near(rawAgreement(ratings), expected.raw, 1e-9, "raw");
    near(gwetAc1(ratings, categories), expected.ac1, 1e-9, "AC1");
    if (expected.kappa !== null) near(cohenKappa(ratings, categories), expected.kappa, 1e-9, "kappa");
    for (const distance of ["nominal", "ordinal", "interval"] as const)
      near(krippendorffAlpha(ratings, categories, distance), expected.alpha[distance], 1e-9, distance);
    const { raw, ac1, alpha, kappa } = agreementOf(ratings, categories, { rounds: 20 });
    near(raw.value, expected.raw, 1e-9);
    near(ac1.value, expected.ac1, 1e-9);
    near(alpha.value, expected.alpha.nominal, 1e-9);
    assert.equal(kappa === null, ratings[0]?.length !== 2);
  }
});

/** Four raters, twelve subjects, five categories: Krippendorff 2011, section C; Gwet 2014, the table of four raters. */
const published: Ratings = [
  [0, 0, null, 0],
  [1, 1, 2, 1],
  [2, 2, 2, 2],
  [2, 2, 2, 2],
  [1, 1, 1, 1],
  [0, 1, 2, 3],
  [3, 3, 3, 3],
  [0, 0, 1, 0],
  [1, 1, 1, 1],
  [null, 4, 4, 4],
  [null, null, 0, 0],
  [null, null, 2, null],
];

test("the published table of four raters: AC1 0.77544, alpha 0.743, 0.815 and 0.849", () => {
  near(rawAgreement(published), 0.81818, 5e-6);
  near(gwetAc1(published, 5), 0.77544, 5e-6);
  near(krippendorffAlpha(published, 5), 0.743, 5e-4);
  near(krippendorffAlpha(published, 5, "ordinal"), 0.815, 5e-4);
  near(krippendorffAlpha(published, 5, "interval"), 0.849, 5e-4);
});

test("one common answer: kappa says no agreement where AC1 says much", () => {
  // 118 both yes, 5 and 2 apart, none both no: p_a = 118/125; kappa's p_e = .984 · .96 + .016 · .04, AC1's 2 · .972 · .028
  const units = [
    ...Array.from({ length: 118 }, () => [0, 0]),
    ...Array.from({ length: 5 }, () => [0, 1]),
    ...Array.from({ length: 2 }, () => [1, 0]),
  ];
  near(cohenKappa(units, 2), (0.944 - 0.94528) / (1 - 0.94528), 1e-12);
  near(gwetAc1(units, 2), (0.944 - 0.054432) / (1 - 0.054432), 1e-12);
});

test("no disagreement: intervals keep a width; one category alone has no kappa and no alpha", () => {
  const equal = Array.from({ length: 20 }, (_, i) => [i % 2, i % 2]);
  const { kappa, ac1, raw } = agreementOf(equal, 2);
  assert.deepEqual([kappa?.value, ac1.value, kappa?.high], [1, 1, 1]);
  // Wilson's lower end of 20 of 20 is 1 − 3.8415 / 23.8415 = 0.838875; chance disagrees on half
  near(raw.low, 0.838875, 1e-6);
  near(kappa?.low ?? 0, 1 - (1 - 0.838875) / 0.5, 1e-5);
  const same = agreementOf(
    equal.map(() => [0, 0]),
    2,
  );
  assert.ok(Number.isNaN(same.kappa?.value) && Number.isNaN(same.alpha.value));
  assert.equal(same.ac1.value, 1);
  assert.throws(() => cohenKappa([[0, 0, 1]], 2), /of two raters: expected two places a unit, got 3/);
});

test("95 % intervals of kappa, AC1 and alpha hold the truth in about 95 of 100 samples", () => {
  const random = new Random(3);
  // truth is category 0 in 0.7 of the units; each rater says it with 0.85, else the other one
  const right = 0.85;
  const ratings = (): number[][] =>
    Array.from({ length: 80 }, () => {
      const truth = random.next() < 0.7 ? 0 : 1;
      return [0, 1].map(() => (random.next() < right ? truth : 1 - truth));
    });
  const agree = right ** 2 + (1 - right) ** 2;
  const share = 0.7 * right + 0.3 * (1 - right);
  const byChance = share ** 2 + (1 - share) ** 2;
  const truths = {
    raw: agree,
    kappa: (agree - byChance) / (1 - byChance),
    alpha: (agree - byChance) / (1 - byChance),
    ac1: (agree - (1 - byChance)) / byChance,
  };
  const held = { raw: 0, kappa: 0, alpha: 0, ac1: 0 };
  const samples = 200;
  for (let i = 0; i < samples; i++) {
    const found = agreementOf(ratings(), 2, { rounds: 200, seed: i });
    for (const name of ["raw", "kappa", "alpha", "ac1"] as const) {
      const { low, high } = found[name] ?? { low: 2, high: 2 };
      if (low <= truths[name] && truths[name] <= high) held[name]++;
    }
  }
  // the standard deviation of 0.95 in 200 samples is 0.015
  for (const [name, count] of Object.entries(held))
    assert.ok(count / samples >= 0.89 && count / samples <= 0.995, `${name}: ${count / samples}`);
});
