/** `preftune export gguf`. */
import { Command, Option } from "commander";
import { formatBytes } from "../base/file-io.ts";
import { shellWord } from "../base/shell-word.ts";
import type { ExportGgufResult, ExportType } from "../recipes/export-gguf.ts";
import { Phases } from "../terminal/phases.ts";
import { leavingNothing } from "./leave.ts";
import {
  adapterScaleOption,
  type DeviceOptions,
  positiveNumber,
  wholeNumber,
  withDeviceOptions,
} from "./options.ts";
import { type QuantiseOptions, quantisationOf, withQuantiseOptions } from "./quantise-options.ts";

interface CliOptions extends DeviceOptions, QuantiseOptions {
  adapter?: string;
  adapterScale?: number;
  lora?: true;
  type?: ExportType;
  llamaQuantize?: string;
  output: string;
  replace?: true;
  data?: string;
  tolerance?: number;
  numCtx?: number;
  system?: string;
}

/** Adds `export` and its commands to `preftune`. */
export function addExportCommand(preftune: Command): void {
  preftune.command("export").description("write a trained model in another format").addCommand(ggufCommand());
}

function ggufCommand(): Command {
  const command = new Command("gguf")
    .description(
      "a GGUF file for llama.cpp and a Modelfile for Ollama, once the file scores rows as the model does",
    )
    .argument("<run-or-model>", "directory of a finished run; or of a Hugging Face model, or its hub id")
    .option("--adapter <dir>", "PEFT adapter directory or hub id, merged into a model")
    .option("--lora", "write the adapter alone, to be applied to the base model's GGUF file")
    .addOption(
      new Option(
        "--type <type>",
        "type of the matrices; vectors stay float32; default: q8_0, of an adapter f32",
      ).choices(["f32", "f16", "bf16", "q8_0", "q4_0", "q4_k_m"]),
    )
    .option("--llama-quantize <program>", "llama.cpp's program, which makes q4_k_m; default: the one on PATH")
    .requiredOption("--output <file>", "the GGUF file; the Modelfile stands beside it")
    .option("--replace", "replace files that are there, once the new one is complete and checked")
    .option(
      "--data <file>",
      "preference rows for the check; default: a run's held-out rows, else random tokens",
    )
    .option("--tolerance <nats>", "most that a log-prob may differ by, f32; default: 0.0001", positiveNumber)
    .option(
      "--num-ctx <tokens>",
      "prompt and answer that Ollama keeps; default: what a run's rows could have, else the model's length, 8192 at most",
      wholeNumber(1),
    )
    .option(
      "--system <text>",
      "system message of the Modelfile; default: the one that all training rows of a run have",
    );
  return withQuantiseOptions(withDeviceOptions(command).addOption(adapterScaleOption())).action(
    async (source: string, cli: CliOptions) => {
      const { exportGguf } = await import("../recipes/export-gguf.ts");
      const { watchStopSignals } = await import("../torch/index.ts");
      const phases = new Phases();
      using stop = watchStopSignals();
      const result = await leavingNothing(stop, (onWrite) =>
        exportGguf({
          source,
          adapter: cli.adapter ?? null,
          adapterScale: cli.adapterScale ?? null,
          quantise: quantisationOf(cli),
          lora: cli.lora ?? false,
          type: cli.type ?? null,
          quantizer: cli.llamaQuantize ?? null,
          output: cli.output,
          replace: cli.replace ?? false,
          data: cli.data ?? null,
          ...(cli.tolerance === undefined ? {} : { tolerance: cli.tolerance }),
          contextLength: cli.numCtx ?? null,
          system: cli.system ?? null,
          device: cli.device,
          threads: cli.threads ?? null,
          onPhase: phases.listen,
          onWrite,
          signal: stop.signal,
        }),
      );
      phases.done();
      process.stdout.write(`${exportText(result)}\n`);
    },
  );
}

/** What was written, what was measured, and what comes next. */
function exportText(result: ExportGgufResult): string {
  const { path, type, bytes, tokens, maxDifference, meanDifference, modelfile, notes } = result;
  const lines = [
    `${path} (${type}, ${formatBytes(bytes)}): re-scored ${tokens} tokens from the file, largest difference ` +
      `${few(maxDifference)} nats, mean ${few(meanDifference)}`,
    allowedText(result),
    ...pairsText(result),
    ...notes,
    modelfile === null
      ? `Apply it to the base model's file: llama-server -m BASE.gguf --lora ${shellWord(path)}; in a Modelfile, FROM BASE.gguf and ADAPTER ${path}`
      : `${modelfile}: run it in Ollama with ollama create NAME -f ${shellWord(modelfile)}`,
  ];
  return lines.join("\n");
}

function allowedText({ type, tolerance, rounding }: ExportGgufResult): string {
  if (type === "f32") return `Fine: up to ${few(tolerance)} is allowed.`;
  if (rounding !== null) {
    return `Fine: rounding to ${type} does as much by chance (mean ${few(rounding.meanDifference)}).`;
  }
  return `That is what ${type} costs; f32, f16 and bf16 are nearer.`;
}

function pairsText({ pairs }: ExportGgufResult): string[] {
  if (pairs === null) return [];
  const { before, after } = pairs;
  const share = (accuracy: number): string => `${(100 * accuracy).toFixed(1)} %`;
  return [
    `${before.pairs} pairs: margin ${before.margin.toFixed(4)} before, ${after.margin.toFixed(4)} in the file (nats a token); ` +
      `accuracy ${share(before.accuracy)} before, ${share(after.accuracy)} in the file`,
  ];
}

/** 8.6e-2 */
function few(value: number): string {
  return value.toExponential(1);
}
