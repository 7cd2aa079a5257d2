/** Reports: one HTML file per run, or one that compares several, readable without network, scripts or preftune. */
import { basename, resolve } from "node:path";
import { writeFileAtomic } from "../base/files.ts";
import { formatNumber } from "../base/number-text.ts";
import { flatConfig } from "../config/keys.ts";
import { isOnPolicy } from "../config/online-keys.ts";
import { valueText } from "../config/print-config.ts";
import type { ConfigKey, RunConfig } from "../config/run-config.ts";
import type { MetricRow } from "../runs/metrics.ts";
import { readRollouts } from "../runs/rollouts.ts";
import { openRun, type RunView } from "../runs/run-directory.ts";
import { answersHtml } from "./answers-section.ts";
import { type CollapseStory, collapseNote, collapseStory } from "./collapse-section.ts";
import { displacementNote } from "./displacement-section.ts";
import { dataCheckSection, exportSection } from "./facts-section.ts";
import { factsHtml, type Html, html, pageHtml, type ReportTable, tableHtml, tileHtml } from "./html.ts";
import { chartHtml } from "./line-chart.ts";
import {
  comparisonCharts,
  DISPLACEMENT_PLANS,
  type NamedRows,
  pointsOf,
  runCharts,
  SAMPLE_PLANS,
  TRAINING_PLANS,
  withDisplacement,
} from "./metric-series.ts";
import { pairFigures } from "./pairs-section.ts";
import {
  COMPLETION_PLANS,
  POLICY_PLANS,
  rewardSection,
  shownSteps,
  trainedOnHtml,
} from "./rollouts-section.ts";

/**
 * Writes `report.html` into a run directory.
 *
 * @returns the report's path
 * @throws {ConfigError} when `runDir` is no run
 */
export function writeReport(runDir: string): string {
  const run = openRun(runDir);
  writeFileAtomic(run.paths.report, reportHtml(run));
  return run.paths.report;
}

/** The report of a run as a page. */
function reportHtml(run: RunView): string {
  const title = run.config.run_name ?? basename(resolve(run.paths.dir));
  const rows = withDisplacement(run.metrics);
  const story = collapseStory(run.events);
  return pageHtml(`${title} · preftune`, [
    header(title, run),
    tiles(run.config, rows),
    collapseNote(story),
    ...(isOnPolicy(run.config) ? onPolicySections(run, story, rows) : rowSections(run, story, rows)),
    factSection("Best checkpoint", bestCheckpoint(run, story)),
    exportSection(run.exported),
    dataCheckSection(run.preflight),
    configSection(run),
    factSection("Fingerprints", run.fingerprints),
    eventSection(run),
    html`<footer>Made by preftune from the files of ${basename(resolve(run.paths.dir))}.</footer>`,
  ]);
}

/** Of a run that trains on rows. */
function rowSections(run: RunView, story: CollapseStory, rows: readonly MetricRow[]): Html[] {
  return [
    chartSection("Does the chosen answer gain?", DISPLACEMENT_PLANS, rows, {
      note: displacementNote(rows, run.evaluations),
      more: pairFigures(run.evaluations, run.config),
    }),
    chartSection("What does the model answer?", SAMPLE_PLANS, rows, {
      below: answersHtml(run.evaluations, story.end?.restored ?? null),
    }),
    chartSection("Training", TRAINING_PLANS, rows, { note: nonFiniteNote(rows) }),
  ];
}

/** Of a run that trains on completions which it samples. */
function onPolicySections(run: RunView, story: CollapseStory, rows: readonly MetricRow[]): Html[] {
  const { evaluations } = run;
  const answers = answersHtml(evaluations, story.end?.restored ?? null, shownSteps(evaluations));
  const isShown = (title: string): boolean => COMPLETION_PLANS.every((plan) => plan.title !== title);
  const plans = [...POLICY_PLANS, ...TRAINING_PLANS.filter(({ title }) => isShown(title))];
  return [
    rewardSection(rows),
    chartSection("What does the model answer?", [...COMPLETION_PLANS, ...SAMPLE_PLANS], rows, {
      below: html`${answers}${trainedOnHtml(readRollouts(run.paths.rollouts))}`,
    }),
    chartSection("Training", plans, rows, { note: nonFiniteNote(rows) }),
  ];
}

