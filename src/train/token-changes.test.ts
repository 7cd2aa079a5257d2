/** Drift, tail and the tokens that lost most, by hand; log-probs as they are stored. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Example } from "../data/example.ts";
import { loadedLogps, storedLogpBytes, storedLogps } from "../runs/start-logps.ts";
import { damage, fallenTokens, joinedTokens, tokenChanges } from "./token-changes.ts";

const origin = { file: "token-changes.test.ts", line: 1 };
/** Two pairs; of the second one's chosen answer the middle token is masked. */
const examples: Example[] = [
  { origin, promptIds: [1], completions: [{ ids: [10, 11] }, { ids: [12] }] },
  { origin, promptIds: [1], completions: [{ ids: [13, 14, 15], mask: [1, 0, 1] }, { ids: [16, 17] }] },
];
const tokens = (...rows: number[][][]) => rows.map((row) => row.map((logps) => Float32Array.from(logps)));
const start = tokens(
  [[-1, -2], [-3]],
  [
    [-4, -5],
    [-6, -7],
  ],
);
const now = tokens(
  [[-1.5, -2.25], [-2]],
  [
    [-3, -9],
    [-6, -8],
  ],
);

test("drift is the mean absolute change, tail the interpolated 1 % quantile, chosen and rejected apart", () => {
  const figures = damage(tokenChanges(joinedTokens(start), now, examples));
  // chosen: −0.5, −0.25, 1, −4; rejected: 1, 0, −1. numpy.quantile(…, 0.01): −4 + 0.03 · 3.5, −1 + 0.02 · 1
  assert.deepEqual(Object.keys(figures), [
    "displacement/token_change_not_finite",
    "displacement/token_change_mean_abs",
    "displacement/token_change_p01",
    "displacement/rejected_token_change_mean_abs",
    "displacement/rejected_token_change_p01",
  ]);
  const [ruined, drift, tail, rejectedDrift, rejectedTail] = Object.values(figures);
  assert.equal(ruined, 0);
  assert.equal(drift, 5.75 / 4);
  assert.ok(Math.abs(Number(tail) - (-4 + 0.03 * 3.5)) < 1e-6);
  assert.equal(rejectedDrift, 2 / 3);
  assert.ok(Math.abs(Number(rejectedTail) + 0.98) < 1e-6);
});

test("the tokens that lost most, one of an answer, with what stands around them", () => {
  const decode = (ids: readonly number[]) => ids.join(" ");
  const changes = tokenChanges(joinedTokens(start), now, examples);
  assert.deepEqual(fallenTokens(changes, examples, decode), [
    { row: 1, before: "13 14", token: "15", after: "", change: -4, logp: -9 },
    { row: 0, before: "", token: "10", after: "11", change: -0.5, logp: -1.5 },
  ]);
  assert.deepEqual(fallenTokens(tokenChanges(joinedTokens(now), now, examples), examples, decode), []);
});

test("of the tokens that lost most those that are no finite number any more come first", () => {
  const decode = (ids: readonly number[]) => ids.join(" ");
  const lost = tokens(
    [[-1.5, Number.NEGATIVE_INFINITY], [-2]],
    [
      [-3, -99],
      [-6, -8],
    ],
  );
  const of = (values: typeof lost) =>
    fallenTokens(tokenChanges(joinedTokens(start), values, examples), examples, decode).map(
      ({ token, change, logp }) => [token, change, logp],
    );
  assert.deepEqual(of(lost), [
    ["11", Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY],
    ["15", -94, -99],
  ]);
  const noNumber = lost.map((row) => row.map((logps) => logps.map((x) => (x === -99 ? Number.NaN : x))));
  assert.deepEqual(of(noNumber), [
    ["11", Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY],
    ["15", Number.NaN, Number.NaN],
  ]);
});

test("no changes where another number of tokens was kept, and a NaN takes only its own token out", () => {
  assert.deepEqual(tokenChanges(new Float32Array(3), now, examples), []);
  assert.deepEqual(tokenChanges(null, now, examples), []);
  const broken = tokens(
    [[Number.NaN, -2.25], [-2]],
    [
      [-3, -9],
      [-6, -8],
    ],
  );
  const figures = damage(tokenChanges(joinedTokens(start), broken, examples));
  assert.equal(figures["displacement/token_change_mean_abs"], 5.25 / 3);
  assert.equal(figures["displacement/token_change_not_finite"], 1);
});

test("stored log-probs are exact up to a number of tokens and then within 5e-4 nats in two bytes each", () => {
  const logps = Float32Array.from({ length: 1000 }, (_, i) => -Math.exp(i / 240 - 3));
  logps[7] = -1e-7;
  logps[8] = -100.03125;
  logps[9] = Number.NEGATIVE_INFINITY;
  logps[10] = Number.NaN;
  assert.deepEqual(loadedLogps(storedLogps(logps)), logps);
  const stored = storedLogps(logps, 999);
  assert.equal(stored.as, "steps");
  assert.ok(stored.values.length === 2668 && (stored.others ?? "").length <= 16);
  for (const [i, logp] of loadedLogps(stored).entries()) {
    const want = logps[i] ?? 0;
    if (Number.isFinite(want)) assert.ok(Math.abs(logp - want) <= 5e-4, `${logp}, ${want}`);
    else assert.equal(logp, want);
  }
  assert.equal(storedLogpBytes(1000), storedLogps(logps).values.length);
  assert.equal(storedLogpBytes(3 * 2 ** 20), 2 ** 23);
});
