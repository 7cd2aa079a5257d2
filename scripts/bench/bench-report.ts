/** `npm run bench -- --report`: the results of one run as a page of Markdown that can be set beside those of other machines. */
import { at } from "../../src/base/at.ts";
import { counted } from "../../src/base/number-text.ts";
import type { Compared } from "./comparison.ts";
import { peerNames } from "./comparison.ts";
import { type RunRecord, spreadOf, spreadText } from "./run-record.ts";

/** What a machine reaches at a number of threads. */
export interface MachineSpeed {
  threads: number;
  /** What the fastest loop reads of 512 MiB, GB/s. */
  readGbPerSecond: number;
  /** 1536³, float32. */
  gemmGflops: number;
  /** What the addon's own kernels use. */
  instructionSet: string;
}

/** What a run can be asked for beside model, mode, pairs and threads, which stand with each comparison. */
export interface ReportSettings {
  /** Of our runs. */
  optim: string;
  /** `logits_kept_mib` of our runs; null for automatic. */
  keptMib: number | null;
  /** Steps of a run, the first of which is left out. */
  steps: number;
  /** Rows: how many, their file where they were given, and the SHA-256 of it. */
  workload: { rows: number; file: string | null; sha256: string };
}

/** What the figures were measured on, and when. */
export interface ReportFacts {
  /** Name, family, model and features. */
  processor: string;
  /** Those that the processor has, or is held to by PREFTUNE_ISA, the widest last. */
  instructionSets: string;
  /** Variables that hold the libraries of all processes, the peers' too: NAME=VALUE. */
  masks: readonly string[];
  cores: number;
  versions: string;
  /** Of TRL and what it runs on; null without peers. */
  peerVersions: Readonly<Record<string, string>> | null;
  settings: ReportSettings;
  commit: string;
  /** Of the last minute, before the first run and after the last. */
  load: [before: number, after: number];
  speeds: readonly MachineSpeed[];
}

/** Time of all steps but the first. */
function timeOf(record: RunRecord, key: "seconds" | "cpuSeconds"): number {
  return record[key].slice(1).reduce((sum, value) => sum + value, 0);
}

/** A peer's time over that of our run just before it, round by round. */
export function roundRatios(
  { records }: Pick<Compared, "records">,
  peer: string,
  key: "seconds" | "cpuSeconds",
): number[] {
  const peers = Object.keys(records).filter((name) => name !== "ours");
  const place = peers.indexOf(peer);
  // in a round each peer has a run of ours before it
  return (records[peer] ?? []).map((record, round) => {
    const ours = at(records["ours"] ?? [], round * peers.length + place);
    return timeOf(record, key) / timeOf(ours, key);
  });
}

function memoryRatio({ records }: Pick<Compared, "records">, peer: string): number {
  const median = (name: string) =>
    spreadOf((records[name] ?? []).map(({ peakMb, bareMb }) => peakMb - bareMb)).median;
  return median("ours") / median(peer);
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |`;
}

function comparisonRows(compared: Compared): string[] {
  const { model, plan, trainers, products, records } = compared;
  const [ours] = trainers;
  if (ours === undefined) return [];
  const what = `\`${model}\`, ${plan.mode}, ${plan.pairs} pairs a step, ${plan.threads} threads`;
  const peers = Object.keys(records).filter((name) => name !== "ours");
  const own = [what, "preftune", spreadText(ours.pairsPerSecond, 3), spreadText(ours.pairsPerCpuSecond, 3)];
  const share = `${spreadText(ours.gemmShare, 0, 100)} %, ${spreadText(ours.gemmShareCpu, 0, 100)} %`;
  const alone = `${((100 * products.gflops) / products.gemmGflops).toFixed(0)} %`;
  return [
    row([...own, "", "", ours.memoryMb.median.toFixed(0), share, alone]),
    ...peers.map((peer) => {
      const ratio = (key: "seconds" | "cpuSeconds") =>
        `${spreadText(spreadOf(roundRatios(compared, peer, key)), 2)}×`;
      const figures = trainers.find(({ name }) => name === peerNames[peer]);
      const pairs = figures === undefined ? "" : spreadText(figures.pairsPerSecond, 3);
      const cpuPairs = figures === undefined ? "" : spreadText(figures.pairsPerCpuSecond, 3);
      const memory = `${memoryRatio(compared, peer).toFixed(2)}×`;
      return row([
        "",
        peerNames[peer] ?? peer,
        pairs,
        cpuPairs,
        ratio("seconds"),
        ratio("cpuSeconds"),
        memory,
        "",
        "",
      ]);
    }),
  ];
}

function setsText({ instructionSets, masks, speeds }: ReportFacts): string {
  const used = [...new Set(speeds.map(({ instructionSet }) => instructionSet))].join(", ");
  const held = masks.length === 0 ? [] : [`processes, the peers' too, are held by ${masks.join(", ")}`];
  return [instructionSets, `the addon's own kernels use ${used}`, ...held].join("; ");
}

function settingsText({ optim, keptMib, steps, workload: { rows, file, sha256 } }: ReportSettings): string {
  return [
    `--optim ${optim}`,
    `--kept-mib ${keptMib ?? "automatic"}`,
    `--steps ${steps} (the first is left out)`,
    `${file === null ? "generated rows" : `--workload ${file}`}: ${rows} rows, SHA-256 ${sha256.slice(0, 12)}`,
  ].join("; ");
}

function peersText(versions: ReportFacts["peerVersions"]): string {
  const all = Object.entries(versions ?? {}).map(([name, version]) => `${name} ${version}`);
  return versions === null ? "none" : all.join("; ");
}

/** The page. Ratios are those of single rounds: least / median / most. */
export function reportText(facts: ReportFacts, compared: readonly Compared[]): string {
  const { processor, cores, versions, commit, load, speeds } = facts;
  const rounds = Math.max(0, ...compared.map(({ records }) => (Object.values(records).at(-1) ?? []).length));
  const threads = (speed: MachineSpeed) => counted(speed.threads, "thread");
  return [
    `### ${processor}`,
    "",
    row(["", ""]),
    row(["---", "---"]),
    row(["Instruction sets", setsText(facts)]),
    row(["Cores", String(cores)]),
    row([
      "Memory read",
      speeds.map((speed) => `${speed.readGbPerSecond.toFixed(1)} GB/s (${threads(speed)})`).join(", "),
    ]),
    row([
      "GEMM, float32, 1536³",
      speeds.map((speed) => `${speed.gemmGflops.toFixed(0)} GFLOP/s (${threads(speed)})`).join(", "),
    ]),
    row(["Load, before and after", `${load[0].toFixed(1)}, ${load[1].toFixed(1)}`]),
    row(["Versions", versions]),
    row(["Versions of the peers", peersText(facts.peerVersions)]),
    row(["Settings", settingsText(facts.settings)]),
    row(["Commit", commit]),
    row(["Rounds", `${rounds}, in turn; least / median / most of rounds and steps`]),
    "",
    row([
      ...[
        "Work",
        "Trainer",
        "Pairs/s",
        "Pairs per second of processor time",
        "preftune's speed over it, by round",
      ],
      ...[
        "the same by processor time",
        "MB above bare, or preftune's over it",
        "% of GEMM by wall clock, by processor time",
        "the step's products alone, % of GEMM",
      ],
    ]),
    row(Array.from({ length: 9 }, () => "---")),
    ...compared.flatMap(comparisonRows),
    "",
  ].join("\n");
}
