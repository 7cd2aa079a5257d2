/** Options that several commands share, and their parsing. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { ConfigError, exitCodes } from "../base/errors.ts";
import { isGreedyAt } from "../base/temperature.ts";
import { warn } from "../base/warn.ts";
import { scaledPlace } from "../formats/adapter-scale.ts";

/** A whole number from `min` to `max`. */
export function wholeNumber(min: number, max: number = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (Number.isInteger(value) && value >= min && value <= max && text.trim() !== "") return value;
    const bounds = max < Number.MAX_SAFE_INTEGER ? `from ${min} to ${max}` : `of at least ${min}`;
    throw new InvalidArgumentError(`Expected a whole number ${bounds}.`);
  };
}

/** An exit status that is not that of a failure: who restarts by it could not tell the two. */
function exitStatus(text: string): number {
  const value = wholeNumber(1)(text);
  const least = Math.max(...Object.values(exitCodes)) + 1;
  if (value >= least && value <= 255) return value;
  throw new InvalidArgumentError(
    `Expected an exit status from ${least} to 255, such as 75: those below are of failures (docs/commands.md#exit-statuses).`,
  );
}

/** Options of commands that stop with a checkpoint when they are asked to. */
export interface StoppedOptions {
  stoppedStatus?: number;
}

/** Adds --stopped-status. */
export function withStoppedStatus(command: Command): Command {
  return command.option(
    "--stopped-status <status>",
    "exit status after a stop by SIGINT, SIGTERM or SIGHUP, for schedulers that restart what did not end with 0; default: 0",
    exitStatus,
  );
}

/** The arguments that give a child command the same --stopped-status. */
export function stoppedStatusArguments({ stoppedStatus = 0 }: StoppedOptions): string[] {
  return stoppedStatus === 0 ? [] : ["--stopped-status", String(stoppedStatus)];
}

/** Collects the values of an option that may be given several times. */
export function collect(value: string, before: string[]): string[] {
  return [...before, value];
}

/** A number of at least 0. */
export function atLeastZero(text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value >= 0 && text.trim() !== "") return value;
  throw new InvalidArgumentError("Expected a number of at least 0.");
}

/** A number above 0. */
export function positiveNumber(text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0 && text.trim() !== "") return value;
  throw new InvalidArgumentError("Expected a number above 0.");
}

/**
 * Refuses several completions that would all be the same.
 *
 * @throws {ConfigError} saying so
 */
export function refuseSameCompletions({
  samples,
  temperature,
}: {
  samples: number;
  temperature: number;
}): void {
  if (!isGreedyAt(temperature) || samples <= 1) return;
  throw new ConfigError(
    `--samples: ${samples} completions at temperature ${temperature} are all the same. Set it to 1.`,
  );
}

/** Where to compute. */
export interface DeviceOptions {
  device: string;
  threads?: number;
}

/** Earlier and other trainers' names of options, by the name that every command has for the thing. */
const otherNames: Readonly<Record<string, readonly string[]>> = {
  "--limit": ["--rows", "--max-rows", "--max-prompts"],
  "--output": ["--out", "--output-file", "--dir"],
  "--max-new-tokens": ["--max-tokens"],
};

/** Refuses other names of a command's options with the name that they have here. Options of the command by that name stay. */
export function refuseOtherNames(command: Command): void {
  const has = (name: string): boolean => command.options.some(({ long }) => long === name);
  for (const [name, others] of Object.entries(otherNames)) {
    if (!has(name)) continue;
    for (const other of others.filter((alias) => !has(alias))) {
      const refuse = (): never => {
        throw new InvalidArgumentError(`It is ${name} here.`);
      };
      command.addOption(new Option(`${other} <value>`).hideHelp().argParser(refuse));
    }
  }
}

/** The first of the command's options that the user gave, as `--name`, where `isUseless` says that it has no effect; else null. */
export function givenOption(command: Command, isUseless: (name: string) => boolean): string | null {
  const isGiven = (name: string): boolean => command.getOptionValueSource(name) === "cli";
  const names = command.options.map((option) => [option.attributeName(), option.long] as const);
  return names.find(([name]) => isUseless(name) && isGiven(name))?.[1] ?? null;
}