/** A run to compare: its directory, or its rows of metrics. */
export interface ComparedRun {
  name: string;
  dir?: string;
  metrics?: readonly MetricRow[];
}

/** What a comparison says besides its curves. */
export interface ComparisonText {
  title: string;
  /** Paragraphs above the table: what was run and how to read it. */
  intro: readonly string[];
  table: ReportTable;
}

/**
 * Writes one report over several runs: a table and a curve of each run in every chart.
 *
 * @param path - the HTML file to write
 */
export function writeComparison(runs: readonly ComparedRun[], text: ComparisonText, path: string): void {
  const named: NamedRows[] = runs.map(({ name, dir, metrics }) => ({
    name,
    rows: withDisplacement(metrics ?? (dir === undefined ? [] : openRun(dir).metrics)),
  }));
  const plans = [...DISPLACEMENT_PLANS, ...SAMPLE_PLANS, ...TRAINING_PLANS];
  const charts = comparisonCharts(plans, named).map(chartHtml);
  const page = pageHtml(`${text.title} · preftune`, [
    html`<h1>${text.title}</h1>`,
    ...text.intro.map((paragraph) => html`<p>${paragraph}</p>`),
    tableHtml(text.table),
    html`<h2>Curves</h2><div class="charts">${charts}</div>`,
  ]);
  writeFileAtomic(path, page);
}

function header(title: string, { config, metrics, events }: RunView): Html {
  const last = metrics.at(-1)?.global_step ?? 0;
  const preset = "preset" in config.method ? ` (${config.method.preset})` : "";
  const how = config.use_peft ? `LoRA r ${config.lora_r}` : "full tuning";
  const state = events.at(-1);
  const status =
    state === undefined
      ? ""
      : ` Last event: ${state.event}, ${state.time.slice(0, 16).replace("T", " ")} UTC.`;
  return html`<h1>${title}</h1>
<p class="soft">${config.method.objective}${preset}, ${how}, ${config.model_name_or_path}. ${last} steps.${status}</p>`;
}

function tiles(config: RunConfig, rows: readonly MetricRow[]): Html {
  const shown: [string, string, (value: number) => string][] = [
    ["eval_reward", "held-out reward", formatNumber],
    ["eval_gold", "held-out gold", formatNumber],
    ["reward", "training reward", formatNumber],
    ["eval_kl_init", "KL to the start, nats per completion", formatNumber],
    ["eval_loss", "held-out loss", formatNumber],
    ["loss", "training loss", formatNumber],
    ["eval_rewards/accuracies", "held-out accuracy", percent],
    ["rewards/accuracies", "training accuracy", percent],
    ["eval_rewards/margins", "held-out margin", formatNumber],
    ["eval_accuracy", "held-out accuracy", percent],
    ["accuracy", "training accuracy", percent],
    ["eval_margin", "held-out margin", formatNumber],
    ["eval_logps/chosen_delta_init", "chosen since start, held out, nats/token", thousandths],
    ["eval_logps/rejected_delta_init", "rejected since start, held out, nats/token", thousandths],
    ["peak_memory_bytes", "peak memory", (value) => `${(value / 2 ** 30).toFixed(2)} GiB`],
  ];
  const made = shown.flatMap(([key, caption, format]) => {
    const last = pointsOf(rows, key).at(-1)?.[1];
    return last === undefined ? [] : [tileHtml(Number.isFinite(last) ? format(last) : String(last), caption)];
  });
  if (made.length === 0)
    return html`<p class="note">No metrics yet (logged every ${config.logging_steps} steps).</p>`;
  return html`<div class="tiles">${made}</div>`;
}

