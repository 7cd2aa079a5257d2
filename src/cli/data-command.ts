/** `preftune data check` and `preftune data clean`. */
import type { Command } from "commander";
import { exitCodes } from "../base/errors.ts";
import { loadConfig } from "../config/load-config.ts";
import { isOnPolicy } from "../config/online-keys.ts";
import { hasErrors } from "../data/preflight.ts";
import { formatPreflight } from "../data/preflight-text.ts";
import { type ShownRow, showRow } from "../data/show-rows.ts";
import { formatShownRows } from "../data/show-text.ts";
import { resolveModelDirectory } from "../hub/hub-model.ts";
import { methodOf } from "../methods/index.ts";
import { Phases } from "../terminal/phases.ts";
import { describeTemplate } from "../text/encode.ts";
import { type PreparedData, prepareData, taskOf } from "../train/prepare-data.ts";
import { type CleanResult, clean } from "../workbench/clean/clean.ts";
import { type CleanRecipe, readCleanRecipe } from "../workbench/clean/clean-recipe.ts";
import { wholeNumber } from "./options.ts";
import { pairsOf } from "./overrides.ts";

/** Adds `data` and its commands to `preftune`. */
export function addDataCommands(preftune: Command): void {
  const data = preftune.command("data").description("inspect and clean training data");
  data
    .command("check")
    .description(
      "the checks that run before every training: boundaries, ends, truncation, duplicates, length bias",
    )
    .argument("<run.yaml>", "a training configuration")
    .argument("[overrides...]", "--key value pairs, as for train")
    .option("--json", "the report as JSON")
    .option(
      "--show <rows>",
      "the first rows as the model sees them: tokens, and which count in the loss",
      wholeNumber(1),
    )
    .allowUnknownOption()
    .exitOverride()
    .action(check);
  data
    .command("clean")
    .description(
      "take rows out by a recipe of filters, each counted; the files that are read stay as they are",
    )
    .argument("<recipe.yaml>", "data, filters, output; see docs/data.md")
    .option("--json", "the result as JSON")
    .action(cleanBy);
}

async function cleanBy(file: string, { json }: { json?: true }): Promise<void> {
  const recipe = readCleanRecipe(file);
  const { model_name_or_path: model } = recipe;
  const directory = model === null ? null : await resolveModelDirectory(model, { parts: "text" });
  const result = await clean(recipe, directory);
  process.stdout.write(`${json === true ? JSON.stringify(result, null, 2) : cleanText(recipe, result)}\n`);
}

function cleanText({ output, removed }: CleanRecipe, { read, kept, filters, digest }: CleanResult): string {
  const count = (number: number) => String(number).padStart(8);
  return [
    `${count(read)}  rows read`,
    ...filters.map(({ code, taken }) => `${count(taken)}  taken out: ${code}`),
    `${count(kept)}  rows kept, version ${digest.slice(0, 12)}`,
    ...[output, removed].filter((path) => path !== null),
  ].join("\n");
}

interface CheckOptions {
  json?: true;
  show?: number;
}

async function check(file: string, argv: string[], options: CheckOptions): Promise<void> {
  const { config } = loadConfig({ file, overrides: pairsOf(argv) });
  const phases = new Phases();
  const task = taskOf(methodOf(config.method.objective).over, isOnPolicy(config));
  const search = { parts: "text", onPhase: phases.listen } as const;
  const model = await resolveModelDirectory(config.model_name_or_path, search);
  const keepUncut = options.show !== undefined;
  const prepared = await prepareData(
    { ...config, model_name_or_path: model, task, keepUncut },
    phases.listen,
  );
  phases.done();
  process.stdout.write(`${options.json === true ? jsonOf(prepared, options) : textOf(prepared, options)}\n`);
  if (hasErrors(prepared.dataset.report)) {
    process.exitCode = exitCodes.DataError;
  }
}

function shownRows({ dataset, tokenizer, stopIds }: PreparedData, show: number): ShownRow[] {
  return dataset.examples.slice(0, show).map((example) => showRow(example, { tokenizer, stopIds }));
}

/** The report with the templates in use and, where rows are to be shown, `rows`, one a line. */
function jsonOf(prepared: PreparedData, { show }: CheckOptions): string {
  const { dataset, templates } = prepared;
  const report = JSON.stringify({ ...dataset.report, templates }, null, 2);
  if (show === undefined) return report;
  const rows = shownRows(prepared, show).map((row) => `\n    ${JSON.stringify(row)}`);
  return `${report.slice(0, report.lastIndexOf("\n}"))},\n  "rows": [${rows.join(",")}\n  ]\n}`;
}

function textOf(prepared: PreparedData, { show }: CheckOptions): string {
  const { dataset, templates, tokenizer } = prepared;
  const named = templates.map((use) => `chat template  ${describeTemplate(use)} (${use.rows} rows)`);
  const parts = [
    formatPreflight(dataset.report),
    named.length === 0 ? "chat template  none in use" : named.join("\n"),
  ];
  const colour = process.stdout.isTTY === true && !process.env["NO_COLOR"];
  if (show !== undefined) parts.unshift(formatShownRows(shownRows(prepared, show), tokenizer, colour));
  return parts.filter((part) => part !== "").join("\n\n");
}
