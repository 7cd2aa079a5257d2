/** The benchmark of ranks: what both sides do, what each rank reports, and the table that follows. */
import { at } from "../../src/base/at.ts";
import { textTable } from "../../src/terminal/text-table.ts";
import { lossesAgree, spreadOf } from "./run-record.ts";

/** What a rank does. */
export interface RankPlan {
  modelDir: string;
  workload: string;
  /** Pairs of a step on all ranks, and of a micro-batch on each. */
  pairs: number;
  microBatch: number;
  steps: number;
  threads: number;
  /** How the ranks share the model: of ours none, all, all-kept; of the peer ddp, fsdp, fsdp-kept. */
  way: string;
}

/** The one JSON line of a rank. */
export interface RankRecord {
  rank: number;
  /** Of its rows: of ours the step's, of the peer the rank's own mean. */
  losses: number[];
  /** CPU seconds of each step, all threads. */
  cpuSeconds: number[];
  /** Seconds of each step by the clock. */
  seconds: number[];
  /** Bytes on the loopback interface in each step, of all ranks together. */
  bytes: number[];
  /** MB (2^20 bytes): highest, and with the libraries loaded and no model. */
  peakMb: number;
  bareMb: number;
}

/** The figures of one way, over steps after the first. */
export interface RankFigures {
  name: string;
  ranks: number;
  /** MiB that a rank sends a step. */
  sentMib: number;
  /** CPU seconds of a pair, median over steps, all ranks together. */
  cpuSecondsAPair: number;
  /** By the clock, of all ranks together, median over steps. */
  pairsASecond: number;
  /** Highest of all ranks, MB. */
  peakMb: number;
  bareMb: number;
  /** Loss of the first step, over all rows. */
  firstLoss: number;
}

/** The figures of the records of all ranks. @param meansOfRanks - whether a rank's loss is the mean of its rows alone */
export function figuresOfRanks(
  name: string,
  records: readonly RankRecord[],
  { pairs, meansOfRanks }: { pairs: number; meansOfRanks: boolean },
): RankFigures {
  const ranks = records.length;
  const [first] = records;
  const after = <T>(values: readonly T[]): T[] => values.slice(1);
  const steps = after(at(records, 0).cpuSeconds).map((_, i) =>
    records.reduce((sum, { cpuSeconds }) => sum + at(cpuSeconds, i + 1), 0),
  );
  const losses = records.map((record) => at(record.losses, 0));
  const mean = losses.reduce((sum, loss) => sum + loss, 0) / ranks;
  return {
    ...{ name, ranks },
    sentMib: spreadOf(after(first?.bytes ?? [])).median / ranks / 2 ** 20,
    cpuSecondsAPair: spreadOf(steps).median / pairs,
    pairsASecond: pairs / spreadOf(after(at(records, 0).seconds)).median,
    peakMb: Math.max(...records.map(({ peakMb }) => peakMb)),
    bareMb: Math.max(...records.map(({ bareMb }) => bareMb)),
    firstLoss: meansOfRanks ? mean : at(losses, 0),
  };
}

/** One way's figures over several rounds: medians, and the highest memory. */
export function overRounds(rounds: readonly RankFigures[]): RankFigures {
  const median = (of: (figures: RankFigures) => number) => spreadOf(rounds.map(of)).median;
  return {
    ...at(rounds, 0),
    sentMib: median(({ sentMib }) => sentMib),
    cpuSecondsAPair: median(({ cpuSecondsAPair }) => cpuSecondsAPair),
    pairsASecond: median(({ pairsASecond }) => pairsASecond),
    peakMb: Math.max(...rounds.map(({ peakMb }) => peakMb)),
  };
}

/** The ways side by side. */
export function rankTable(all: readonly RankFigures[]): string {
  const rows = all.map(({ name, ranks, sentMib, cpuSecondsAPair, pairsASecond, peakMb, bareMb }) => [
    name,
    `${ranks}`,
    ranks === 1 ? "–" : sentMib.toFixed(1),
    cpuSecondsAPair.toFixed(3),
    pairsASecond.toFixed(2),
    peakMb.toFixed(0),
    bareMb.toFixed(0),
  ]);
  const header = [
    "",
    "ranks",
    "MiB a rank\nsends a step",
    "CPU s\na pair",
    "pairs\na second",
    "peak MB\na rank",
    "of which\nlibraries",
  ];
  return textTable(header, rows);
}

/** Ways whose first loss differs from the first one's: then they did not compute the same. */
export function disagreeing(all: readonly RankFigures[]): string[] {
  const [first, ...others] = all;
  if (first === undefined) return [];
  return others.filter(({ firstLoss }) => !lossesAgree(firstLoss, first.firstLoss)).map(({ name }) => name);
}
