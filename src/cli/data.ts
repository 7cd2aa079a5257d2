/** `preftune data check`. */
import type { Command } from "commander";
import { DataError } from "../base/errors.ts";
import { formatPreflight } from "../data/preflight-text.ts";
import { resolveModelDirectory } from "../formats/hub-model.ts";
import { loadConfig } from "../runs/config-load.ts";
import { prepareData } from "../train/prepare-data.ts";
import { pairsOf } from "./overrides.ts";
import { Phases } from "./phases.ts";

/** Adds `data` and its commands to `preftune`. */
export function addDataCommands(preftune: Command): void {
  preftune
    .command("data")
    .description("look at training data")
    .command("check")
    .description(
      "the checks that run before every training: boundaries, ends, truncation, duplicates, length bias",
    )
    .argument("<run.yaml>", "a training configuration")
    .argument("[overrides...]", "--key value pairs, as for train")
    .option("--json", "the whole report as JSON")
    .allowUnknownOption()
    .exitOverride()
    .action(check);
}

async function check(file: string, words: string[], options: { json?: true }): Promise<void> {
  const { config } = loadConfig({ file, overrides: pairsOf(words) });
  const phases = new Phases();
  const task = config.objective === "sft" ? "sft" : "preference";
  const search = { parts: "text", onPhase: phases.listen } as const;
  const model = await resolveModelDirectory(config.model_name_or_path, search);
  const { dataset } = await prepareData({ ...config, model_name_or_path: model, task }, phases.listen);
  phases.done();
  const { report } = dataset;
  process.stdout.write(
    options.json === true ? `${JSON.stringify(report, null, 2)}\n` : `${formatPreflight(report)}\n`,
  );
  if (report.findings.some((finding) => finding.severity === "error")) {
    process.exitCode = new DataError("").exitCode;
  }
}
