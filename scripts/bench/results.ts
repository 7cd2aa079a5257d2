/** From the records of all runs to the figures and tables that are printed. */
import { textTable } from "../../src/terminal/text-table.ts";
import { type RunRecord, type Spread, spreadOf, spreadText } from "./run-record.ts";

/** What a step had to do: by step of a run, the first included. */
export interface StepWork {
  pairs: number;
  /** Prompt once and both answers. */
  tokens: number;
  /** FLOPs needed. */
  flops: number;
}

/** The figures of one trainer over all its rounds; rates are over steps after the first. */
export interface TrainerFigures {
  name: string;
  pairsPerSecond: Spread;
  pairsPerCpuSecond: Spread;
  tokensPerSecond: Spread;
  /** Needed FLOP/s over the machine's own GEMM FLOP/s. */
  gemmShare: Spread;
  /** The same with CPU time shared out over the threads. */
  gemmShareCpu: Spread;
  /** Peak memory above the bare library, MB. */
  memoryMb: Spread;
}

/** Ours over a peer's, medians. */
export interface Ratios {
  peer: string;
  speed: number;
  cpuSpeed: number;
  memory: number;
}

/** The figures of a trainer from its rounds' records. `gemm`: FLOP/s. */
export function figuresOf(
  name: string,
  records: readonly RunRecord[],
  work: readonly StepWork[],
  { gemm, threads }: { gemm: number; threads: number },
): TrainerFigures {
  const rate = (times: "seconds" | "cpuSeconds", amount: (w: StepWork) => number): Spread =>
    spreadOf(
      records.flatMap((record) =>
        work.slice(1).map((step, i) => amount(step) / (record[times][i + 1] ?? Number.NaN)),
      ),
    );
  return {
    name,
    pairsPerSecond: rate("seconds", (w) => w.pairs),
    pairsPerCpuSecond: rate("cpuSeconds", (w) => w.pairs),
    tokensPerSecond: rate("seconds", (w) => w.tokens),
    gemmShare: rate("seconds", (w) => w.flops / gemm),
    gemmShareCpu: rate("cpuSeconds", (w) => (w.flops * threads) / gemm),
    memoryMb: spreadOf(records.map((r) => r.peakMb - r.bareMb)),
  };
}

/** Ours against each peer: speed (more is better) and memory (less is better). */
export function ratiosOf(ours: TrainerFigures, peers: readonly TrainerFigures[]): Ratios[] {
  return peers.map((peer) => ({
    peer: peer.name,
    speed: ours.pairsPerSecond.median / peer.pairsPerSecond.median,
    cpuSpeed: ours.pairsPerCpuSecond.median / peer.pairsPerCpuSecond.median,
    memory: ours.memoryMb.median / peer.memoryMb.median,
  }));
}

/** The table of figures, one trainer a line. With `busy`, pairs per CPU second and the share by CPU time as well. */
export function figuresTable(trainers: readonly TrainerFigures[], busy: boolean): string {
  const columns = ["min / median / max", "pairs/s", "tokens/s", "MB above bare", "% of GEMM"];
  const rows = trainers.map((t) => [
    t.name,
    spreadText(t.pairsPerSecond, 3),
    spreadText(t.tokensPerSecond, 0),
    spreadText(t.memoryMb, 0),
    spreadText(t.gemmShare, 0, 100),
  ]);
  if (!busy) return textTable(columns, rows);
  const more = trainers.map((t) => [spreadText(t.pairsPerCpuSecond, 3), spreadText(t.gemmShareCpu, 0, 100)]);
  return textTable(
    [...columns, "pairs/CPU s", "% of GEMM\nby CPU time"],
    rows.map((row, i) => [...row, ...(more[i] ?? [])]),
  );
}

/** The ratios, one peer a line. With `busy`, those of CPU time on a second line. */
export function ratiosText(ratios: readonly Ratios[], busy: boolean): string {
  return ratios
    .flatMap((r) => [
      `against ${r.peer}: ${r.speed.toFixed(2)}× pairs/s, ${r.memory.toFixed(2)}× memory`,
      ...(busy ? [`  by CPU time (the machine was busy): ${r.cpuSpeed.toFixed(2)}× pairs/s`] : []),
    ])
    .join("\n");
}
