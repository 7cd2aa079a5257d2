/** The third table: time and memory of our trainer against answer length, vocabulary and pairs a step, with fitted exponents. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Random } from "../../src/base/random.ts";
import { textTable } from "../../src/terminal/text-table.ts";
import { runOurs } from "./processes.ts";
import { type OurPlan, spreadOf } from "./run-record.ts";
import type { WorkloadRow } from "./workload.ts";

/** A series: one number varies, everything else stays. */
interface Series {
  name: string;
  values: readonly number[];
  planOf: (value: number) => Pick<OurPlan, "modelDir" | "pairs"> & { answer: number };
}

const promptLength = 128;
const series: readonly Series[] = [
  {
    name: "answer length (bench, 1 pair)",
    values: [64, 128, 256, 512, 1024, 2048, 4096],
    planOf: (answer) => ({ modelDir: "bench", pairs: 1, answer }),
  },
  {
    name: "vocabulary (bigvocab's body, 1 pair, answers of 192)",
    values: [32_768, 65_536, 131_072, 262_144],
    planOf: (size) => ({ modelDir: `vocab-${size}`, pairs: 1, answer: 192 }),
  },
  {
    name: "pairs a step (bench, answers of 192)",
    values: [1, 2, 4, 8, 16],
    planOf: (pairs) => ({ modelDir: "bench", pairs, answer: 192 }),
  },
];

/** A measured point. */
export interface ScalingPoint {
  value: number;
  secondsPerStep: number;
  memoryMb: number;
}

/** A measured series. `exponents`: of seconds ∝ valueᵃ, over all points and over the last two; memory likewise. */
export interface ScalingFigures {
  name: string;
  points: ScalingPoint[];
  exponents: Record<"time" | "memory", { all: number; last: number }>;
}

/** The exponent a of y ∝ xᵃ that fits the logarithms with least squares. */
export function exponentOf(points: readonly { x: number; y: number }[]): number {
  const logs = points.map(({ x, y }) => [Math.log(x), Math.log(y)] as const);
  const mean = (i: 0 | 1) => logs.reduce((sum, pair) => sum + pair[i], 0) / logs.length;
  const [x, y] = [mean(0), mean(1)];
  const along = logs.reduce((sum, [a, b]) => sum + (a - x) * (b - y), 0);
  return along / logs.reduce((sum, [a]) => sum + (a - x) ** 2, 0);
}

function rowsOf(count: number, answer: number): WorkloadRow[] {
  const random = new Random(1);
  const ids = (n: number) => Array.from({ length: n }, () => 3 + random.below(31_000));
  return Array.from({ length: count }, () => ({
    prompt_ids: ids(promptLength),
    chosen_ids: ids(answer),
    rejected_ids: ids(answer),
  }));
}

function measurePoint(
  folder: string,
  threads: number,
  given: ReturnType<Series["planOf"]>,
): Omit<ScalingPoint, "value"> {
  const { modelDir, pairs, answer } = given;
  const workload = join(folder, "scaling.jsonl");
  writeFileSync(
    workload,
    rowsOf(pairs, answer)
      .map((row) => `${JSON.stringify(row)}\n`)
      .join(""),
  );
  const record = runOurs({ modelDir, workload, pairs, threads, mode: "full", steps: 3, objective: "slime" });
  return {
    secondsPerStep: spreadOf(record.seconds.slice(1)).median,
    memoryMb: record.peakMb - record.bareMb,
  };
}

/** Runs every point and prints a table a series. `folder`: for the rows. */
export function measureScaling(
  folder: string,
  threads: number,
  say: (line: string) => void,
): ScalingFigures[] {
  return series.map(({ name, values, planOf }) => {
    const points = values.map((value) => ({ value, ...measurePoint(folder, threads, planOf(value)) }));
    const figures = {
      name,
      points,
      exponents: { time: fits(points, "secondsPerStep"), memory: fits(points, "memoryMb") },
    };
    say(`\n${scalingTable(figures)}`);
    return figures;
  });
}

function fits(
  points: readonly ScalingPoint[],
  key: "secondsPerStep" | "memoryMb",
): { all: number; last: number } {
  const logs = points.map((point) => ({ x: point.value, y: point[key] }));
  return { all: exponentOf(logs), last: exponentOf(logs.slice(-2)) };
}

/** A series as a table, its exponents below. */
export function scalingTable({ name, points, exponents: { time, memory } }: ScalingFigures): string {
  const rows = points.map(({ value, secondsPerStep, memoryMb }) => [
    String(value),
    secondsPerStep.toFixed(3),
    memoryMb.toFixed(0),
  ]);
  const exponent = ({ all, last }: { all: number; last: number }) =>
    `${all.toFixed(2)} (${last.toFixed(2)} between the last two)`;
  return [
    textTable([name, "seconds\na step", "MB above\nbare"], rows),
    `time grows with the power ${exponent(time)}, memory with ${exponent(memory)}`,
  ].join("\n");
}
