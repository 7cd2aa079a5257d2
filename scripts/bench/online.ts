/**
 * `npm run bench:online [-- --cases grpo,rloo,online_dpo,long --mode full,lora --threads N --steps N --rounds N]`: on-policy
 * training here and by TRL's trainers, in turn, on the same prompts, weights and reward. The first step of each run is left out.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
  type OnlineCase,
  type OnlinePlan,
  type OnlineRecord,
  onlineCases,
  onlineFigures,
  onlinePrompts,
  onlineTable,
} from "./online-record.ts";
import { benchFolder, measureHere, measurePeer, modelNamed, peersPython } from "./processes.ts";
import { listOf, load, machineText, runProgram, say, whole } from "./program.ts";

interface Choice {
  cases: string[];
  modes: OnlinePlan["mode"][];
  threads: number;
  steps: number;
  rounds: number;
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

/** Both sides of a case in turn, and their table. */
function compare(name: string, plan: OnlinePlan, { rounds }: Choice, python: string | null): void {
  const { mode, promptsAStep, group, newTokens, threads } = plan;
  say(
    `\n${name}, ${mode}, ${promptsAStep} prompts × ${group} completions, ${newTokens} new tokens, ${threads} threads`,
  );
  const [ours, theirs]: [OnlineRecord[], OnlineRecord[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    ours.push(measureHere("online-child.ts", plan));
    if (python !== null) theirs.push(measurePeer(python, "peer-online.py", plan));
  }
  const sides = [{ side: `preftune ${name}`, records: ours }];
  if (theirs.length > 0) sides.push({ side: `TRL ${plan.method}`, records: theirs });
  say(onlineTable(sides.map(({ side, records }) => onlineFigures(side, plan, records))));
}

function main(): void {
  const choice = readChoice();
  mkdirSync(benchFolder, { recursive: true });
  const modelDir = modelNamed("bench");
  const prompts = join(benchFolder, "online-prompts.jsonl");
  writeFileSync(
    prompts,
    onlinePrompts()
      .map((prompt) => `${JSON.stringify({ prompt })}\n`)
      .join(""),
  );
  const python = peersPython();
  if (python === null) say("No peers: `npm run bench:peers` installs them. Ours alone:");
  say(machineText());
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
  say(`\nload at the end: ${load().toFixed(1)}`);
}

runProgram(main);
