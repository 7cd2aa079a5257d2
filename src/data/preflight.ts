/**
 * What is looked at before any training starts: faults that stop it, oddities that are counted, and figures.
 * Findings name rows by file and line, never by their text.
 */
import { DataError } from "../base/errors.ts";
import { counted } from "../base/number-text.ts";
import { type ColumnCounts, ColumnTally } from "./column-tally.ts";
import type { Example } from "./example.ts";
import { type DataIssue, FindingList } from "./findings.ts";
import { promptKeyOf, rowKeyOf } from "./fingerprint.ts";
import { checkLabels } from "./label-checks.ts";
import { type LabelCounts, type LabelWeights, labelCounts } from "./labels.ts";
import type { LengthLimit } from "./overflow.ts";
import { hasBos, rowFaults, rowWarnings, type TokenizerFacts } from "./row-checks.ts";
import { type LengthBias, lengthBias, type TokenStatistics, tokenStatistics } from "./statistics.ts";

/** What became of the rows on their way to the examples. */
export interface RowCounts {
  /** Rows read from all sources. */
  read: number;
  /** Rows used for training and evaluation. */
  train: number;
  evaluation: number;
  /** Rows left out, by reason. */
  dropped: Record<string, number>;
  /** Rows that a weighted mixture did not draw. */
  notDrawn: number;
  /** True when `max_rows` ended the reading; rows after that were not counted. */
  stoppedAtMaxRows: boolean;
  truncatedRows: number;
  truncatedTokens: number;
  /** Answers that lost their end-of-turn token by truncation. */
  endsLost: number;
  /** The longest rows that are used as they are; null: of any length. */
  lengthLimit: LengthLimit | null;
}

/** Counts of the loading, which only it knows. */
export type LoadCounts = Pick<
  RowCounts,
  "read" | "dropped" | "notDrawn" | "stoppedAtMaxRows" | "lengthLimit"
>;

/** The result of a preflight. Plain data, fit for JSON. */
export interface PreflightReport {
  /** Errors first. */
  findings: DataIssue[];
  counts: RowCounts;
  /** Columns of the rows that were understood. */
  columns: ColumnCounts;
  train: TokenStatistics;
  evaluation: TokenStatistics | null;
  lengthBias: LengthBias | null;
  /** Of rows of one answer with a label: how many are good and bad; null or left out for others. */
  labels?: { train: LabelCounts; evaluation: LabelCounts } | null;
}

/** What loading found before, to be reported together. */
export interface LoadResult {
  findings: FindingList;
  counts: LoadCounts;
  columns: ColumnCounts;
  /** What good and bad answers count in the loss; null or left out: unknown. */
  labelWeights?: LabelWeights | null;
  /** Whether the rows are to be measured on, not trained on; left out: no. */
  isMeasured?: boolean;
}

/** Length predicts so much that accuracies need comparing with it. */
const notableAccuracy = 0.55;
const longRowFactor = 8;

/**
 * The report on training rows and, where there are any, evaluation rows.
 *
 * @param evaluation - null: no evaluation is planned; of one that is planned, no rows are an error
 */
export function preflight(
  train: readonly Example[],
  evaluation: readonly Example[] | null,
  facts: TokenizerFacts,
  loaded: LoadResult = {
    findings: new FindingList(),
    counts: countsOf(train, evaluation),
    columns: new ColumnTally().counts(),
  },
): PreflightReport {
  const { findings } = loaded;
  const held = evaluation ?? [];
  const all = [...train, ...held];
  if (train.length === 0) findings.addOverall("no_rows", "error", 1, "");
  else if (evaluation?.length === 0) findings.addOverall("no_held_out_rows", "error", 1, "");
  checkRows(all, facts, findings);
  checkBos(all, facts, findings);
  checkDuplicates(train, held, findings);
  checkLongRows(all, findings);
  const labels = all.some(({ label }) => label !== undefined)
    ? { train: labelCounts(train), evaluation: labelCounts(held) }
    : null;
  if (labels !== null) {
    const measured = { train: labelCounts([]), evaluation: labels.train };
    const counts = loaded.isMeasured === true ? measured : labels;
    checkLabels(all, counts, loaded.labelWeights ?? null, findings);
  }
  const bias = lengthBias(train, held);
  reportBias(bias, findings);
  return {
    findings: findings.list(),
    columns: loaded.columns,
    counts: { ...loaded.counts, train: train.length, evaluation: held.length, ...truncation(all) },
    train: tokenStatistics(train),
    evaluation: evaluation === null ? null : tokenStatistics(evaluation),
    lengthBias: bias,
    ...(labels === null ? {} : { labels }),
  };
}

/** Whether rows are faulty: `assertPreflight` would throw. */
export function hasErrors({ findings }: PreflightReport): boolean {
  return findings.some(({ severity }) => severity === "error");
}

