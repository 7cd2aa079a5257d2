/** `preftune init`. */
import { existsSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { createInterface } from "node:readline/promises";
import { type Command, InvalidArgumentError } from "commander";
import { at } from "../base/at.ts";
import { codeVersion } from "../base/code-version.ts";
import { ConfigError } from "../base/errors.ts";
import { formatBytes } from "../base/file-io.ts";
import { writeFileAtomic } from "../base/files.ts";
import { didYouMean } from "../base/suggest.ts";
import { REWARD_SOURCES } from "../config/online-keys.ts";
import { preflightNotes } from "../data/preflight-text.ts";
import { methodNames, methodsWhere } from "../methods/index.ts";
import { type FirstConfig, firstConfig } from "../recipes/first-config.ts";
import { readMemory } from "../setup/hardware.ts";
import { Phases } from "../terminal/phases.ts";
import { commandLine } from "./called-as.ts";
import { positiveNumber } from "./options.ts";
import { pairsOf } from "./overrides.ts";
import { schemaLine } from "./schema-command.ts";

const usualObjective = at(methodNames, 0);

interface CliOptions {
  model?: string;
  data?: string;
  objective?: string;
  memory?: number;
  gpu?: string;
}

/** Adds the command to `preftune`. */
export function addInitCommand(preftune: Command): void {
  preftune
    .command("init")
    .description(
      "write a run's YAML file for your model, rows and memory; the data check and the plan have passed it. Asks on a terminal what is not given",
    )
    .argument("[run.yaml]", "the file to write; default: run.yaml")
    .argument("[overrides...]", "--key value pairs that are to stand in it, as for train")
    .option("--model <name>", "a directory or hub id")
    .option("--data <path>", "rows to train on: a file, directory, glob or hub id")
    .option("--objective <name>", `${methodNames.join(", ")}; default: ${usualObjective}`)
    .option("--memory <GiB>", "memory that the run may take; default: what the device has", positiveNumber)
    .option("--gpu <name>", "a GPU that it is for (h100, rtx4090, ...); default: this machine")
    .allowUnknownOption()
    .action(init);
}

async function init(given: string | undefined, argv: string[], options: CliOptions): Promise<void> {
  const isFile = given !== undefined && !given.startsWith("--");
  const file = isFile ? given : "run.yaml";
  const rest = given === undefined || isFile ? argv : [given, ...argv];
  if (existsSync(file)) throw new ConfigError(`${file} is there already. Name another file, or delete it.`);
  const answers = await answered(options);
  const overrides = pairsOf(rest);
  requireScores(answers.objective, overrides);
  const phases = new Phases();
  const first = await firstConfig({
    ...answers,
    ...(options.gpu === undefined ? {} : { gpu: options.gpu }),
    overrides,
    onPhase: phases.listen,
  });
  phases.done();
  writeFileAtomic(file, fileText(first, file));
  process.stdout.write(`${summary(first, file)}\n`);
}

/** @throws {ConfigError} for an objective that only learns from sampled completions, without anything that scores them */
function requireScores(objective: string, overrides: readonly [string, string][]): void {
  if (!methodsWhere(({ onPolicy }) => onPolicy === "only").some((name) => name === objective)) return;
  const isScored = overrides.some(([word]) =>
    REWARD_SOURCES.some((source) => source === word.replaceAll("-", "_")),
  );
  if (isScored) return;
  throw new ConfigError(
    `${objective} trains on completions that the model samples, which something must score. Add --reward_funcs '["rewards.ts#brevity"]', ` +
      "--reward_model DIR or --judge URL#MODEL; docs/rewards.md has the built-in functions.",
  );
}

/** What the questions ask for. */
interface Answers {
  model: string;
  data: string;
  objective: string;
  memoryGiB?: number;
}

/** The options, and what is asked where they leave something out. */
async function answered(options: CliOptions): Promise<Answers> {
  const { model, data, memory } = options;
  if (process.stdin.isTTY === true && process.stdout.isTTY === true) return asked(options);
  if (model === undefined || data === undefined) {
    throw new ConfigError(
      "expected --model NAME and --data PATH: questions are asked on a terminal only. --objective and --memory have defaults.",
    );
  }
  const objective = options.objective ?? usualObjective;
  return { model, data, objective, ...(memory === undefined ? {} : { memoryGiB: memory }) };
}

async function asked({ model, data, objective, memory, gpu }: CliOptions): Promise<Answers> {
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  const ended = Promise.withResolvers<never>();
  ended.promise.catch(() => {});
  // Ctrl-D: a question would stay without an answer for ever
  const end = (): void =>
    ended.reject(new ConfigError("init: the input ended before all was answered; nothing was written."));
  terminal.once("close", end);
  terminal.once("SIGINT", () => {
    terminal.off("close", end);
    terminal.close();
    process.kill(process.pid, "SIGINT");
  });
  const ask = async (
    question: string,
    usual = "",
    problemOf: (text: string) => string | null = () => null,
  ): Promise<string> => {
    for (;;) {
      const answer = terminal.question(`${question}${usual === "" ? "" : ` [${usual}]`}: `);
      const text = (await Promise.race([answer, ended.promise])).trim() || usual;
      const problem = text === "" ? null : problemOf(text);
      if (problem !== null) process.stdout.write(`${problem}\n`);
      else if (text !== "") return text;
    }
  };
  try {
    const { totalBytes, limitBytes } = readMemory();
    const usual = ((limitBytes ?? totalBytes) / 2 ** 30).toFixed(1);
    const answers = {
      model: model ?? (await ask("Model, a directory or a name on the hub")),
      data: data ?? (await ask("Rows to train on, a file, a directory or a data set on the hub")),
      objective:
        objective ?? (await ask(`Objective (${methodNames.join(", ")})`, usualObjective, objectiveProblem)),
    };
    if (memory !== undefined) return { ...answers, memoryGiB: memory };
    // a GPU brings its own
    if (gpu !== undefined) return answers;
    const text = await ask("Memory that it may take, in GiB", usual, memoryProblem);
    return { ...answers, ...(text === usual ? {} : { memoryGiB: positiveNumber(text) }) };
  } finally {
    terminal.close();
  }
}

function objectiveProblem(text: string): string | null {
  if (methodNames.some((name) => name === text)) return null;
  return `Expected one of ${methodNames.join(", ")}, got "${text}".${didYouMean(text, methodNames)}`;
}

function memoryProblem(text: string): string | null {
  try {
    positiveNumber(text);
    return null;
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error;
    return `${error.message} It is of GiB, without a unit, such as 8; got "${text}".`;
  }
}

function fileText({ yaml }: FirstConfig, file: string): string {
  const folder = dirname(resolve(file));
  return (
    `${schemaLine(folder)}\n` +
    `# Written by preftune init ${codeVersion()}. Every key is explained in docs/configuration.md, and in an editor with a YAML language server.\n` +
    `# To try it without writing anything: ${commandLine(["train", file, "--dry-run"])}\n\n${yaml}`
  );
}

function summary({ data, plan, config }: FirstConfig, file: string): string {
  const { report } = data.dataset;
  const { train, evaluation } = report.counts;
  return [
    `${file}: ${config.method.objective}, ${train} rows to train on, ${evaluation} held out; planned memory ${formatBytes(plan.memory.total)}`,
    ...preflightNotes(report),
    "Next:",
    `  ${commandLine(["train", file, "--dry-run"])}`,
    `  ${commandLine(["train", file])}`,
  ].join("\n");
}
