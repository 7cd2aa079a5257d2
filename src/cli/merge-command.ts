/** `preftune merge`. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { formatBytes } from "../base/file-io.ts";
import { scaledPlace } from "../formats/adapter-scale.ts";
import type { WeightDtype } from "../formats/model-config.ts";
import type { MergeResult } from "../recipes/merge.ts";
import { scaleWords } from "../report/facts-section.ts";
import { Phases } from "../terminal/phases.ts";
import { leavingNothing } from "./leave.ts";
import {
  type DeviceOptions,
  positiveNumber,
  type ScaleOptions,
  withAdapterScale,
  withDeviceOptions,
} from "./options.ts";
import { type QuantiseOptions, quantisationOf, withQuantiseOptions } from "./quantise-options.ts";
import { rescoredText } from "./rescored-text.ts";

interface CliOptions extends DeviceOptions, QuantiseOptions, ScaleOptions {
  model: string;
  adapter: string;
  output: string;
  replace?: true;
  textOnly?: true;
  exportDtype?: WeightDtype;
  data?: string;
  tolerance: number;
}

/** Adds the command to `preftune`. */
export function addMergeCommand(preftune: Command): void {
  const command = preftune
    .command("merge")
    .description("merge an adapter into its base model and compare log-probs before and after")
    .requiredOption("--model <dir>", "Hugging Face model directory or hub id")
    .requiredOption(
      "--adapter <dir>",
      "PEFT adapter directory or hub id; with --adapter-scale also a model tuned from --model",
    )
    .requiredOption("--output <dir>", "a directory that does not exist yet, unless --replace is given")
    .option("--replace", "replace the model at --output, once the merged one is complete and checked")
    .option("--text-only", "of a multimodal base, write the text model without its other parts")
    .addOption(
      new Option("--export-dtype <type>", "type of the written weights; default: the base model's").choices([
        "float32",
        "float16",
        "bfloat16",
      ]),
    )
    .option("--data <file>", "held-out preference rows for the check; default: random tokens")
    .option("--tolerance <nats>", "largest difference of a token's log-prob, float32", positiveNumber, 1e-4);
  command.addOption(new Option("--dtype <type>").hideHelp().argParser(refuseDtype));
  withAdapterScale(withQuantiseOptions(withDeviceOptions(command))).action(async (cli: CliOptions) => {
    const { merge } = await import("../recipes/merge.ts");
    const { watchStopSignals } = await import("../torch/index.ts");
    const phases = new Phases();
    using stop = watchStopSignals();
    const result = await leavingNothing(stop, (onWrite) =>
      merge({
        device: cli.device,
        threads: cli.threads ?? null,
        model: cli.model,
        adapter: scaledPlace(cli.adapter, cli.adapterScale ?? null),
        output: cli.output,
        replace: cli.replace ?? false,
        textOnly: cli.textOnly ?? false,
        exportDtype: cli.exportDtype ?? null,
        data: cli.data ?? null,
        tolerance: cli.tolerance,
        quantise: quantisationOf(cli),
        onPhase: phases.listen,
        onWrite,
      }),
    );
    phases.done();
    process.stdout.write(`${mergeText(result)}\n`);
  });
}

function refuseDtype(): never {
  throw new InvalidArgumentError(
    "Merging computes in float32. The type of the written weights is --export-dtype.",
  );
}

/** What was measured, and whether it is fine. */
export function mergeText(result: MergeResult): string {
  const { path, dtype, of, maxDifference, meanDifference, tolerance, adapterEffect, rounding, scale } =
    result;
  const measured = `${path} (${dtype}${scaleWords(scale)}): ${rescoredText(result, few(maxDifference))}, mean ${few(meanDifference)}${costText(result)}`;
  const effect = `What was trained changes ${of ?? "log-probs"} by ${few(adapterEffect)} on average.`;
  if (rounding === null) return `${measured}\nFine: up to ${few(tolerance)} is allowed. ${effect}`;
  const fine =
    `Fine: rounding to ${dtype} does as much by chance (largest ${few(rounding.maxDifference)}, mean ` +
    `${few(rounding.meanDifference)}). ${effect}`;
  // below this, much of what was learnt is lost among the rounding
  if (adapterEffect > 3 * rounding.meanDifference) return `${measured}\n${fine}`;
  return `${measured}\n${fine}\nThat is little more than the rounding: --export-dtype float32 keeps all of it.`;
}

/** What became of linears in few bits; nothing where there were none. */
function costText({ fromFewerBits: cost, dtype }: MergeResult): string {
  if (cost === null) return "";
  return `\nIts base was in few bits: the linears of its blocks took ${formatBytes(cost.held)}, and take ${formatBytes(cost.written)} as ${dtype}. They are the numbers that the adapter was trained on, not those of the float checkpoint.`;
}

/** 8.6e-2 */
function few(value: number): string {
  return value.toExponential(1);
}
