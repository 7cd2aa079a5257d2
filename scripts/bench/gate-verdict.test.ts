/** The gate's verdict: beyond the noise of the parent's own runs, and not within it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Random } from "../../src/base/random.ts";
import { type GateRound, gateFigures, gateTable } from "./gate-verdict.ts";

test("a commit is slower where the parent's own runs differ by less", () => {
  const quiet = [1, 1.001, 0.999, 1.002].map((after) => ({ before: 1, commit: 1.05, after }));
  const slower = gateFigures("decode", quiet, 5);
  assert.ok(Math.abs(slower.ratio - 1.05) < 0.001 && slower.isSlower);
  const noisy = [1.2, 0.85, 1.15, 0.9].map((after) => ({ before: 1, commit: 1.05, after }));
  assert.equal(gateFigures("decode", noisy, 5).isSlower, false);
  const twice = noisy.map((round) => ({ ...round, commit: 2 }));
  assert.equal(gateFigures("decode", twice, 5).isSlower, true);
});

test("equal runs: a hundredth is not judged, more is; the limit is that of the noise", () => {
  const still = (commit: number) =>
    gateFigures(
      "step",
      [1, 1, 1, 1].map((before) => ({ before, commit, after: 1 })),
      5,
    );
  assert.equal(still(1.009).isSlower, false);
  assert.equal(still(1.02).isSlower, true);
  assert.equal(still(0.5).isSlower, false);
  // a run's variance is 0.02 / 2 where two differ by √0.02; Student's t of 4 degrees of freedom is 3.747 at 0.99, 5.951 at 0.998
  const apart = Math.exp(Math.sqrt(0.02));
  const rounds = [apart, 1 / apart, apart, 1 / apart].map((after) => ({ before: 1, commit: 1, after }));
  for (const [works, errors] of [
    [1, 3.74695],
    [5, 5.9512],
  ] as const) {
    const { limit } = gateFigures("step", rounds, works);
    assert.ok(Math.abs(Math.log(limit) - errors * Math.sqrt((1.5 * 0.01) / 4)) < 1e-4);
  }
  assert.match(gateTable([still(1.02)]), /step +1\.020 +up to 1\.010 +SLOWER$/m);
});

test("of commits that change nothing at most one in a hundred is called slower, with any of its works", () => {
  const random = new Random(3);
  const normal = () => Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next());
  const run = () => Math.exp(0.1 * normal());
  const round = (): GateRound => ({ before: run(), commit: run(), after: run() });
  for (const [rounds, works] of [
    [4, 1],
    [4, 5],
    [5, 5],
  ] as const) {
    const commits = 20_000;
    let alarms = 0;
    for (let i = 0; i < commits; i++) {
      const figures = Array.from({ length: works }, () =>
        gateFigures("step", Array.from({ length: rounds }, round), works),
      );
      alarms += figures.some(({ isSlower }) => isSlower) ? 1 : 0;
    }
    // 0.01 and four standard errors of that
    assert.ok(alarms / commits < 0.0128 && alarms / commits > 0.005, `${rounds}, ${works}: ${alarms}`);
  }
});

test("a time that is none is no verdict", () => {
  const rounds = [1, 1, 1, 1].map((before) => ({ before, commit: 1, after: 1 }));
  for (const commit of [Number.NaN, 0, Number.POSITIVE_INFINITY]) {
    assert.throws(() => gateFigures("decoding", [{ before: 1, commit, after: 1 }, ...rounds], 5), {
      name: "PreftuneError",
      message: new RegExp(
        `^decoding, round 1: expected three processor times in seconds, got 1, ${commit}, 1`,
      ),
    });
  }
});