function percent(value: number): string {
  return `${(100 * value).toFixed(1)} %`;
}

function thousandths(value: number): string {
  return signed(Number(value.toFixed(3)));
}

function signed(value: number): string {
  return `${value > 0 ? "+" : ""}${formatNumber(value)}`.replace("-", "−");
}

function chartSection(
  title: string,
  plans: Parameters<typeof runCharts>[0],
  rows: readonly MetricRow[],
  { note = null, more = [], below = html`` }: SectionParts,
): Html {
  const charts = [...runCharts(plans, rows).map(chartHtml), ...more];
  if (charts.length === 0) return html``;
  const intro = note === null ? html`` : html`<p class="note">${note}</p>`;
  return html`<section><h2>${title}</h2>${intro}<div class="charts">${charts}</div>${below}</section>`;
}

/** What a section has besides its curves. */
interface SectionParts {
  note?: string | null;
  /** Figures beside the curves. */
  more?: readonly Html[];
  /** After the figures. */
  below?: Html;
}

function nonFiniteNote(rows: readonly MetricRow[]): string | null {
  const steps = rows.filter((row) =>
    Object.values(row).some((v) => typeof v === "number" && !Number.isFinite(v)),
  );
  if (steps.length === 0) return null;
  const named = steps.slice(0, 5).map((row) => row.global_step);
  return `${steps.length === 1 ? "1 row holds" : `${steps.length} rows hold`} NaN or infinity (marked ×), at step ${named.join(", ")}${steps.length > 5 ? ", …" : ""}.`;
}

function factSection(title: string, value: unknown): Html {
  const table = factsHtml(value);
  return table === null ? html`` : html`<section><h2>${title}</h2>${table}</section>`;
}

/** The best evaluation after the start; one at which the watch saw a collapse is none. */
function bestCheckpoint(
  { config, metrics, checkpoints }: RunView,
  { alarms }: CollapseStory,
): Record<string, unknown> | null {
  const { metric_for_best_model: metric, greater_is_better: greater } = config;
  const sign = greater ? -1 : 1;
  const collapsed = new Set(alarms.map(({ step }) => step));
  const points = pointsOf(metrics, metric).filter(
    ([step, value]) => Number.isFinite(value) && step > 0 && !collapsed.has(step),
  );
  const best = points.toSorted((a, b) => sign * (a[1] - b[1]) || a[0] - b[0])[0];
  if (best === undefined) return null;
  const [step, value] = best;
  const saved = checkpoints.some((checkpoint) => checkpoint.step === step);
  return { step, [metric]: value, checkpoint: saved ? `checkpoint-${step}` : "none was kept of this step" };
}

function configSection({ config, provenance }: RunView): Html {
  const values = Object.entries(flatConfig(config)) as [ConfigKey, unknown][];
  const rows = values.map(([key, value]) => [key, valueText(key, value), provenance[key] ?? ""] as const);
  const columns = ["key", "value", "from"];
  const chosen = rows.filter(([, , from]) => from !== "default");
  return html`<section><h2>Configuration</h2>
${tableHtml({ columns, rows: chosen })}
<details><summary>All ${rows.length} values</summary>${tableHtml({ columns, rows })}</details></section>`;
}

function eventSection({ events }: RunView): Html {
  if (events.length === 0) return html``;
  const rows = events.map(({ time, event, ...details }) => [
    time,
    event,
    Object.entries(details)
      .map(([key, value]) => `${key} ${typeof value === "string" ? value : JSON.stringify(value)}`)
      .join(", "),
  ]);
  return html`<section><h2>Events</h2>
<details><summary>${events.length} events</summary>${tableHtml({ columns: ["time", "event", "details"], rows })}</details></section>`;
}
