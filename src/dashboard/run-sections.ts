/** What a run's page shows besides its live curves: made by the report's functions, as HTML in which all that comes from a run is escaped. */
import { readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { statsOf } from "../base/open-file.ts";
import { flatConfig } from "../config/keys.ts";
import { valueText } from "../config/print-config.ts";
import type { ConfigKey } from "../config/run-config.ts";
import { answersHtml } from "../report/answers-section.ts";
import { shownExport } from "../report/best-evaluation.ts";
import { eventRow } from "../report/event-row.ts";
import { dataCheckSection, exportSection, lengthOnly, lengthSentence } from "../report/facts-section.ts";
import type { Finding } from "../report/finding.ts";
import { findingsHtml, findingsOf, type ReportedRun } from "../report/findings.ts";
import { rejectedTokens } from "../report/histogram.ts";
import { factsHtml } from "../report/html.ts";
import { kneeOf, quadrantsHtml } from "../report/pairs-section.ts";
import { reportedRun } from "../report/run-report.ts";
import { scalesSection } from "../report/scales-section.ts";
import { pathShortener } from "../report/shared-text.ts";
import type { EvaluationRecord } from "../runs/evaluation-records.ts";
import type { RunView } from "../runs/run-directory.ts";
import { readScales } from "../runs/scale-record.ts";

/** A value of the configuration: key, value, where it comes from. */
export type ConfigRow = readonly [key: string, value: string, from: string];

/** An event: its time, its name, what else it says. */
export type EventRow = readonly [time: string, event: string, details: string];

/** A file of the run. */
export interface RunFile {
  name: string;
  /** Null for a folder. */
  bytes: number | null;
}

/** The parts of a page. HTML is "" where there is nothing to show. */
export interface RunSections {
  findings: string;
  dataCheck: string;
  exported: string;
  fingerprints: string;
  rollouts: string;
  /** What preftune scale measured. */
  scales: string;
  config: readonly ConfigRow[];
  files: readonly RunFile[];
  /** The last first: time, name, details. */
  events: readonly EventRow[];
  /** Steps of the evaluations. */
  steps: readonly number[];
  /** Rows of an epoch, where they are known. */
  epochRows: number | null;
}

/** The parts of a run's page. @param rollouts - their section @param damaged - lines of `metrics.jsonl` that hold no row of metrics */
export function runSections(run: RunView, rollouts: string, damaged: readonly number[]): RunSections {
  const reported = reportedRun(run);
  const { shorten } = reported;
  return {
    findings: findingsHtml(findingsOf(reported, damagedFinding(damaged))).text,
    dataCheck: dataCheckSection(run.preflight, shorten).text,
    exported: exportSection(run.exported, shorten).text,
    fingerprints: factsHtml(run.fingerprints, shorten)?.text ?? "",
    rollouts,
    scales: scalesSection(readScales(run.paths.dir), lengthSentence(lengthOnly(run.preflight)) ?? "").text,
    config: configRows(reported),
    files: filesOf(run.paths.dir),
    events: run.events.toReversed().map((event) => eventRow(event, shorten)),
    steps: run.evaluations.map(({ global_step: step }) => step),
    epochRows: epochRowsOf(run.preflight),
  };
}

/** What is missing in all figures; nothing where every line was read. */
function damagedFinding(lines: readonly number[]): Finding[] {
  if (lines.length === 0) return [];
  const rest = lines.length > 5 ? `, … (${lines.length} in all)` : "";
  const at = `line ${lines.slice(0, 5).join(", ")}${rest}`;
  return [
    {
      severity: "warning",
      text: `What metrics.jsonl holds in ${at} is no row of metrics: figures and curves here are without it.`,
      remedy: "It was changed by hand or damaged: take it out. preftune report refuses the file as it is.",
    },
  ];
}

function configRows({ run: { config, provenance }, shorten }: ReportedRun): ConfigRow[] {
  const values = Object.entries(flatConfig(config)) as [ConfigKey, unknown][];
  return values.map(([key, value]) => [key, shorten(valueText(key, value)), shorten(provenance[key] ?? "")]);
}

function filesOf(dir: string): RunFile[] {
  return readdirSync(dir, { withFileTypes: true })
    .filter(({ name }) => !name.startsWith("."))
    .map((entry) => ({
      name: entry.name,
      bytes: entry.isDirectory() ? null : (statsOf(join(dir, entry.name))?.size ?? 0),
    }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function epochRowsOf(preflight: unknown): number | null {
  const rows = (preflight as { train?: { rows?: unknown } } | null)?.train?.rows;
  return typeof rows === "number" ? rows : null;
}

/** A pair of an evaluation: the key of its row, where that is for people, and how it moved. */
export interface MovedPair {
  key: string;
  place: string;
  chosen: number;
  rejected: number;
  margin: number | null;
}

/** What an evaluation shows. */
export interface ShownEvaluation {
  step: number;
  answers: string;
  quadrants: string;
  rejected: string;
  pairs: readonly MovedPair[];
}

/** The evaluation at a step beside the first one; null where there is none at that step. */
export function shownEvaluation(run: RunView, step: number): ShownEvaluation | null {
  const at = run.evaluations.findIndex((one) => one.global_step === step);
  const [first, record] = [run.evaluations[0], run.evaluations[at]];
  if (first === undefined || record === undefined) return null;
  const shorten = pathShortener([run]);
  const both = at === 0 ? [first] : [first, record];
  return {
    step,
    answers: answersHtml(both, shownExport(run)).text,
    quadrants: isMoved(record) ? quadrantsHtml(record, shorten).text : "",
    rejected: rejectedTokens(both, kneeOf(run.config))
      .map(({ text }) => text)
      .join(""),
    pairs: record.pair_changes.map(([chosen, rejected], i) => {
      const [place = "", key = ""] = record.pair_rows?.[i] ?? [];
      return {
        key,
        place: placeText(shorten(place)),
        chosen,
        rejected,
        margin: record.pair_margins?.[i] ?? null,
      };
    }),
  };
}

function placeText(place: string): string {
  return place === "" ? "" : basename(place);
}

function isMoved({ pair_changes: pairs }: EvaluationRecord): boolean {
  return pairs.some(([chosen, rejected]) => chosen !== 0 || rejected !== 0);
}

/** How one pair moved over the evaluations. */
export interface PairCourse {
  place: string;
  steps: readonly { step: number; chosen: number; rejected: number; margin: number | null }[];
}

/** The course of the pair whose row has this key; null where no evaluation has it. */
export function pairCourse(evaluations: readonly EvaluationRecord[], key: string): PairCourse | null {
  let place: string | null = null;
  const steps = evaluations.flatMap(
    ({ global_step: step, pair_rows: rows = [], pair_changes, pair_margins }) => {
      const at = rows.findIndex((row) => row[1] === key);
      const change = pair_changes[at];
      if (change === undefined) return [];
      place = rows[at]?.[0] ?? place;
      return [{ step, chosen: change[0], rejected: change[1], margin: pair_margins?.[at] ?? null }];
    },
  );
  return place === null ? null : { place, steps };
}
