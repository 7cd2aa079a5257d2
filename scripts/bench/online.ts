/**
 * `npm run bench:online [-- --cases grpo,rloo,online_dpo,long,islands --mode full,lora --threads N --steps N --rounds N]`: on-policy
 * training here and by TRL's trainers, in turn, on the same prompts, weights and reward. The first step of each run is left out.
 * Each round has another seed.
 */
import { parseArgs } from "node:util";
import {
  type OnlineCase,
  type OnlinePlan,
  type OnlineRecord,
  onlineCases,
  onlineFigures,
  onlineTable,
} from "./online-record.ts";
import { worlds } from "./online-worlds.ts";
import { measureHere, measurePeer, peersPython } from "./processes.ts";
import { listOf, load, machineText, runProgram, say, whole } from "./program.ts";

interface Choice {
  cases: string[];
  modes: OnlinePlan["mode"][];
  threads: number;
  /** Null for what each case has. */
  steps: number | null;
  rounds: number;
}

function readChoice(): Choice {
  const { values } = parseArgs({
    options: {
      cases: { type: "string", default: Object.keys(onlineCases).join(",") },
      mode: { type: "string", default: "full" },
      threads: { type: "string", default: "1" },
      steps: { type: "string" },
      rounds: { type: "string", default: "1" },
    },
  });
  return {
    cases: listOf("cases", values.cases, Object.keys(onlineCases)),
    modes: listOf("mode", values.mode, ["full", "lora"]),
    threads: whole("threads", values.threads, 1),
    // the first step is left out
    steps: values.steps === undefined ? null : whole("steps", values.steps, 2),
    rounds: whole("rounds", values.rounds, 1),
  };
}

/** Both sides of a case in turn, and their table. */
function compare(name: string, mode: OnlinePlan["mode"], choice: Choice, python: string | null): void {
  const form = onlineCases[name] as OnlineCase;
  const { threads, rounds } = choice;
  const { promptsAStep, group, newTokens, method, steps } = { ...form, steps: choice.steps ?? form.steps };
  const world = worlds[form.world]();
  say(
    `\n${name}, ${mode}, ${promptsAStep} prompts × ${group} completions, ${newTokens} new tokens, ${threads} threads`,
  );
  const [ours, theirs]: [OnlineRecord[], OnlineRecord[]] = [[], []];
  for (let seed = 0; seed < rounds; seed++) {
    const plan: OnlinePlan = {
      ...world,
      ...{ method, promptsAStep, group, newTokens, mode, threads, steps, seed },
    };
    ours.push(measureHere("online-child.ts", plan));
    if (python !== null) theirs.push(measurePeer(python, "peer-online.py", plan));
  }
  const sides = [{ side: `preftune ${name}`, records: ours }];
  if (theirs.length > 0) sides.push({ side: `TRL ${method}`, records: theirs });
  say(onlineTable(sides.map(({ side, records }) => onlineFigures(side, form, records))));
}

function main(): void {
  const choice = readChoice();
  const python = peersPython();
  if (python === null) say("No peers: `npm run bench:peers` installs them. Ours alone:");
  say(machineText());
  for (const mode of choice.modes) {
    for (const name of choice.cases) compare(name, mode, choice, python);
  }
  say(`\nload at the end: ${load().toFixed(1)}`);
}

runProgram(main);
