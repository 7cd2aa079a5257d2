/**
 * `npm run bench:online [-- --cases grpo,rloo,online_dpo,long --mode full,lora --threads N --steps N --rounds N]`: on-policy
 * training here and by TRL's trainers, in turn, on the same prompts, weights and reward. The first step of each run is left out.
 */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ConfigError, PreftuneError } from "../../src/base/errors.ts";
import { stateFolder } from "../../src/setup/places.ts";
import {
  type OnlineCase,
  type OnlinePlan,
  type OnlineRecord,
  onlineCases,
  onlineFigures,
  onlinePrompts,
  onlineTable,
} from "./online-record.ts";
import { peersPython, runHere, runPython } from "./processes.ts";

const folder = join(stateFolder(), "bench");

interface Choice {
  cases: string[];
  modes: OnlinePlan["mode"][];
  threads: number;
  steps: number;
  rounds: number;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function whole(name: string, text: string, least: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= least) return value;
  throw new ConfigError(`--${name}: expected a whole number of at least ${least}, got "${text}"`);
}

function listOf<T extends string>(name: string, text: string, known: readonly T[]): T[] {
  return text.split(",").map((value) => {
    const found = known.find((one) => one === value);
    if (found !== undefined) return found;
    throw new ConfigError(`--${name}: expected some of ${known.join(", ")}; got "${value}"`);
  });
}

function readChoice(): Choice {
  const { values } = parseArgs({
    options: {
      cases: { type: "string", default: Object.keys(onlineCases).join(",") },
      mode: { type: "string", default: "full" },
      threads: { type: "string", default: "1" },
      steps: { type: "string", default: "4" },
      rounds: { type: "string", default: "1" },
    },
  });
  return {
    cases: listOf("cases", values.cases, Object.keys(onlineCases)),
    modes: listOf("mode", values.mode, ["full", "lora"]),
    threads: whole("threads", values.threads, 1),
    // the first step is left out
    steps: whole("steps", values.steps, 2),
    rounds: whole("rounds", values.rounds, 1),
  };
}

function lastLine(text: string): OnlineRecord {
  return JSON.parse(text.trim().split("\n").at(-1) ?? "");
}

/** Both sides of a case in turn, and their table. */
function compare(name: string, plan: OnlinePlan, { rounds }: Choice, python: string | null): void {
  const { mode, promptsAStep, group, newTokens, threads } = plan;
  say(
    `\n${name}, ${mode}, ${promptsAStep} prompts × ${group} completions, ${newTokens} new tokens, ${threads} threads`,
  );
  const [ours, theirs]: [OnlineRecord[], OnlineRecord[]] = [[], []];
  const peer = join(import.meta.dirname, "peer-online.py");
  const text = JSON.stringify(plan);
  for (let round = 0; round < rounds; round++) {
    ours.push(lastLine(runHere("online-child.ts", [text], threads)));
    if (python !== null) theirs.push(lastLine(runPython(python, [peer, text], threads)));
  }
  const sides = [{ side: `preftune ${name}`, records: ours }];
  if (theirs.length > 0) sides.push({ side: `TRL ${plan.method}`, records: theirs });
  say(onlineTable(sides.map(({ side, records }) => onlineFigures(side, plan, records))));
}

function main(): void {
  const choice = readChoice();
  mkdirSync(folder, { recursive: true });
  const modelDir = join(folder, "bench");
  if (!existsSync(modelDir)) runHere("model-child.ts", ["bench", modelDir], 1);
  const prompts = join(folder, "online-prompts.jsonl");
  writeFileSync(
    prompts,
    onlinePrompts()
      .map((prompt) => `${JSON.stringify({ prompt })}\n`)
      .join(""),
  );
  const python = peersPython();
  if (python === null) say("No peers: `npm run bench:peers` installs them. Ours alone:");
  say(`${cpus()[0]?.model ?? "?"} (${cpus().length} CPUs), load ${(loadavg()[0] ?? 0).toFixed(1)}`);
  for (const mode of choice.modes) {
    for (const name of choice.cases) {
      const { threads, steps } = choice;
      compare(
        name,
        { modelDir, prompts, mode, threads, steps, ...(onlineCases[name] as OnlineCase) },
        choice,
        python,
      );
    }
  }
  say(`\nload at the end: ${(loadavg()[0] ?? 0).toFixed(1)}`);
}

try {
  main();
} catch (error) {
  if (!(error instanceof PreftuneError)) throw error;
  process.stderr.write(`preftune: ${error.message}\n`);
  process.exitCode = error.exitCode;
}
