/** A preflight report as text for the terminal. */
import { printable } from "../base/terminal-text.ts";
import { columnList } from "./column-tally.ts";
import type { DataIssue } from "./findings.ts";
import { type PreflightReport, percent } from "./preflight.ts";
import type { LengthSummary, TokenStatistics } from "./statistics.ts";

/** `report` in aligned lines: rows, token lengths, length bias, then errors and warnings with their remedies. */
export function formatPreflight(report: PreflightReport): string {
  const sections = [rowLines(report), lengthLines(report), biasLines(report), findingLines(report.findings)];
  const shown = sections.filter((lines) => lines.length > 0).map((lines) => lines.join("\n"));
  return printable(shown.join("\n\n"));
}

/** The columns and the warnings of `report`, a line each, for logs. */
export function preflightNotes({ columns, findings }: PreflightReport): string[] {
  const warnings = findings.filter(({ severity }) => severity === "warning");
  return [
    `columns used: ${columnList(columns, "used")}; passed over: ${columnList(columns, "passedOver")}`,
    ...warnings.map(({ count, rows, message, remedy }) => {
      const which = rows.length === 0 ? "" : `${plural(count, "row")}: `;
      const named = rows.length === 0 ? "" : ` [${rows.join(", ")}${count > rows.length ? ", ..." : ""}]`;
      return `warning: ${which}${message}${named}. ${remedy}`;
    }),
  ].map(printable);
}

function rowLines({ counts, columns, labels = null }: PreflightReport): string[] {
  const rows: [string, string][] = [
    [
      "rows read",
      number(counts.read) + (counts.stoppedAtMaxRows ? " (stopped at max_train_rows or max_eval_rows)" : ""),
    ],
    ["used for training", number(counts.train)],
    ["used for evaluation", number(counts.evaluation)],
  ];
  for (const [split, { good, bad }] of Object.entries(labels ?? {})) {
    if (good + bad === 0) continue;
    const name = split === "train" ? "training labels" : "evaluation labels";
    rows.push([name, `${number(good)} good, ${number(bad)} bad`]);
  }
  if (counts.notDrawn > 0) rows.push(["not drawn by the mixture", number(counts.notDrawn)]);
  for (const [reason, count] of Object.entries(counts.dropped))
    rows.push([`dropped: ${reason}`, number(count)]);
  if (counts.truncatedRows > 0) {
    const tokens = `${number(counts.truncatedTokens)} tokens cut, ${number(counts.endsLost)} ends of turn lost`;
    rows.push(["truncated", `${number(counts.truncatedRows)} (${tokens})`]);
  }
  const limit = counts.lengthLimit;
  if (limit !== null) {
    const by = limit.by === "context" ? "where the model's context ends, before max_length" : "max_length";
    rows.push(["longest row allowed", `${number(limit.tokens)} tokens (${by})`]);
  }
  rows.push(["columns used", columnList(columns, "used")]);
  rows.push(["columns passed over", columnList(columns, "passedOver")]);
  const width = Math.max(...rows.map(([label]) => label.length));
  return rows.map(([label, value]) => `${label.padEnd(width)}  ${value}`);
}

function lengthLines({ train, evaluation }: PreflightReport): string[] {
  const rows: string[][] = [["tokens", "min", "mean", "p95", "max"]];
  const add = (split: string, statistics: TokenStatistics): void => {
    const { prompt, chosen, rejected } = statistics;
    rows.push([`${split} prompt`, ...cells(prompt)]);
    rows.push([`${split} ${rejected === null ? "answer" : "chosen"}`, ...cells(chosen)]);
    if (rejected !== null) rows.push([`${split} rejected`, ...cells(rejected)]);
  };
  add("training", train);
  if (evaluation !== null && evaluation.rows > 0) add("evaluation", evaluation);
  const totals =
    `training total: ${number(train.totalTokens)} tokens, ${number(train.packedTokens)} as packed input, ` +
    `${number(train.lossTokens)} in the loss`;
  return [...aligned(rows), totals];
}

function cells({ min, mean, p95, max }: LengthSummary): string[] {
  return [number(min), mean.toFixed(1), number(p95), number(max)];
}

function aligned(rows: readonly string[][]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join("  "),
  );
}

function biasLines({ lengthBias: bias }: PreflightReport): string[] {
  if (bias === null) return [];
  const measured = bias.isOnEvaluation ? "on the evaluation pairs" : "on training pairs, crossed halves";
  return [
    `chosen answer longer in ${percent(bias.chosenLonger)} of training pairs, equally long in ${percent(bias.ties)}`,
    `accuracy from length alone ("${bias.predictor}"): ${percent(bias.heldOutAccuracy)} ${measured}`,
  ];
}

function findingLines(findings: readonly DataIssue[]): string[] {
  const errors = findings.filter(({ severity }) => severity === "error").length;
  const lines = findings.flatMap(({ severity, code, count, message, rows, remedy }) => [
    `${severity.padEnd(7)}  ${rows.length === 0 ? "" : `${plural(count, "row")}: `}${message} (${code})`,
    ...(rows.length === 0 ? [] : [`${indent}${rows.join(", ")}${count > rows.length ? ", ..." : ""}`]),
    `${indent}${remedy}`,
  ]);
  return [...lines, `${plural(errors, "error")}, ${plural(findings.length - errors, "warning")}`];
}

const indent = " ".repeat(9);

function number(value: number): string {
  return value.toLocaleString("en-US");
}

function plural(count: number, noun: string): string {
  return `${number(count)} ${noun}${count === 1 ? "" : "s"}`;
}
