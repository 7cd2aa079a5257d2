/** The report of a run: one HTML file, readable without network, scripts or preftune, at any time of the run. */
import { writeFileAtomic } from "../base/files.ts";
import { formatDuration, formatNumber } from "../base/number-text.ts";
import { flatConfig } from "../config/keys.ts";
import { isOnPolicy } from "../config/online-keys.ts";
import { valueText } from "../config/print-config.ts";
import type { ConfigKey } from "../config/run-config.ts";
import { isEvalRow } from "../runs/metrics.ts";
import { rolloutsIn } from "../runs/rollouts.ts";
import { openRun, type RunView } from "../runs/run-directory.ts";
import { stateOf } from "../runs/run-state.ts";
import { readScales } from "../runs/scale-record.ts";
import { answersHtml } from "./answers-section.ts";
import { tickText } from "./axis.ts";
import { bestEvaluation, shownExport } from "./best-evaluation.ts";
import { type ChartPlan, MACHINE_PLANS, SAMPLE_PLANS } from "./chart-plans.ts";
import { collapseStory } from "./collapse-section.ts";
import { eventRow } from "./event-row.ts";
import { dataCheckSection, exportSection, lengthOnly, lengthSentence } from "./facts-section.ts";
import { fallenTokens } from "./fallen-tokens.ts";
import { findingsHtml, findingsOf, type ReportedRun } from "./findings.ts";
import { factsHtml, type Html, html, pageHtml, tableHtml, tileHtml } from "./html.ts";
import { type ChartMark, chartHtml } from "./line-chart.ts";
import { pointsOf, runCharts, withDisplacement } from "./metric-series.ts";
import { fallenPairs, pairFigures } from "./pairs-section.ts";
import { COMPLETION_PLANS, rewardSection, shownSteps, trainedOnHtml } from "./rollouts-section.ts";
import { plansOf, unplanned } from "./run-plans.ts";
import { scalesSection } from "./scales-section.ts";
import { pathShortener, type ShortenPaths } from "./shared-text.ts";
import { percent, signed } from "./signed.ts";
import { nameOf, stateText } from "./state-text.ts";

/**
 * Writes `report.html` into a run directory, whatever the run is at.
 *
 * @param path - where to write it instead
 * @returns the report's path
 * @throws {ConfigError} when `runDir` is no run
 */
export function writeReport(runDir: string, path: string | null = null): string {
  const run = openRun(runDir);
  const file = path ?? run.paths.report;
  writeFileAtomic(file, reportHtml(run));
  return file;
}

/** A run with what its report says of it. */
export function reportedRun(run: RunView, shorten: ShortenPaths = pathShortener([run])): ReportedRun {
  return {
    run,
    rows: withDisplacement(run.metrics),
    state: stateOf(run.paths, run.events),
    story: collapseStory(run.events),
    shorten,
  };
}

/** The report of a run as a page. */
function reportHtml(run: RunView): string {
  const reported = reportedRun(run);
  const { shorten } = reported;
  const title = nameOf(run);
  return pageHtml(`${title} · preftune`, [
    header(title, reported),
    findingsHtml(findingsOf(reported)),
    tiles(reported),
    ...(isOnPolicy(run.config) ? onPolicySections(reported) : rowSections(reported)),
    scalesSection(readScales(run.paths.dir), lengthSentence(lengthOnly(run.preflight)) ?? ""),
    chartSection("Machine", MACHINE_PLANS, reported),
    otherSection(reported),
    bestSection(reported),
    exportSection(run.exported, shorten),
    dataCheckSection(run.preflight, shorten),
    configSection(reported),
    factSection("Fingerprints", run.fingerprints, reported),
    eventSection(reported),
    html`<footer>Made by preftune from the files of ${title}. What each panel means: docs/report.md.</footer>`,
  ]);
}

/** What curves of accuracy are to be read against. */
function lengthMarks({ preflight }: Pick<RunView, "preflight">): ChartMark[] {
  const bias = lengthOnly(preflight);
  return bias === null ? [] : [{ value: bias.heldOutAccuracy, name: `${bias.predictor} answer` }];
}

