/** The processes of the benchmark: our trainer's and the peers', with the same settings, one at a time. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { PreftuneError } from "../../src/base/errors.ts";
import { stateFolder } from "../../src/setup/places.ts";
import { heldVariables } from "./held-sets.ts";
import type { OurPlan, OurRecord, RunPlan, RunRecord } from "./run-record.ts";

// glibc gives every big tensor back to the kernel and fetches it again page by page; both sides are spared that
const allocator = {
  MALLOC_MMAP_THRESHOLD_: "100000000000",
  MALLOC_TRIM_THRESHOLD_: "100000000000",
  MALLOC_TOP_PAD_: "268435456",
};

/** Where benchmarks keep models, inputs and results. */
export const benchFolder: string = join(stateFolder(), "bench");

/** A Python in which TRL can be imported: PREFTUNE_PEERS_PYTHON, or what `npm run bench:peers` made; else null. */
export function peersPython(): string | null {
  const own = join(stateFolder(), "peers", "bin", "python");
  const candidates = [process.env["PREFTUNE_PEERS_PYTHON"] ?? "", own];
  const probe = "import importlib.util, sys; sys.exit(importlib.util.find_spec('trl') is None)";
  return candidates.find((p) => existsSync(p) && spawnSync(p, ["-c", probe]).status === 0) ?? null;
}

const versionsProgram = `
import importlib.metadata, json, sys
def version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
print(json.dumps({name: version(name) for name in sys.argv[1:]}))
`;

/** Versions of TRL and what it runs on, in that Python. */
export function peerVersions(python: string): Record<string, string> {
  return lastLine(output(python, ["-c", versionsProgram, "trl", "transformers", "peft", "torch"], 1));
}

/**
 * Runs a program of this folder, or one by its whole path, with our Node and returns what it printed.
 *
 * @param by - the command that is given the program: Node, or a tool with Node behind it
 */
export function runHere(
  file: string,
  args: readonly string[],
  threads: number,
  by: readonly [string, ...string[]] = [process.execPath],
): string {
  const [program, ...options] = by;
  return output(program, [...options, resolve(import.meta.dirname, file), ...args], threads);
}

/** The directory of the benchmark's model of that shape, which is made where there is none yet. */
export function modelNamed(name: string): string {
  const dir = join(benchFolder, name);
  if (!existsSync(dir)) runHere("model-child.ts", [name, dir], 1);
  return dir;
}

/** What a program of this folder, given its plan, reports as JSON in the last line that it prints. */
export function measureHere<Report>(
  file: string,
  plan: { threads: number },
  by?: readonly [string, ...string[]],
): Report {
  return lastLine(runHere(file, [JSON.stringify(plan)], plan.threads, by));
}

/** The same of a Python program of this folder, which may be given more than its plan. */
export function measurePeer<Report>(
  python: string,
  file: string,
  plan: { threads: number },
  ...more: string[]
): Report {
  const args = [join(import.meta.dirname, file), JSON.stringify(plan), ...more];
  return lastLine(output(python, args, plan.threads));
}

/** One run of our trainer. */
export function runOurs(plan: OurPlan): OurRecord {
  return measureHere("ours-child.ts", plan);
}

/** One run of a peer: dpo, dpo_pre or simpo. */
export function runPeer(python: string, plan: RunPlan, objective: string): RunRecord {
  const asked = { ...plan, objective };
  return measurePeer(python, "peer.py", asked);
}

/** What a program prints that ends well. */
export function output(program: string, args: readonly string[], threads: number): string {
  const counts = { OMP_NUM_THREADS: `${threads}`, MKL_NUM_THREADS: `${threads}` };
  const env = { ...process.env, ...heldVariables(), ...allocator, ...counts };
  const result = spawnSync(program, args, { env, encoding: "utf8", maxBuffer: 2 ** 28 });
  if (result.status === 0) return result.stdout;
  const reason = result.error?.message ?? result.stderr.trim().split("\n").slice(-12).join("\n");
  throw new PreftuneError(
    `${program} ${args[0] ?? ""} failed (${result.signal ?? result.status}):\n${reason}`,
  );
}

function lastLine<Report>(text: string): Report {
  return JSON.parse(text.trim().split("\n").at(-1) ?? "");
}
