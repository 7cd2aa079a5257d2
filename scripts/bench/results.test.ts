/** Tests of results.ts and run-record.ts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { figuresOf, figuresTable, ratiosOf, ratiosText } from "./results.ts";
import { lossesAgree, spreadOf } from "./run-record.ts";

const work = [9, 2, 2, 2].map((pairs) => ({ pairs, tokens: pairs * 100, flops: pairs * 1e9 }));
const record = (seconds: number[], peakMb: number) => ({
  losses: [1],
  seconds,
  cpuSeconds: seconds.map((s) => s / 2),
  peakMb,
  bareMb: 100,
  gemmGflops: 4,
});
const machine = { gemm: 4e9, threads: 1 };
const ours = figuresOf("ours", [record([99, 1, 2, 4], 300)], work, machine);
const peer = figuresOf("peer", [record([99, 4, 4, 4], 900), record([99, 4, 8, 8], 1100)], work, machine);

test("the first step is left out; rates follow from time, memory is above the bare library", () => {
  assert.deepEqual(ours.pairsPerSecond, { min: 0.5, median: 1, max: 2 });
  assert.deepEqual(ours.pairsPerCpuSecond, { min: 1, median: 2, max: 4 });
  assert.deepEqual(ours.tokensPerSecond, { min: 50, median: 100, max: 200 });
  assert.deepEqual(ours.gemmShare, { min: 0.125, median: 0.25, max: 0.5 });
  assert.deepEqual(peer.memoryMb, { min: 800, median: 900, max: 1000 });
});

test("a median of an even number of values lies between the middle two", () => {
  assert.deepEqual(spreadOf([4, 1, 3, 2]), { min: 1, median: 2.5, max: 4 });
});

test("ratios are of medians; CPU time has a separate line on a busy machine only", () => {
  const ratios = ratiosOf(ours, [peer]);
  assert.equal(ratiosText(ratios, false), "against peer: 2.00× pairs/s, 0.22× memory");
  assert.match(ratiosText(ratios, true), /\n {2}by CPU time \(the machine was busy\): 2\.00× pairs\/s$/);
});

test("the table has a line a trainer", () => {
  const lines = figuresTable([ours, peer], false).split("\n");
  assert.equal(lines.length, 4);
  assert.match(
    lines[2] ?? "",
    /^ours +0\.500 \/ 1\.000 \/ 2\.000 +50 \/ 100 \/ 200 +200 \/ 200 \/ 200 +13 \/ 25 \/ 50$/,
  );
  assert.match(figuresTable([ours, peer], true), /pairs\/CPU s/);
});

test("losses agree up to one part in ten thousand", () => {
  assert.ok(lossesAgree(10.0001, 10.001));
  assert.ok(!lossesAgree(10.0001, 10.0013));
  assert.ok(!lossesAgree(Number.NaN, Number.NaN));
});