/**
 * Returns when `report` has no errors.
 *
 * @throws DataError with all errors, the first rows of each and what to do; where no rows are left, with those that were dropped
 */
export function assertPreflight(report: PreflightReport): void {
  const { findings, counts } = report;
  const errors = findings.filter(({ severity }) => severity === "error");
  if (errors.length === 0) return;
  const isEmpty = errors.some(({ code }) => code === "no_rows" || code === "no_held_out_rows");
  const dropped = isEmpty ? findings.filter(({ code }) => Object.hasOwn(counts.dropped, code)) : [];
  const lines = [...errors, ...dropped.filter((one) => !errors.includes(one))].map(errorLine);
  const kinds = errors.length === 1 ? "one kind of error" : `${errors.length} kinds of errors`;
  throw new DataError(`The data has ${kinds}, and nothing was done with it:\n${lines.join("\n")}`);
}

function errorLine({ message, count, rows, remedy }: DataIssue): string {
  const named = rows.length === 0 ? "" : ` [${rows.join(", ")}${count > rows.length ? ", ..." : ""}]`;
  return `  ${rows.length === 0 ? "" : `${counted(count, "row")}: `}${message}${named}. ${remedy}`;
}

function countsOf(train: readonly Example[], evaluation: readonly Example[] | null): LoadCounts {
  const read = train.length + (evaluation?.length ?? 0);
  return { read, dropped: {}, notDrawn: 0, stoppedAtMaxRows: false, lengthLimit: null };
}

function checkRows(examples: readonly Example[], facts: TokenizerFacts, findings: FindingList): void {
  for (const example of examples) {
    for (const code of rowFaults(example, facts)) findings.add(code, "error", example.origin);
    for (const code of rowWarnings(example, facts)) findings.add(code, "warning", example.origin);
  }
}

/** A template that writes no BOS at all is that model's way; rows that differ among themselves are a fault. */
function checkBos(examples: readonly Example[], facts: TokenizerFacts, findings: FindingList): void {
  const lacking = examples.filter((example) => example.promptIds.length > 0 && !hasBos(example, facts));
  const isUniform = lacking.length === examples.length;
  for (const example of lacking) {
    const isError = !isUniform && !(example.trace?.isPretokenised ?? false);
    findings.add("bos_missing", isError ? "error" : "warning", example.origin);
  }
}

function checkDuplicates(
  train: readonly Example[],
  evaluation: readonly Example[],
  findings: FindingList,
): void {
  for (const rows of [train, evaluation]) {
    const seen = new Set<string>();
    for (const example of rows) {
      const key = rowKeyOf(example);
      if (seen.has(key)) findings.add("duplicate_row", "warning", example.origin);
      seen.add(key);
    }
  }
  for (const example of sharedPrompts(train, evaluation)) {
    findings.add("prompt_in_both_splits", "error", example.origin);
  }
}

/** The evaluation rows whose prompt is also a training row's. */
export function sharedPrompts(train: readonly Example[], evaluation: readonly Example[]): Example[] {
  if (evaluation.length === 0) return [];
  const trained = new Set(train.map(promptKeyOf));
  return evaluation.filter((example) => trained.has(promptKeyOf(example)));
}

function checkLongRows(examples: readonly Example[], findings: FindingList): void {
  const lengths = examples.map(({ promptIds, completions }) =>
    completions.reduce((total, { ids }) => total + ids.length, promptIds.length),
  );
  const mean = lengths.reduce((total, length) => total + length, 0) / Math.max(1, lengths.length);
  for (const [index, example] of examples.entries()) {
    if ((lengths[index] ?? 0) > longRowFactor * mean)
      findings.add("very_long_row", "warning", example.origin);
  }
}

function reportBias(bias: LengthBias | null, findings: FindingList): void {
  if (bias === null) return;
  // Two standard errors above a coin's half: what few pairs show by chance is not worth a warning.
  const chance = 0.5 + 1 / Math.sqrt(bias.measuredPairs);
  if (bias.heldOutAccuracy < Math.max(notableAccuracy, chance)) return;
  const where = bias.isOnEvaluation ? "evaluation pairs" : "training pairs (crossed halves)";
  const detail = `: "the ${bias.predictor} one is chosen" is right for ${percent(bias.heldOutAccuracy)} of the ${where}`;
  findings.addOverall("length_bias", "warning", bias.pairs, detail);
}

function truncation(
  examples: readonly Example[],
): Pick<RowCounts, "truncatedRows" | "truncatedTokens" | "endsLost"> {
  const counts = { truncatedRows: 0, truncatedTokens: 0, endsLost: 0 };
  for (const { trace } of examples) {
    const cut = (trace?.promptTokensCut ?? 0) + (trace?.answerTokensCut ?? 0);
    if (cut > 0) counts.truncatedRows++;
    counts.truncatedTokens += cut;
    counts.endsLost += trace?.endsLost ?? 0;
  }
  return counts;
}

/** A share as text: `60.0 %`. */
export function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}
