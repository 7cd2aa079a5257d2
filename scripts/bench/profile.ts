/**
 * Where a training step of ours spends its threads' time, by samples of Linux's `perf`: the matrix products, and all that stands between
 * a step and the machine's GEMM.
 */
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "../../src/base/errors.ts";
import { textTable } from "../../src/terminal/text-table.ts";
import { benchFolder, measureHere, output } from "./processes.ts";
import type { StepWork } from "./results.ts";
import type { OurPlan, OurRecord } from "./run-record.ts";

const samplesPerSecond = 499;

/** One sample: when, and in which function of which file. */
export interface Sample {
  /** CLOCK_MONOTONIC, seconds. */
  seconds: number;
  symbol: string;
  /** The file that the code came from. */
  file: string;
}

/** What a thread can be doing, in the order of the table. */
export const activities = [
  "products",
  "packing operands",
  "the addon's other kernels",
  "torch's other operators",
  "waiting for a thread",
  "system",
  "Node, the rest",
] as const;
/** One of them. */
export type Activity = (typeof activities)[number];

/** Fractions of the threads' time; what is left to 1 they slept. */
export type Profile = Record<Activity, number>;

/** Lines of `perf script -F time,ip,sym,dso`; others are passed over. */
export function samplesOf(text: string): Sample[] {
  return text.split("\n").flatMap((line) => {
    const [, seconds, symbol, file] = /^\s*([\d.]+):\s+[0-9a-f]+ (.*) \((.*)\)$/.exec(line) ?? [];
    if (seconds === undefined || symbol === undefined || file === undefined) return [];
    return [{ seconds: Number(seconds), symbol, file }];
  });
}

/** What a sample was taken in. Code that was made at run time is Node's where Node has named it, otherwise oneDNN's. */
export function activityOf({ symbol, file }: Pick<Sample, "symbol" | "file">): Activity {
  if (file.startsWith("[kernel") || file.startsWith("[guest")) return "system";
  if (/libgomp|libiomp|libomp/.test(file)) return "waiting for a thread";
  const isMade = /perf-\d+\.map$|^\/\/anon$|^\[unknown\]$|memfd:/.test(file);
  if (isMade) return symbol === "[unknown]" ? "products" : "Node, the rest";
  if (/gemm\w*copy|transposeRows|::pack(Panels)?\b|copyPanel|copyEnds/.test(symbol))
    return "packing operands";
  if (/gemm|smallProduct|tallTile|skinny|multiplyPacked/i.test(symbol)) return "products";
  if (/preftune.*\.node$/.test(file)) return "the addon's other kernels";
  return /libtorch|libc10|libm[.-]/.test(file) ? "torch's other operators" : "Node, the rest";
}

/** The samples of the steps that count, as fractions of the time that their threads had. */
export function profileOf(samples: readonly Sample[], record: OurRecord, threads: number): Profile {
  const { from, to } = record.measured;
  const counts = Object.fromEntries(activities.map((activity) => [activity, 0])) as Profile;
  for (const sample of samples) {
    if (sample.seconds >= from && sample.seconds <= to) counts[activityOf(sample)] += 1;
  }
  const all = threads * (to - from) * samplesPerSecond;
  return Object.fromEntries(activities.map((activity) => [activity, counts[activity] / all])) as Profile;
}

/**
 * One run of ours under `perf record`.
 *
 * @throws {ConfigError} where there is no perf
 * @throws {PreftuneError} what perf says, where it may not sample
 */
function profileRun(plan: OurPlan): { record: OurRecord; profile: Profile } {
  if (spawnSync("perf", ["--version"]).status !== 0) {
    throw new ConfigError("--tables profile: expected Linux's perf (package linux-perf or perf), found none");
  }
  const data = join(benchFolder, "perf.data");
  const how = ["-k", "CLOCK_MONOTONIC", "-e", "cpu-clock", "-F", String(samplesPerSecond), "-o", data];
  // Node names what it compiles in a file that perf knows
  const under: [string, ...string[]] = [
    "perf",
    "record",
    ...how,
    "--",
    process.execPath,
    "--perf-basic-prof",
  ];
  try {
    const record = measureHere<OurRecord>("ours-child.ts", plan, under);
    const text = output("perf", ["script", "-i", data, "-F", "time,ip,sym,dso"], 1);
    rmSync(`/tmp/perf-${record.pid}.map`, { force: true });
    return { record, profile: profileOf(samplesOf(text), record, plan.threads) };
  } finally {
    rmSync(data, { force: true });
  }
}

/** A row of the table. */
export interface ProfileRow {
  name: string;
  /** Needed FLOP/s over the machine's own, of the steps that were sampled. */
  gemmShare: number;
  profile: Profile;
}

/** One work: `work` is what each step of the plan has to do. */
export function profileWork(name: string, plan: OurPlan, work: readonly StepWork[]): ProfileRow {
  const { record, profile } = profileRun(plan);
  const flops = work.slice(1).reduce((sum, step) => sum + step.flops, 0);
  const { from, to } = record.measured;
  return { name, gemmShare: flops / (to - from) / (1e9 * record.gemmGflops), profile };
}

/** The table, in percent of the threads' time. The last column: % of GEMM, were there nothing but the products. */
export function profileTable(rows: readonly ProfileRow[]): string {
  const percent = (value: number) => (100 * value).toFixed(0);
  return textTable(
    [
      "% of the threads' time",
      ...activities.map((activity) => activity.replace(" ", "\n")),
      "asleep",
      "% of\nGEMM",
      "in products\nalone",
    ],
    rows.map(({ name, gemmShare, profile }) => {
      const parts = activities.map((activity) => profile[activity]);
      const asleep = Math.max(0, 1 - parts.reduce((sum, part) => sum + part, 0));
      return [name, ...parts, asleep, gemmShare, gemmShare / profile.products].map((cell) =>
        typeof cell === "string" ? cell : percent(cell),
      );
    }),
  );
}
