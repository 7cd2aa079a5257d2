/** `preftune data check` and `preftune data clean`. */
import { type Command, Option } from "commander";
import { exitCodes } from "../base/errors.ts";
import { writeFileAtomic } from "../base/files.ts";
import { warn } from "../base/warn.ts";
import { loadConfig, readOption } from "../config/load-config.ts";
import { isOnPolicy } from "../config/online-keys.ts";
import { checkColumnMap } from "../data/columns.ts";
import type { RawRow } from "../data/example.ts";
import { requireOtherOutput } from "../data/other-output.ts";
import { type Pairing, type PairingCounts, pairLabelled } from "../data/pair-labelled.ts";
import { hasErrors } from "../data/preflight.ts";
import { formatPreflight } from "../data/preflight-text.ts";
import { type ShownRow, showRow } from "../data/show-rows.ts";
import { formatShownRows } from "../data/show-text.ts";
import { readRows } from "../data/sources.ts";
import { resolveModelDirectory } from "../hub/hub-model.ts";
import { methodOf } from "../methods/index.ts";
import { Phases } from "../terminal/phases.ts";
import { describeTemplate } from "../text/encode.ts";
import { type PreparedData, prepareData, taskOf } from "../train/prepare-data.ts";
import { type CleanResult, clean } from "../workbench/clean/clean.ts";
import { type CleanRecipe, readCleanRecipe } from "../workbench/clean/clean-recipe.ts";
import { wholeNumber, withPlainStrings } from "./options.ts";
import { fileBefore, pairsOf } from "./overrides.ts";

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
    .action(check);
  data
    .command("clean")
    .description(
      "take rows out by a recipe of filters, each counted; the files that are read stay as they are",
    )
    .argument("<recipe.yaml>", "data, filters, output; see docs/data.md")
    .option("--json", "the result as JSON")
    .action(cleanBy);
  addPairCommand(data);
}

function addPairCommand(data: Command): void {
  const command = data
    .command("pair")
    .description(
      "make pairs of rows of one labelled answer: a good and a bad answer to one prompt, each pair counted",
    )
    .argument("<files...>", "rows with a prompt, one answer, and a label or rating")
    .requiredOption("--output <file>", "rows of pairs, JSON lines")
    .addOption(
      new Option("--pairs <which>", "every good answer with every bad one, or one pair a prompt")
        .choices(["all", "best-worst"])
        .default("all"),
    )
    .option("--rating-threshold <number>", "ratings from there on are good")
    .option("--columns <mapping>", "the file's names of columns, e.g. prompt=question or {prompt: question}")
    .addOption(
      new Option("--invalid-rows <what>", "what happens to rows with errors")
        .choices(["error", "drop"])
        .default("error"),
    )
    .option("--json", "the counts as JSON");
  withPlainStrings(command).action(pairRows);
}

interface PairOptions {
  output: string;
  pairs: Pairing;
  ratingThreshold?: string;
  columns?: string;
  invalidRows: "error" | "drop";
  plainStrings?: "text" | "chat";
  json?: true;
}

async function pairRows(files: string[], options: PairOptions): Promise<void> {
  const { ratingThreshold: threshold, columns, plainStrings: strings } = options;
  const map = columns === undefined ? null : readOption("columns", columns);
  await requireOtherOutput({ "--output": options.output }, files);
  const { rows, counts } = await pairLabelled(rowsOfAll(files), {
    pairing: options.pairs,
    invalid_rows: options.invalidRows,
    rating_threshold: threshold === undefined ? null : readOption("rating_threshold", threshold),
    mayTakeText: true,
    ...(strings === undefined ? {} : { strings }),
    ...(map === null ? {} : { columns: checkColumnMap(map) }),
  });
  writeFileAtomic(options.output, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  process.stdout.write(
    `${options.json === true ? JSON.stringify(counts) : pairText(counts, options.output)}\n`,
  );
}

async function* rowsOfAll(files: readonly string[]): AsyncGenerator<RawRow> {
  for (const path of files) yield* readRows({ path });
}

function pairText(counts: PairingCounts, output: string): string {
  const lines: [number, string][] = [
    [counts.read, "rows read"],
    [counts.invalid, "left out: with errors"],
    [counts.repeated, "left out: an answer that an earlier row has, with the same label"],
    [counts.contradictory, "left out: answers that are good in one row and bad in another"],
    [counts.unpaired, "left out: answers to prompts with one label alone"],
    [counts.paired, `prompts with good and bad answers, of ${counts.prompts}`],
    [counts.pairs, `pairs: ${output}`],
  ];
  const shown = lines.filter(([count, text]) => count > 0 || !text.startsWith("left out"));
  return shown.map(([count, text]) => `${String(count).padStart(8)}  ${text}`).join("\n");
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
  const { config, warnings } = loadConfig({ file: fileBefore(file), overrides: pairsOf(argv) });
  for (const text of warnings) warn(text);
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
