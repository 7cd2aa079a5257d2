/** `preftune plan`. */
import { type Command, InvalidArgumentError } from "commander";
import { ConfigError } from "../base/errors.ts";
import { warn } from "../base/warn.ts";
import { loadConfig, loadWithout } from "../config/load-config.ts";
import { comparedMethods, labelsOf, wordList } from "../methods/index.ts";
import { formatPlan } from "../planner/plan-text.ts";
import { type PlanOptions, plan } from "../recipes/plan.ts";
import type { PlanConfig } from "../recipes/plan-rows.ts";
import { Phases } from "../terminal/phases.ts";
import { positiveNumber, wholeNumber } from "./options.ts";
import { pairsOf } from "./overrides.ts";

interface CliOptions {
  modelConfig?: string;
  gpu?: string;
  count: number;
  nodes: number;
  link?: number;
  memory?: number;
  tflops?: number;
  gflops?: number;
  mfu?: number;
  pairs?: number;
  promptTokens?: number;
  chosenTokens?: number;
  rejectedTokens?: number;
  json?: true;
}

/** Adds the command to `preftune`. */
export function addPlanCommand(preftune: Command): void {
  preftune
    .command("plan")
    .description(
      `memory, FLOPs, largest batch and time of a run before it starts, for ${wordList(labelsOf(comparedMethods))} side by side`,
    )
    .argument("[run.yaml]", "a training configuration; may be left out with --model-config")
    .argument("[overrides...]", "--key value pairs, as for train")
    .option("--model-config <file>", "a config.json in place of the model's; no weights are needed")
    .option("--gpu <name>", "plan for this GPU (h100, h200, a100-80g, rtx4090, ...); default: this machine")
    .option("--count <devices>", "number of devices, one a rank", wholeNumber(1), 1)
    .option("--nodes <hosts>", "hosts that they are on, equally many on each", wholeNumber(1), 1)
    .option(
      "--link <GB/s>",
      "what a rank sends to other hosts; default 50 on GPUs, 1.25 on CPUs",
      positiveNumber,
    )
    .option("--memory <GiB>", "memory of the device", positiveNumber)
    .option("--tflops <number>", "peak TFLOP/s of the GPU", positiveNumber)
    .option("--gflops <number>", "peak GFLOP/s of the CPU, all threads together", positiveNumber)
    .option(
      "--mfu <fraction>",
      "model FLOPs utilisation: fraction of the peak; default 0.4 on a GPU, 0.7 on the CPU",
      share,
    )
    .option("--pairs <count>", "pairs per epoch", wholeNumber(1))
    .option("--prompt-tokens <count>", "tokens per prompt, in place of the data's", wholeNumber(1))
    .option("--chosen-tokens <count>", "tokens per chosen completion", wholeNumber(1))
    .option("--rejected-tokens <count>", "tokens per rejected completion", wholeNumber(1))
    .option("--json", "the plan as JSON")
    .allowUnknownOption()
    .action(run);
}

function share(text: string): number {
  const value = positiveNumber(text);
  if (value <= 1) return value;
  throw new InvalidArgumentError("Expected a share above 0 and at most 1.");
}

async function run(file: string | undefined, argv: string[], options: CliOptions): Promise<void> {
  const loaded = configOf(file, argv, options);
  for (const text of loaded.warnings) warn(text);
  const phases = new Phases();
  const result = await plan(loaded.config, {
    ...planOptions(options),
    onPhase: phases.listen,
  });
  phases.done();
  process.stdout.write(options.json === true ? `${JSON.stringify(result, null, 2)}\n` : formatPlan(result));
}

/** The configuration; without a file, one with the defaults of training and the options of the command line. */
function configOf(
  file: string | undefined,
  argv: readonly string[],
  { modelConfig }: CliOptions,
): { config: PlanConfig; warnings: string[] } {
  if (file !== undefined && !file.startsWith("--")) return loadConfig({ file, overrides: pairsOf(argv) });
  if (modelConfig === undefined) {
    throw new ConfigError("expected a training configuration, or --model-config FILE for a model alone");
  }
  const overrides = pairsOf(file === undefined ? [] : [file, ...argv]);
  return loadWithout({ values: { model_name_or_path: modelConfig }, overrides }, [
    "output_dir",
    "train_data",
  ]);
}

/** @throws {ConfigError} for a peak that another option gives too */
function tflopsOf({ gpu, tflops, gflops }: CliOptions): number | undefined {
  if (gflops === undefined) return tflops;
  if (gpu !== undefined) throw new ConfigError("--gflops is for the CPU: with --gpu give --tflops");
  if (tflops === undefined) return gflops / 1000;
  throw new ConfigError("--tflops and --gflops are both the peak, of a GPU and of the CPU: take one out");
}

function planOptions(cli: CliOptions): PlanOptions {
  const { gpu } = cli;
  const tflops = tflopsOf(cli);
  return {
    count: cli.count,
    nodes: cli.nodes,
    ...(cli.link === undefined ? {} : { linkGBps: cli.link }),
    lengths: {
      ...(cli.pairs === undefined ? {} : { pairs: cli.pairs }),
      ...(cli.promptTokens === undefined ? {} : { promptTokens: cli.promptTokens }),
      ...(cli.chosenTokens === undefined ? {} : { chosenTokens: cli.chosenTokens }),
      ...(cli.rejectedTokens === undefined ? {} : { rejectedTokens: cli.rejectedTokens }),
    },
    ...(cli.modelConfig === undefined ? {} : { modelConfig: cli.modelConfig }),
    ...(gpu === undefined ? {} : { gpu }),
    ...(cli.memory === undefined ? {} : { memoryGiB: cli.memory }),
    ...(tflops === undefined ? {} : { tflops }),
    ...(cli.mfu === undefined ? {} : { utilisation: cli.mfu }),
  };
}
