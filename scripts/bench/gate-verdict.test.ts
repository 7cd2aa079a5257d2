/** The gate's verdict: beyond the noise of the parent's own runs, and not within it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { gateFigures, gateTable } from "./gate-verdict.ts";

test("a commit is slower where the parent's own runs differ by less", () => {
  const quiet = [1, 1.001, 0.999, 1.002].map((after) => ({ before: 1, commit: 1.05, after }));
  const slower = gateFigures("decode", quiet);
  assert.ok(Math.abs(slower.ratio - 1.05) < 0.001 && slower.isSlower);
  const noisy = [1.2, 0.85, 1.15, 0.9].map((after) => ({ before: 1, commit: 1.05, after }));
  assert.equal(gateFigures("decode", noisy).isSlower, false);
  assert.equal(
    gateFigures(
      "decode",
      noisy.map((round) => ({ ...round, commit: 2 })),
    ).isSlower,
    true,
  );
});

test("equal runs: a hundredth is not judged, more is; the limit is that of the noise", () => {
  const still = (commit: number) =>
    gateFigures(
      "step",
      [1, 1].map((before) => ({ before, commit, after: 1 })),
    );
  assert.equal(still(1.009).isSlower, false);
  assert.equal(still(1.02).isSlower, true);
  assert.equal(still(0.5).isSlower, false);
  // a run's variance is 0.02 / 2 where two differ by √0.02; 3.5 √(1.5 · 0.01 / 2)
  const apart = Math.exp(Math.sqrt(0.02));
  const { limit } = gateFigures("step", [
    { before: 1, commit: 1, after: apart },
    { before: 1, commit: 1, after: 1 / apart },
  ]);
  assert.ok(Math.abs(Math.log(limit) - 3.5 * Math.sqrt(0.0075)) < 1e-9);
  assert.match(gateTable([still(1.02)]), /step +1\.020 +up to 1\.010 +SLOWER$/m);
});
