/**
 * `npm run bench -- distributed [--ranks 2 --pairs 4 --micro-batch 2 --steps 4 --rounds 1 --workload FILE]`: our ways of sharing a model
 * among ranks beside PyTorch's DDP and FSDP2, on the same rows and weights, one thread a rank. Ranks of a run are alone on the loopback
 * interface of a network namespace, so that its counters are theirs.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { at } from "../../src/base/at.ts";
import { PreftuneError } from "../../src/base/errors.ts";
import { heldVariables } from "./held-sets.ts";
import { benchFolder, modelNamed, peersPython } from "./processes.ts";
import { machineText, say, whole } from "./program.ts";
import {
  disagreeing,
  figuresOfRanks,
  overRounds,
  type RankFigures,
  type RankPlan,
  type RankRecord,
  rankTable,
} from "./rank-record.ts";
import { generatedRows } from "./workload.ts";

/** A way of sharing, under its name in the table. */
interface Way {
  name: string;
  way: string;
  ranks: (wanted: number) => number;
  isPeer: boolean;
}

const one = (): number => 1;
const wanted = (ranks: number): number => ranks;
const ways: readonly Way[] = [
  { name: "preftune, one process", way: "none", ranks: one, isPeer: false },
  { name: "preftune, shard: none", way: "none", ranks: wanted, isPeer: false },
  { name: "preftune, shard: all", way: "all", ranks: wanted, isPeer: false },
  { name: "preftune, shard: all, keep_gathered", way: "all-kept", ranks: wanted, isPeer: false },
  { name: "PyTorch, one process", way: "ddp", ranks: one, isPeer: true },
  { name: "PyTorch DDP", way: "ddp", ranks: wanted, isPeer: true },
  { name: "PyTorch FSDP2", way: "fsdp", ranks: wanted, isPeer: true },
  { name: "PyTorch FSDP2, kept", way: "fsdp-kept", ranks: wanted, isPeer: true },
];

/** Compares all ways and prints the table. */
export function compareRanks(args: readonly string[]): void {
  const { values } = parseArgs({
    args: [...args],
    options: {
      ranks: { type: "string", default: "2" },
      pairs: { type: "string", default: "4" },
      "micro-batch": { type: "string", default: "2" },
      steps: { type: "string", default: "4" },
      rounds: { type: "string", default: "1" },
      workload: { type: "string" },
    },
  });
  const ranks = whole("ranks", values.ranks, 2);
  const plan = {
    ...{ modelDir: modelNamed("bench"), workload: workloadOf(values.workload), threads: 1 },
    ...{
      pairs: whole("pairs", values.pairs, ranks),
      microBatch: whole("micro-batch", values["micro-batch"], 1),
    },
    steps: whole("steps", values.steps, 2),
  };
  const python = peersPython();
  if (python === null) say("No peers: `npm run bench:peers` installs them. Our own trainer alone:");
  say(`${machineText()}, bench, ${plan.pairs} pairs a step, one thread a rank`);
  const present = ways.filter(({ isPeer }) => !isPeer || python !== null);
  // in turn, so that what the machine does besides meets all alike
  const rounds = Array.from({ length: whole("rounds", values.rounds, 1) }, () =>
    present.map((way) => measured(way, { ...plan, way: way.way }, { ranks: way.ranks(ranks), python })),
  );
  const all = present.map((_, i) => overRounds(rounds.map((figures) => at(figures, i))));
  say(rankTable(all));
  const others = disagreeing(all);
  if (others.length > 0) say(`first losses differ from ours: ${others.join(", ")}`);
  const file = join(benchFolder, `ranks-${Date.now()}.json`);
  writeFileSync(file, `${JSON.stringify({ machine: machineText(), plan, all, rounds }, null, 2)}\n`);
  say(`\nwritten: ${file}`);
}

function workloadOf(given: string | undefined): string {
  if (given !== undefined) return resolve(given);
  mkdirSync(benchFolder, { recursive: true });
  const file = join(benchFolder, "workload.jsonl");
  writeFileSync(
    file,
    `${generatedRows(0)
      .map((row) => JSON.stringify(row))
      .join("\n")}\n`,
  );
  return file;
}

function measured(
  { name, isPeer }: Way,
  plan: RankPlan,
  { ranks, python }: { ranks: number; python: string | null },
): RankFigures {
  const file = join(import.meta.dirname, isPeer ? "peer_ranks.py" : "ranks-child.ts");
  const program = isPeer ? [python ?? "", file] : [process.execPath, ...process.execArgv, file];
  const records = recordsOf([...program, JSON.stringify(plan)], ranks);
  const figures = figuresOfRanks(name, records, { pairs: plan.pairs, meansOfRanks: isPeer });
  say(
    `${name}: ${figures.sentMib.toFixed(1)} MiB a rank sends a step, ${figures.cpuSecondsAPair.toFixed(2)} CPU s a pair`,
  );
  return figures;
}

/** Ranks meet on it: in the namespace nobody else listens. */
const port = "29533";

/** Starts a rank for each of COUNT, each with its output in a file, and waits for all. */
const script = `
ip link set lo up 2>/dev/null
out=$1 count=$2; shift 2
export MASTER_ADDR=127.0.0.1 MASTER_PORT=${port}
for rank in $(seq 0 $((count - 1))); do
  if [ "$count" -gt 1 ]; then export RANK=$rank LOCAL_RANK=$rank WORLD_SIZE=$count LOCAL_WORLD_SIZE=$count; fi
  "$@" > "$out/$rank.json" 2> "$out/$rank.err" &
done
for job in $(jobs -p); do wait "$job" || failed=1; done
exit "\${failed:-0}"
`;

/** What the ranks of a run reported. */
function recordsOf(command: readonly string[], ranks: number): RankRecord[] {
  const out = mkdtempSync(join(tmpdir(), "preftune-ranks-"));
  try {
    const counts = { OMP_NUM_THREADS: "1", MKL_NUM_THREADS: "1" };
    const env = { ...process.env, ...heldVariables(), ...counts, HF_HUB_OFFLINE: "1" };
    const shell = ["bash", "-c", script, "ranks", out, String(ranks), ...command];
    const [program = "", ...rest] = hasNamespaces() ? ["unshare", "-rn", ...shell] : shell;
    const { status, error } = spawnSync(program, rest, { env, encoding: "utf8", timeout: 3600_000 });
    const read = (rank: number, ending: string) =>
      readFileSync(join(out, `${rank}.${ending}`), "utf8").trim();
    const all = Array.from({ length: ranks }, (_, rank) => rank);
    if (status === 0) return all.map((rank) => JSON.parse(read(rank, "json").split("\n").at(-1) ?? ""));
    const said = all.map((rank) => `rank ${rank}: ${read(rank, "err").split("\n").slice(-8).join("\n")}`);
    throw new PreftuneError(`${command[1]} failed (${error?.message ?? status}):\n${said.join("\n")}`);
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}

let namespaces: boolean | null = null;

/** Whether network namespaces can be made here; without them the bytes of other programs on the loopback interface count too. */
function hasNamespaces(): boolean {
  if (namespaces === null) {
    namespaces = spawnSync("unshare", ["-rn", "ip", "link", "set", "lo", "up"]).status === 0;
    if (!namespaces)
      say(
        "No network namespaces here (unshare -rn): bytes of other programs on the loopback interface count too.",
      );
  }
  return namespaces;
}
