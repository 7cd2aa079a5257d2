/** `preftune labels`: what is labelled in a workbench, from import to export, and where a label went. */
import fs from "node:fs";
import { join } from "node:path";
import { type Command, Option } from "commander";
import { writeFileAtomic } from "../base/files.ts";
import { readOption } from "../config/load-config.ts";
import { isRun } from "../runs/run-directory.ts";
import { Phases } from "../terminal/phases.ts";
import { textTable } from "../terminal/text-table.ts";
import { type ExportRules, exportLabels } from "../workbench/export-labels.ts";
import type { FormName } from "../workbench/forms/form.ts";
import { forms, type Imported, importFiles } from "../workbench/import-comparisons.ts";
import { agreementLines, countLines, personColumns, personRows } from "../workbench/labels-text.ts";
import { itemLineage, runLineage } from "../workbench/lineage.ts";
import { peopleReport } from "../workbench/people.ts";
import { saveVersion, versionPaths } from "../workbench/versions.ts";
import { makeWorkbench, openWorkbench } from "../workbench/workbench-dir.ts";
import { type JudgeEndpointOptions, judgeOf, withJudge } from "./judge-options.ts";
import {
  environmentOf,
  type MachineOptions,
  wholeNumber,
  withMachineOptions,
  withPlainStrings,
} from "./options.ts";

/** Adds `labels` and its commands to `preftune`. */
export function addLabelsCommands(preftune: Command): void {
  const labels = preftune
    .command("labels")
    .description("pairs judged by people: import, agreement, export, and where a label went");
  labels
    .command("import")
    .description(
      "add pairs, with the judgments that come with them, to a workbench, made where there is none",
    )
    .argument("<dir>", "the workbench")
    .argument("<files...>", "files, directories, globs or hub data sets; see docs/labelling.md")
    .addOption(
      new Option("--form <name>", "the form of all rows; default: each row's own").choices(
        forms.map(({ name }) => name),
      ),
    )
    .option(
      "--columns <mapping>",
      "columns of pairs in the files, e.g. prompt=question or {prompt: question}",
    )
    .action(importInto);
  labels
    .command("agreement")
    .description("how far people agree, with each other and with themselves")
    .argument("<dir>", "the workbench")
    .option("--json", "the report as JSON")
    .action(showAgreement);
  addScorers(labels);
  labels
    .command("export")
    .description("make a version of what was judged: rows to train on, named by their digest")
    .argument("<dir>", "the workbench")
    .addOption(
      new Option("--format <kind>", "pairs: prompt, chosen, rejected; kto: prompt, completion, label")
        .choices(["pairs", "kto"])
        .default("pairs"),
    )
    .addOption(new Option("--ties <rule>", "equally good answers").choices(["drop", "good"]).default("drop"))
    .addOption(new Option("--bad <rule>", "two bad answers").choices(["drop", "bad"]).default("drop"))
    .addOption(
      new Option("--conflicts <rule>", "people who differ")
        .choices(["drop", "majority", "error"])
        .default("drop"),
    )
    .option("--output <file>", "a copy of the rows")
    .action(exportFrom);
  labels
    .command("trace")
    .description("where a label went, or what stands behind the data of a run")
    .argument("<dir>", "the workbench")
    .argument("<item or run>", "an item, as meta.item of an exported row has it, or the directory of a run")
    .option("--runs <glob>", "the runs to look at", "runs/*")
    .action(trace);
}

/** Adds what models say of pairs. */
function addScorers(labels: Command): void {
  const judged = labels
    .command("judge")
    .description("let a model judge pairs, each in both orders: labels that stay marked as a judge's")
    .argument("<dir>", "the workbench")
    .option("--limit <count>", "only so many pairs that it has not judged", wholeNumber(1))
    .action(judgeIn);
  const judge = new Option("--judge <url#model>", "OpenAI-style endpoint of the judge, and its model");
  withJudge(judged, judge.makeOptionMandatory());
  const scored = labels
    .command("score")
    .description("let a model score both answers of every pair; those it is unsure of can be labelled first")
    .argument("<dir>", "the workbench")
    .requiredOption("--model <dir>", "language model or reward model: a directory or hub id")
    .option("--adapter <dir>", "PEFT adapter directory or hub id")
    .option("--batch-size <pairs>", "pairs at once", wholeNumber(1), 8)
    .option(
      "--max-length <tokens>",
      "limit of prompt plus longer answer; longer pairs are left out",
      wholeNumber(8),
      1024,
    )
    .action(scoreIn);
  withMachineOptions(withPlainStrings(scored));
}

