/**
 * Child program, `loading-rank-child.ts BASE RANK SIZE`: loads the part of the model in BASE that a rank of SIZE holds, and prints the
 * bytes that its numbers have in BASE's files. Loading passes nothing between ranks: no others are there.
 */
import type { RankGroup } from "../../src/distributed/rank-group.ts";
import { locationsIn, prepareSharded } from "../../src/train/prepare-sharded.ts";
import { fullTuning } from "./export-cases.ts";

const [base = "", rank, size] = process.argv.slice(2);
const environment = { device: "cpu", dtype: "float32", threads: 1, matmul: "torch" } as const;
const group = { rank: Number(rank), size: Number(size) } as RankGroup;
const { sharded } = prepareSharded(fullTuning(base), environment, { group, keep_gathered: false });
const stored = locationsIn(base);
let share = 0;
for (const { segment, from, to } of sharded.units.flatMap(({ pieces }) => pieces)) {
  const entry = stored(segment.name)?.entry;
  if (entry === undefined) throw new Error(`${segment.name} is stored nowhere`);
  const numel = entry.shape.reduce((product, one) => product * one, 1);
  share += ((to - from) * (entry.end - entry.begin)) / numel;
}
process.stdout.write(`${share}\n`);