/** Takes `--dir`, which scripts for commands with a judge use for their directory, as `--output`, with a warning. */
export function takeDirAsOutput(command: Command): void {
  command.addOption(new Option("--dir <directory>").hideHelp());
  command.on("option:dir", (directory: string) => {
    warn(`--dir is --output here: results go to ${directory}.`);
    command.setOptionValueWithSource("output", directory, "cli");
  });
}

/** Where to compute, in what type. */
export interface MachineOptions extends DeviceOptions {
  dtype: "auto" | "float32" | "bfloat16";
}

/** Adds --device and --threads. */
export function withDeviceOptions(command: Command): Command {
  return command
    .option("--device <name>", "cpu, cuda, cuda:N, mps or auto", "auto")
    .option("--threads <count>", "threads on the CPU", wholeNumber(1));
}

/** Adds --dtype, --device and --threads. */
export function withMachineOptions(command: Command): Command {
  const dtype = new Option(
    "--dtype <type>",
    "dtype of the activations; auto: bfloat16 where the hardware computes in it",
  );
  return withDeviceOptions(command.addOption(dtype.choices(["auto", "float32", "bfloat16"]).default("auto")));
}

/** The machine options as recipes take them. */
export function environmentOf(options: MachineOptions): {
  device: string;
  dtype: MachineOptions["dtype"];
  threads: number | null;
} {
  return { device: options.device, dtype: options.dtype, threads: options.threads ?? null };
}

/** A chat template in place of the tokenizer's own, and its switch. */
export interface TemplateOptions {
  chatTemplate?: string;
  enableThinking?: "true" | "false";
}

/** Adds --chat-template and --enable-thinking. `whose` begins their descriptions. */
export function withTemplateOptions(command: Command, whose: string = ""): Command {
  return command
    .option(
      "--chat-template <template>",
      `${whose}name, file, directory or text of a chat template; default: the tokenizer's own`,
    )
    .addOption(
      new Option(
        "--enable-thinking <value>",
        `${whose}the template's variable enable_thinking; default: as the template has it without`,
      ).choices(["true", "false"]),
    );
}

/** The template options as recipes take them. */
export function templateOf({ chatTemplate, enableThinking }: TemplateOptions): {
  chatTemplate: string | null;
  enableThinking: boolean | null;
} {
  return {
    chatTemplate: chatTemplate ?? null,
    enableThinking: enableThinking === undefined ? null : enableThinking === "true",
  };
}

/** Adds `--plain-strings`. */
export function withPlainStrings(command: Command): Command {
  const what = "what prompts and answers of plain strings are; text unless given";
  return command.addOption(new Option("--plain-strings <what>", what).choices(["text", "chat"]));
}

/** Adds --adapter-scale; left out: what the adapter's place says, 1 where it says nothing. */
export function withAdapterScale(command: Command): Command {
  return command.addOption(adapterScaleOption());
}

/** --adapter-scale without a default. */
export function adapterScaleOption(): Option {
  return new Option(
    "--adapter-scale <number>",
    "how much of the adapter, or of a full tuning, is taken: 0 is the start, 1 the result, up to 2; see docs/scale.md",
  ).argParser(adapterScale);
}

function adapterScale(text: string): number {
  const scale = text.trim() === "" ? Number.NaN : Number(text);
  if (scale >= 0 && scale <= 2) return scale;
  throw new InvalidArgumentError("Expected a number from 0, the start, over 1, the result, to 2.");
}

/** The adapter at the scale that the options give. @throws {ConfigError} for a scale of nothing */
export function scaledAdapter({ adapter, adapterScale: scale }: ScaleOptions): string | null {
  if (adapter !== undefined) return scaledPlace(adapter, scale ?? null);
  if (scale === undefined) return null;
  throw new ConfigError("--adapter-scale scales an adapter. Give it with --adapter, or leave the scale out.");
}

/** The options of an adapter and its scale. */
export interface ScaleOptions {
  adapter?: string;
  adapterScale?: number;
}