async function importInto(
  dir: string,
  files: string[],
  { form, columns }: { form?: FormName; columns?: string },
): Promise<void> {
  const map = columns === undefined ? null : readOption("columns", columns);
  const options = { ...(form === undefined ? {} : { form }), ...(map === null ? {} : { columns: map }) };
  const read: Imported[] = [];
  for (const file of files) read.push(await importFiles(file, options));
  using store = makeWorkbench(dir);
  const added = store.add(read.flatMap(({ comparisons }) => comparisons));
  const left = read.flatMap((one) => Object.entries(one.left));
  const lines = [
    `${read.reduce((sum, { rows }) => sum + rows, 0)} rows read: ${added.items} new pairs, ${added.known} known, ${added.votes} new judgments`,
    ...left.map(([reason, count]) => `${count} left out: ${reason}`),
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}

async function judgeIn(dir: string, cli: JudgeEndpointOptions & { limit?: number }): Promise<void> {
  const { judgeLabels } = await import("../recipes/judge-labels.ts");
  using store = openWorkbench(dir);
  const phases = new Phases();
  const options = { ...judgeOf(cli), limit: cli.limit ?? null, dir, onPhase: phases.listen };
  const { kept, known, without, judge } = await judgeLabels(store, options);
  phases.done();
  const lines = [
    `${kept} pairs judged by ${judge.model}`,
    ...(known > 0 ? [`${known} it had judged before`] : []),
    ...(without > 0 ? [`${without} without a verdict in both orders: not kept`] : []),
    `its replies: ${join(dir, "judge", "judgments.sqlite")}`,
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}

interface ScoreOptions extends MachineOptions {
  model: string;
  adapter?: string;
  batchSize: number;
  maxLength: number;
  plainStrings?: "text" | "chat";
}

async function scoreIn(dir: string, cli: ScoreOptions): Promise<void> {
  const { scoreLabels } = await import("../recipes/score-labels.ts");
  using store = openWorkbench(dir);
  const phases = new Phases();
  const { scored, leftOut, unit } = await scoreLabels(store, {
    ...environmentOf(cli),
    ...{ dir, model: cli.model, adapter: cli.adapter ?? null, batchSize: cli.batchSize },
    selection: { max_length: cli.maxLength, overflow: "drop", plain_strings: cli.plainStrings ?? null },
    onPhase: phases.listen,
  });
  phases.done();
  const lines = [
    `${scored} pairs scored, margins in ${unit}: the key "o" of the Label screen takes those first of which the model is unsure`,
    ...(leftOut > 0 ? [`${leftOut} left out: longer than ${cli.maxLength} tokens, or an empty answer`] : []),
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}

function showAgreement(dir: string, { json }: { json?: true }): void {
  using store = openWorkbench(dir);
  const report = peopleReport(store);
  const text =
    json === true
      ? JSON.stringify(report, null, 2)
      : [textTable(personColumns, personRows(report)), agreementLines(report).join("\n")].join("\n\n");
  process.stdout.write(`${text}\n`);
}

async function exportFrom(
  dir: string,
  { output, format, ...others }: Omit<ExportRules, "rows"> & { format: ExportRules["rows"]; output?: string },
): Promise<void> {
  const rules = { rows: format, ...others };
  using store = openWorkbench(dir);
  const { rows, counts } = exportLabels(store, rules);
  const version = await saveVersion(dir, rows, { by: "export", sources: {}, rules, counts });
  const path = versionPaths(dir, version.digest).rows;
  if (output !== undefined) writeFileAtomic(output, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  process.stdout.write(`${[...countLines(counts), output ?? path].join("\n")}\n`);
}

async function trace(dir: string, subject: string, { runs }: { runs: string }): Promise<void> {
  using store = openWorkbench(dir);
  const found = isRun(subject)
    ? await runLineage(dir, store, subject)
    : await itemLineage(dir, store.item(subject).id, fs.globSync(runs).filter(isRun));
  process.stdout.write(`${JSON.stringify(found, null, 2)}\n`);
}