/** Of a run that trains on rows. */
function rowSections(reported: ReportedRun): Html[] {
  const { run, shorten } = reported;
  const { outcome, training } = plansOf(run.config);
  return [
    chartSection("Does the chosen answer gain?", outcome, reported, {
      more: pairFigures(run.evaluations, run.config, shorten),
      below: html`${fallenTokens(run.evaluations, shorten)}${fallenPairs(run.evaluations, shorten)}`,
    }),
    chartSection("What does the model answer?", SAMPLE_PLANS, reported, {
      above: html`${answersHtml(run.evaluations, shownExport(run))}${watchCost(reported)}`,
    }),
    chartSection("Training", training, reported),
  ];
}

/** Of a run that trains on completions which it samples. */
function onPolicySections(reported: ReportedRun): Html[] {
  const { run, rows } = reported;
  const { evaluations } = run;
  const answers = answersHtml(evaluations, shownExport(run), shownSteps(evaluations));
  return [
    rewardSection(rows, evaluations),
    chartSection("What does the model answer?", [...COMPLETION_PLANS, ...SAMPLE_PLANS], reported, {
      above: answers,
      below: trainedOnHtml(rolloutsIn(run.paths.rollouts)),
    }),
    chartSection("Training", plansOf(run.config).training, reported),
  ];
}

/** What sampling the answers took; nothing where none were sampled. */
function watchCost({ rows, run }: ReportedRun): Html {
  const total = (key: string): number => pointsOf(rows, key).reduce((sum, [, value]) => sum + value, 0);
  const evaluations = pointsOf(rows, "eval_samples/seconds").length;
  if (evaluations === 0) return html``;
  const [seconds, whole] = [total("eval_samples/seconds"), total("eval_runtime")];
  const { watch_rows, watch_samples, watch_max_new_tokens } = run.config;
  const size = `Up to ${watch_rows} prompts × ${watch_samples}, ${watch_max_new_tokens} tokens at most, with the same random numbers each time.`;
  return html`<p class="soft">${size} Sampling took ${formatDuration(seconds)} in ${evaluations} evaluations, ${percent(seconds / whole)} of their time. Marked: words that the first or the last answer lacks. watch_prompts says what is asked, or null to ask nothing.</p>`;
}

/** Metrics that have no chart elsewhere. */
function otherSection({ run, rows }: ReportedRun): Html {
  const charts = runCharts(unplanned(run.config), rows).map(chartHtml);
  if (charts.length === 0) return html``;
  return html`<details><summary>${charts.length} more metrics</summary><div class="charts">${charts}</div></details>`;
}

function header(title: string, reported: ReportedRun): Html {
  const { run, shorten } = reported;
  const { config } = run;
  const preset = "preset" in config.method ? ` (${config.method.preset})` : "";
  const how = config.use_peft ? `LoRA r ${config.lora_r}` : "full tuning";
  const what = `${config.method.objective}${preset}, ${how}, ${shorten(config.model_name_or_path)}.`;
  return html`<h1>${title}</h1>
<p class="soft">${what} ${stateText(reported)}</p>`;
}

/** A tile is as wide as seven characters or so. */
const brief = (value: number): string => tickText(Number(value.toPrecision(3)));

