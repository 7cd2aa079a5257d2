import assert from "node:assert/strict";
import { test } from "node:test";
import { disagreeing, figuresOfRanks, overRounds, type RankRecord, rankTable } from "./rank-record.ts";

const record = (rank: number, loss: number, cpu: number): RankRecord => ({
  ...{ rank, losses: [loss, 9], cpuSeconds: [100, cpu, cpu, 9 * cpu], peakMb: 900 + rank, bareMb: 200 },
  seconds: [50, 2, 4, 8],
  bytes: [0, 4, 2, 3].map((mib) => mib * 2 ** 20),
});

test("bytes of a rank, CPU seconds of a pair over all ranks, the highest peak, the loss of all rows", () => {
  const records = [record(0, 1, 2), record(1, 3, 4)];
  const figures = figuresOfRanks("theirs", records, { pairs: 4, meansOfRanks: true });
  assert.deepEqual(figures, {
    ...{
      name: "theirs",
      ranks: 2,
      sentMib: 1.5,
      cpuSecondsAPair: 1.5,
      pairsASecond: 1,
      peakMb: 901,
      bareMb: 200,
    },
    firstLoss: 2,
  });
  const ours = figuresOfRanks("ours", records, { pairs: 4, meansOfRanks: false });
  assert.equal(ours.firstLoss, 1);
  assert.deepEqual(disagreeing([figures, ours]), ["ours"]);
  assert.deepEqual(disagreeing([figures, { ...figures, name: "same", firstLoss: 2.00001 }]), []);
  assert.match(rankTable([figures]), /theirs +2 +1\.5 +1\.500 +1\.00 +901 +200/);
});

test("several rounds: medians, and the highest memory", () => {
  const round = (cpuSecondsAPair: number, peakMb: number) => ({
    ...{ name: "ours", ranks: 2, sentMib: 1, pairsASecond: 1 / cpuSecondsAPair, bareMb: 200, firstLoss: 1 },
    ...{ cpuSecondsAPair, peakMb },
  });
  const { cpuSecondsAPair, pairsASecond, peakMb } = overRounds([round(1, 900), round(4, 950), round(2, 920)]);
  assert.deepEqual([cpuSecondsAPair, pairsASecond, peakMb], [2, 0.5, 950]);
});
