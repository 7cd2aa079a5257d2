/**
 * `npm run bench:gate [-- --base COMMIT --model NAME,NAME --rounds N --threads N]`: this checkout beside its parent commit, in turn, by processor time:
 * a training step, full and LoRA, decoding one and eight sequences, a long prompt. Fails where one is slower beyond the noise of the
 * parent's own runs. The parent is checked out under .preftune/bench/gate, and its addon is built there where the sources of native differ.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ConfigError, PreftuneError } from "../../src/base/errors.ts";
import { readModelConfig } from "../../src/formats/hf-config.ts";
import { chooseMatmul } from "../../src/setup/matmul-choice.ts";
import { packageRoot } from "../../src/setup/places.ts";
import { recordedSetup } from "../../src/setup/set-up.ts";
import type { GateRound } from "./gate-verdict.ts";
import { fewestRounds, gateFigures, gateTable } from "./gate-verdict.ts";
import type { GenerationRecord } from "./generate-record.ts";
import { benchFolder, measureHere, modelNamed } from "./processes.ts";
import { listOf, load, runProgram, say, whole } from "./program.ts";
import type { OurPlan, RunRecord } from "./run-record.ts";
import { shapes } from "./shapes.ts";
import { generatedRows } from "./workload.ts";

/** A piece of work: what it is called, and its processor time in a checkout's programs of scripts/bench. */
interface Work {
  name: string;
  seconds: (programs: string) => number;
}

function git(...args: string[]): string {
  return execFileSync("git", args, { cwd: packageRoot, encoding: "utf8" }).trim();
}

/** Whether a file that git knows is changed: stray ones make no other program. */
function isChanged(): boolean {
  return git("status", "--porcelain", "--untracked-files=no") !== "";
}

/** The commit to compare with: `asked`, else HEAD where something is changed, else its parent. */
function baseCommit(asked: string | undefined): string {
  try {
    if (asked !== undefined) return git("rev-parse", "--verify", `${asked}^{commit}`);
    return git("rev-parse", isChanged() ? "HEAD" : "HEAD^");
  } catch {
    throw new ConfigError(
      `--base: expected a commit of this checkout, got ${asked ?? "none, and HEAD has no parent"}. Give one: --base main`,
    );
  }
}

/** A checkout of `commit`, ready to run; the path of its programs. */
function checkedOut(commit: string): string {
  const folder = join(benchFolder, "gate", commit);
  if (!existsSync(folder)) {
    mkdirSync(join(benchFolder, "gate"), { recursive: true });
    git("worktree", "prune");
    git("worktree", "add", "--detach", folder, commit);
    symlinkSync(join(packageRoot, "node_modules"), join(folder, "node_modules"));
  }
  const { record } = recordedSetup();
  // the same kernels need no second addon
  if (record !== null && git("diff", "--name-only", commit, "--", "native") === "") {
    process.env["PREFTUNE_ADDON"] = record.addon;
    return join(folder, "scripts", "bench");
  }
  say(`building the addon of ${commit.slice(0, 10)}, once`);
  const command = join(folder, "src", "setup", "command.ts");
  const { status } = spawnSync(process.execPath, [command, "setup"], {
    env: { ...process.env, PREFTUNE_TORCH: record?.torch.folder ?? "" },
    stdio: ["ignore", "ignore", "inherit"],
  });
  if (status !== 0) throw new PreftuneError(`the addon of ${commit} could not be built (above)`);
  return join(folder, "scripts", "bench");
}

/** The pieces of work, all on the model of that name. */
function works(model: string, threads: number): Work[] {
  const modelDir = modelNamed(model);
  const workload = join(benchFolder, "workload.jsonl");
  writeFileSync(
    workload,
    `${generatedRows(0)
      .map((row) => JSON.stringify(row))
      .join("\n")}\n`,
  );
  const step = (mode: OurPlan["mode"]): Work => ({
    name: `${model}: training step, ${mode}`,
    seconds: (programs) => {
      const plan: OurPlan = { modelDir, workload, mode, pairs: 1, steps: 4, threads, objective: "slime" };
      const { cpuSeconds }: RunRecord = measureHere(join(programs, "ours-child.ts"), plan);
      return cpuSeconds.slice(1).reduce((sum, value) => sum + value, 0);
    },
  });
  const { vocabSize: vocabulary } = readModelConfig(modelDir);
  const generation = (name: string, batch: number, promptTokens: number, newTokens: number): Work => ({
    name: `${model}: ${name}`,
    seconds: (programs) => {
      const plan = { modelDir, vocabulary, batches: [batch], promptTokens, newTokens, threads };
      const { runs }: GenerationRecord = measureHere(join(programs, "generate-child.ts"), plan);
      return runs[0]?.cpu ?? Number.NaN;
    },
  });
  return [
    step("full"),
    step("lora"),
    generation("decoding, 1 sequence", 1, 8, 64),
    generation("decoding, 8 sequences", 8, 8, 32),
    generation("a prompt of 512 tokens", 1, 512, 1),
  ];
}

function main(): void {
  const { values } = parseArgs({
    options: {
      base: { type: "string" },
      model: { type: "string", default: "bench" },
      rounds: { type: "string", default: "5" },
      threads: { type: "string", default: "1" },
    },
  });
  const rounds = whole("rounds", values.rounds, fewestRounds);
  const threads = whole("threads", values.threads, 1);
  // one library of products for both, whatever each has measured
  process.env["PREFTUNE_MATMUL"] ??= chooseMatmul(true).library;
  const base = baseCommit(values.base);
  const compared = `${git("rev-parse", "HEAD")}${isChanged() ? ", changed," : ""} beside ${base}`;
  say(compared);
  const parent = checkedOut(base);
  const models = listOf("model", values.model, Object.keys(shapes));
  const all = models.flatMap((model) => works(model, threads));
  const figures = all.map(({ name, seconds }) => {
    const measured = Array.from({ length: rounds }, (): GateRound => {
      const before = seconds(parent);
      const commit = seconds(import.meta.dirname);
      return { before, commit, after: seconds(parent) };
    });
    return gateFigures(name, measured, all.length);
  });
  say(`${compared}: ${rounds} rounds, ${threads} threads, load ${load().toFixed(1)}\n${gateTable(figures)}`);
  if (figures.some(({ isSlower }) => isSlower)) process.exitCode = 1;
}

runProgram(main);