function tiles({ run, rows }: ReportedRun): Html {
  const bias = lengthOnly(run.preflight);
  const above = bias === null ? "" : `; the ${bias.predictor} answer alone: ${percent(bias.heldOutAccuracy)}`;
  const shown: [string, string, (value: number) => string][] = [
    ["eval_reward", "held-out reward", brief],
    ["eval_gold", "held-out gold", brief],
    ["reward", "training reward", brief],
    ["eval_kl_init", "KL to the start, nats per completion", brief],
    ["eval_logps/chosen_delta_init", "chosen since start, held out, nats/token", signed],
    ["eval_logps/rejected_delta_init", "rejected since start, held out, nats/token", signed],
    ["eval_logps/accuracies", `held-out accuracy${above}`, percent],
    ["eval_accuracy", `held-out accuracy${above}`, percent],
    ["eval_displacement/frac_chosen_down", "chosen less likely in", percent],
    ["eval_displacement/token_change_mean_abs", "drift of chosen tokens, nats", brief],
    ["eval_displacement/token_change_p01", "tail: worst 1 % of chosen tokens, nats", signed],
    ["eval_displacement/other_text_change", "other text since start, nats/token", signed],
    ["eval_loss", "held-out loss", brief],
    ["loss", "training loss", brief],
    ["peak_memory_bytes", "peak memory", (value) => `${(value / 2 ** 30).toFixed(2)} GiB`],
  ];
  const made = shown.flatMap(([key, caption, format]) => {
    const last = pointsOf(rows, key).at(-1)?.[1];
    return last === undefined ? [] : [tileHtml(Number.isFinite(last) ? format(last) : String(last), caption)];
  });
  if (made.length === 0)
    return html`<p class="note">No metrics yet (logged every ${run.config.logging_steps} steps).</p>`;
  return html`<div class="tiles">${made}</div>`;
}

function chartSection(
  title: string,
  plans: readonly ChartPlan[],
  { run, rows }: ReportedRun,
  { more = [], above = html``, below = html`` }: SectionParts = {},
): Html {
  const charts = [...runCharts(plans, rows, lengthMarks(run)).map(chartHtml), ...more];
  if (charts.length === 0 && above.text === "") return html``;
  const drawn = charts.length === 0 ? html`` : html`<div class="charts">${charts}</div>`;
  return html`<section><h2>${title}</h2>${above}${drawn}${below}</section>`;
}

/** What a section has besides its curves. */
interface SectionParts {
  /** Figures beside the curves. */
  more?: readonly Html[];
  above?: Html;
  below?: Html;
}

function factSection(title: string, value: unknown, { shorten }: ReportedRun): Html {
  const table = factsHtml(value, shorten);
  return table === null
    ? html``
    : html`<section><h2>${title}</h2><details><summary>What it was computed from</summary>${table}</details></section>`;
}

/** Which evaluation after the start was the best, in words; one at which the watch saw a collapse is none. */
function bestSection({ run }: ReportedRun): Html {
  const { metric_for_best_model: metric } = run.config;
  const best = bestEvaluation(run);
  if (best === null) return html``;
  const [step, value] = best;
  const isLast = step === run.metrics.findLast(isEvalRow)?.global_step;
  const saved = run.checkpoints.some((checkpoint) => checkpoint.step === step);
  const kept = saved
    ? `checkpoint-${step} holds it.`
    : "No checkpoint of it was kept: load_best_model_at_end keeps one.";
  const which = isLast ? "The last evaluation is the best one" : "An earlier evaluation is the best one";
  return html`<section><h2>Best evaluation</h2><p>${which}: step ${step}, ${metric} ${formatNumber(value)}. ${isLast && !saved ? "" : kept}</p></section>`;
}

function configSection({ run: { config, provenance }, shorten }: ReportedRun): Html {
  const values = Object.entries(flatConfig(config)) as [ConfigKey, unknown][];
  const rows = values.map(
    ([key, value]) => [key, shorten(valueText(key, value)), shorten(provenance[key] ?? "")] as const,
  );
  const columns = ["key", "value", "from"];
  const chosen = rows.filter(([, , from]) => from !== "default");
  return html`<section><h2>Configuration</h2>
${tableHtml({ columns, rows: chosen })}
<details><summary>All ${rows.length} values</summary>${tableHtml({ columns, rows })}</details></section>`;
}

function eventSection({ run: { events }, shorten }: ReportedRun): Html {
  if (events.length === 0) return html``;
  const rows = events.map((event) => eventRow(event, shorten));
  return html`<section><h2>Events</h2>
<details><summary>${events.length} events</summary>${tableHtml({ columns: ["time, UTC", "event", "details"], rows })}</details></section>`;
}
