/** Options of commands that load a model: how its linears are held, named as a run's keys are. */
import { type Command, Option } from "commander";
import { ConfigError } from "../base/errors.ts";
import { readOption } from "../config/load-config.ts";
import {
  askedQuantisation,
  type Quantisation,
  type QuantisationKeys,
  type QuantType,
  quantisationOfForm,
  quantTypes,
  type WeightForm,
  weightForms,
} from "../formats/quantisation.ts";

/** What the options give. */
export interface QuantiseOptions {
  loadIn4bit?: true;
  loadIn8bit?: true;
  bnb4bitQuantType?: QuantType;
  bnb4bitUseDoubleQuant?: true;
  llmInt8SkipModules?: QuantisationKeys["llm_int8_skip_modules"];
}

/** The option of commands that generate on the CPU. */
export interface WeightsOptions {
  weights: WeightForm;
}

/** Adds --weights. */
export function withWeightsOption(command: Command): Command {
  return command.addOption(
    new Option(
      "--weights <form>",
      "int8: every matrix in 8 bits, row by row, the head too; faster on the CPU, and other numbers (docs/generation.md)",
    )
      .choices([...weightForms])
      .default("dtype"),
  );
}

/** Adds --load-in-4bit, --load-in-8bit, and what goes with them. */
export function withQuantiseOptions(command: Command): Command {
  return command
    .option("--load-in-4bit", "hold the linears of all blocks in 4 bits, as a run with load_in_4bit does")
    .option("--load-in-8bit", "the same in 8 bits")
    .addOption(
      new Option("--bnb-4bit-quant-type <type>", "with --load-in-4bit; default: nf4").choices([
        ...quantTypes,
      ]),
    )
    .option("--bnb-4bit-use-double-quant", "with --load-in-4bit: blocks' largest values in 8 bits")
    .option(
      "--llm-int8-skip-modules <names>",
      "with --load-in-4bit or --load-in-8bit: linears that stay floats, e.g. down_proj,o_proj",
      (names) => readOption("llm_int8_skip_modules", names),
    );
}

/**
 * What is asked for; null: the model as it is stored.
 *
 * @throws {ConfigError} for options that exclude each other
 */
export function quantisationOf(cli: QuantiseOptions): Quantisation | null {
  const { loadIn4bit = false, loadIn8bit = false, llmInt8SkipModules } = cli;
  const { bnb4bitQuantType, bnb4bitUseDoubleQuant } = cli;
  if (loadIn4bit && loadIn8bit) {
    throw new ConfigError(
      "--load-in-4bit and --load-in-8bit: weights are held in one form. Give one of the two.",
    );
  }
  if (!loadIn4bit && (bnb4bitQuantType !== undefined || bnb4bitUseDoubleQuant !== undefined)) {
    throw new ConfigError(
      "--bnb-4bit-quant-type and --bnb-4bit-use-double-quant need --load-in-4bit. Add it, or leave them out.",
    );
  }
  if (!loadIn4bit && !loadIn8bit && llmInt8SkipModules !== undefined) {
    throw new ConfigError("--llm-int8-skip-modules needs --load-in-4bit or --load-in-8bit. Add one.");
  }
  return askedQuantisation({
    load_in_4bit: loadIn4bit,
    load_in_8bit: loadIn8bit,
    bnb_4bit_quant_type: bnb4bitQuantType ?? "nf4",
    bnb_4bit_use_double_quant: bnb4bitUseDoubleQuant ?? false,
    llm_int8_skip_modules: llmInt8SkipModules ?? null,
  });
}

/**
 * The same of a command that has --weights too.
 *
 * @throws {ConfigError} for options that exclude each other
 */
export function heldWeights(cli: QuantiseOptions & WeightsOptions): Quantisation | null {
  const loaded = quantisationOf(cli);
  const form = quantisationOfForm(cli.weights);
  if (loaded !== null && form !== null) {
    const other = loaded.bits === 4 ? "--load-in-4bit" : "--load-in-8bit";
    throw new ConfigError(
      `--weights ${cli.weights} and ${other}: weights are held in one form. Give one of the two.`,
    );
  }
  return form ?? loaded;
}
