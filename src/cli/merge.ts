/** `preftune merge`. */
import { type Command, Option } from "commander";
import type { WeightDtype } from "../formats/model-config.ts";
import { environmentOf, type MachineOptions, positiveNumber, withMachineOptions } from "./options.ts";
import { Phases } from "./phases.ts";

interface Words extends MachineOptions {
  model: string;
  adapter: string;
  output: string;
  exportDtype?: WeightDtype;
  data?: string;
  tolerance: number;
}

/** Adds the command to `preftune`. */
export function addMergeCommand(preftune: Command): void {
  const command = preftune
    .command("merge")
    .description("merge an adapter into its base model and check that both score alike")
    .requiredOption("--model <dir>", "Hugging Face model directory or hub id")
    .requiredOption("--adapter <dir>", "PEFT adapter directory or hub id")
    .requiredOption("--output <dir>", "a directory that does not exist yet")
    .addOption(
      new Option("--export-dtype <type>", "type of the written weights; default: the base model's").choices([
        "float32",
        "float16",
        "bfloat16",
      ]),
    )
    .option("--data <file>", "held-out preference rows for the check; default: random tokens")
    .option("--tolerance <nats>", "largest difference of a token's log-prob, float32", positiveNumber, 1e-4);
  withMachineOptions(command).action(async (words: Words) => {
    const { merge } = await import("../recipes/merge.ts");
    const phases = new Phases();
    const result = await merge({
      ...environmentOf(words),
      model: words.model,
      adapter: words.adapter,
      output: words.output,
      exportDtype: words.exportDtype ?? null,
      data: words.data ?? null,
      tolerance: words.tolerance,
      onPhase: phases.listen,
    });
    phases.done();
    process.stdout.write(
      `${result.path} (${result.dtype}): re-scored ${result.tokens} tokens, largest difference ` +
        `${result.maxDifference.toExponential(1)} nats, mean ${result.meanDifference.toExponential(1)}\n`,
    );
  });
}
