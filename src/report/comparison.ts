/** A report over several runs: the table first, then differences pair by pair, what differs in the runs, answers, curves. */
import { existsSync } from "node:fs";
import { dirname, relative, resolve, sep } from "node:path";
import { writeFileAtomic } from "../base/files.ts";
import { formatDuration, formatNumber } from "../base/number-text.ts";
import { isOnPolicy } from "../config/online-keys.ts";
import { methodOf } from "../methods/index.ts";
import { isEvalRow } from "../runs/metrics.ts";
import { openRun, type RunView } from "../runs/run-directory.ts";
import { shareInterval } from "../stats/bootstrap.ts";
import { type AnswersOfModels, modelAnswersHtml } from "./answers-section.ts";
import { shownExport } from "./best-evaluation.ts";
import { comparisonCharts, haveOneUnit, type NamedRows } from "./comparison-charts.ts";
import { differentNames } from "./different-names.ts";
import { exportedScale, heldOutDraws, lengthOnly, lengthSentence } from "./facts-section.ts";
import type { Finding } from "./finding.ts";
import { findingsHtml, findingsOf, type ReportedRun } from "./findings.ts";
import { type Cell, type Html, html, pageHtml, type ReportTable, tableHtml } from "./html.ts";
import type { ChartMark } from "./line-chart.ts";
import { pointsOf } from "./metric-series.ts";
import { pairedDifference } from "./pair-differences.ts";
import { runDifferences } from "./run-differences.ts";
import { reportedRun } from "./run-report.ts";
import { pathShortener } from "./shared-text.ts";
import { percent, signed } from "./signed.ts";
import { nameOf, stateWord, stepText } from "./state-text.ts";
import { trainingSeconds } from "./training-time.ts";

/** What a comparison says besides what the runs give. */
export interface ComparisonText {
  title: string;
  /** Names of the runs in their order; left out: their own. */
  names?: readonly string[];
  /** Stands before the table of the runs. */
  table?: ReportTable;
  /** Paragraphs that are folded away behind the tables: what was run and how to read it. */
  more?: readonly string[];
  /** Answers in place of those that the runs have sampled. */
  answers?: { names: readonly string[]; asked: readonly AnswersOfModels[] };
}

/** A run of a comparison. */
interface Compared extends ReportedRun {
  name: string;
  /** Address of its report from the page's folder; null where there is none. */
  link: string | null;
}

/** Prompts whose answers are shown where the runs have sampled them. */
const shownPrompts = 6;

/**
 * Writes one report over several runs, whatever each is at.
 *
 * @param path - the HTML file to write
 * @throws {ConfigError} when a directory holds no run
 */
export function writeComparison(
  dirs: readonly string[],
  path: string,
  text: ComparisonText | null = null,
): void {
  writeFileAtomic(path, comparisonPage(dirs, path, text));
}

/** The same as text. @param path - where it is to lie, for links to the runs' reports; null: without links */
export function comparisonPage(
  dirs: readonly string[],
  path: string | null,
  text: ComparisonText | null = null,
): string {
  const views = dirs.map((dir) => openRun(dir));
  const runs = comparedRuns(views, path, text?.names);
  return comparisonHtml(runs, text ?? { title: runs.map(({ name }) => name).join(", ") });
}

/** What a live comparison shows besides its curves. */
export interface ComparisonParts {
  /** Differences pair by pair, what the runs answer, what differs in them. */
  html: string;
  /** Whether losses and rewards of all runs have one unit. */
  isOneUnit: boolean;
}

/** The parts of a comparison that are no curves. */
export function comparisonParts(views: readonly RunView[]): ComparisonParts {
  const runs = comparedRuns(views, null);
  const parts = [differencesHtml(runs), answersSection(runs, null), differingHtml(runs)];
  return {
    html: parts.map(({ text }) => text).join(""),
    isOneUnit: haveOneUnit(runs.map(({ run }) => run.config.method)),
  };
}

function comparedRuns(views: readonly RunView[], path: string | null, own?: readonly string[]): Compared[] {
  const shorten = pathShortener(views);
  const names =
    own ??
    differentNames(
      views.map(nameOf),
      views.map(({ paths: { dir } }) => resolve(dir)),
    );
  return views.map((view, i): Compared => {
    const hasLink = path !== null && existsSync(view.paths.report);
    const link = hasLink ? addressOf(relative(dirname(path), view.paths.report)) : null;
    return { ...reportedRun(view, shorten), name: names[i] ?? "", link };
  });
}

/** A relative path as an address: signs that mean something there stand for themselves. */
function addressOf(path: string): string {
  return path.split(sep).map(encodeURIComponent).join("/");
}

function comparisonHtml(runs: readonly Compared[], text: ComparisonText): string {
  const table = text.table === undefined ? html`` : tableHtml(text.table);
  return pageHtml(`${text.title} · preftune`, [
    html`<h1>${text.title}</h1><p class="soft">${runs.length} runs beside each other, on held-out rows.</p>`,
    table,
    tableHtml(runTable(runs)),
    html`<p class="soft">${baselineText(runs)} Figures are of each run's last evaluation. In brackets: 95 % intervals over held-out pairs, or over their prompts where several are of one; how much training varies from seed to seed is not in them.</p>`,
    findingsHtml(runs.flatMap(findingsOfRun)),
    differencesHtml(runs),
    differingHtml(runs),
    answersSection(runs, text),
    curvesHtml(runs),
    moreHtml(text.more ?? []),
    html`<footer>Made by preftune from the files of the runs. What each panel means: docs/report.md.</footer>`,
  ]);
}

/** The findings of a run that is one of several; those about data are the same in most and stand in its own report. */
function findingsOfRun(run: Compared): Finding[] {
  return findingsOf(run)
    .filter(({ text }) => !text.startsWith("Data: "))
    .map((finding) => ({ ...finding, text: `${run.name}: ${finding.text}` }));
}

/** What length alone tells, where the runs have pairs. */
function baselineText(runs: readonly Compared[]): string {
  const said = new Set(runs.flatMap(({ run }) => lengthSentence(lengthOnly(run.preflight)) ?? []));
  const isScored = runs.some(({ run }) => methodOf(run.config.method.objective).over === "scores");
  const scored = isScored ? ", and of reward models those with the higher reward" : "";
  return `Accuracy: pairs whose chosen answer has the higher log-likelihood per token, for every objective alike${scored}. ${[...said].join(" ")}`;
}

/** A column of the table of runs; null where a run has no such figure. */
type Column = [name: string, cell: (run: Compared) => Cell];

const last = ({ rows }: Compared, key: string): number | null => pointsOf(rows, key).at(-1)?.[1] ?? null;
const shown = (value: number | null, format: (value: number) => string): string | null =>
  value === null ? null : format(value);

const columns: readonly Column[] = [
  ["run", ({ name, link }) => (link === null ? name : html`<a href="${link}">${name}</a>`)],
  ["objective", ({ run }) => run.config.method.objective],
  ["state", (run) => `${stateWord(run.state)}, ${stepText(run)}`],
  ["accuracy", accuracyCell],
  ["chosen since start, nats/token", (run) => shown(last(run, "eval_logps/chosen_delta_init"), signed)],
  ["rejected since start", (run) => shown(last(run, "eval_logps/rejected_delta_init"), signed)],
  ["chosen less likely in", (run) => shown(last(run, "eval_displacement/frac_chosen_down"), percent)],
  ["drift, nats", (run) => shown(last(run, "eval_displacement/token_change_mean_abs"), formatNumber)],
  ["tail, nats", (run) => shown(last(run, "eval_displacement/token_change_p01"), signed)],
  ["other text since start", (run) => shown(last(run, "eval_displacement/other_text_change"), signed)],
  ["step of the export", ({ run }) => otherExport(run)],
  ["scale of the export", ({ run }) => exportedScale(run)],
  ["reward", rewardCell],
  ["gold", (run) => last(run, "eval_gold")],
  ["KL to the start", (run) => last(run, "eval_kl_init")],
  ["training time", ({ rows }) => shown(trainingSeconds(rows), formatDuration)],
  [
    "peak memory",
    (run) =>
      shown(last(run, "peak_memory_bytes"), (bytes) => `${formatNumber(Math.round(bytes / 2 ** 20))} MiB`),
  ],
];

/** Columns that some run has a figure in. */
function runTable(runs: readonly Compared[]): ReportTable {
  const used = columns.filter(([, cell]) => runs.some((run) => cell(run) !== null));
  return { columns: used.map(([name]) => name), rows: runs.map((run) => used.map(([, cell]) => cell(run))) };
}

/** The step whose weights were exported, where the figures are of another. */
function otherExport(run: RunView): number | null {
  const evaluated = run.metrics.findLast(isEvalRow)?.global_step;
  const exported = shownExport(run);
  return evaluated === undefined || exported === evaluated ? null : exported;
}

/** On held-out prompts; of an on-policy run without them, in training. */
function rewardCell(run: Compared): Cell {
  const held = last(run, "eval_reward");
  if (held !== null || !isOnPolicy(run.run.config)) return held;
  return shown(last(run, "reward"), (value) => `${formatNumber(value)} (training)`);
}

function accuracyCell(run: Compared): Cell {
  const value = last(run, "eval_logps/accuracies") ?? last(run, "eval_accuracy");
  if (value === null) return null;
  const pairs = heldOutDraws(run.run, run.run.evaluations.at(-1) ?? null);
  if (pairs === 0) return percent(value);
  const { low, high } = shareInterval(value * pairs, pairs);
  return `${percent(value)} [${percent(low)}, ${percent(high)}]`;
}

/** Each run against the first, on the pairs that both have. */
function differencesHtml(runs: readonly Compared[]): Html {
  const [first, ...others] = runs;
  if (first === undefined) return html``;
  const rows = others.flatMap(({ name, run }) => {
    const found = pairedDifference(run.evaluations, first.run.evaluations);
    if (found === null) return [];
    const { accuracy, chosen, rejected, pairs, prompts } = found;
    const nats = ({ mean, low, high }: typeof chosen, scale = 1): string =>
      `${signed(scale * mean)} [${prompts < 2 ? "–" : `${signed(scale * low)}, ${signed(scale * high)}`}]`;
    const count = prompts < pairs ? `${pairs} of ${prompts} prompts` : pairs;
    return [[`${name} − ${first.name}`, count, nats(accuracy, 100), nats(chosen), nats(rejected)]];
  });
  const head = html`<h2>Pair by pair</h2>`;
  if (rows.length === 0) {
    return html`<section>${head}<p>The runs have no held-out pairs in common that were recorded, so nothing can be paired. Pairs are matched by their tokens: other rows, another tokenizer or template, or a version that kept no rows match nothing.</p></section>`;
  }
  const names = [
    "difference",
    "pairs in both",
    "accuracy, points",
    "chosen since start, nats/token",
    "rejected since start",
  ];
  return html`<section>${head}<p>On held-out pairs that both runs have, matched by their content whatever file and order they stand in. An interval that holds 0 shows no difference.</p>${tableHtml({ columns: names, rows })}</section>`;
}

function differingHtml(runs: readonly Compared[]): Html {
  const names = runs.map(({ name }) => name);
  const shorten = runs[0]?.shorten ?? String;
  const { table, same } = runDifferences(
    runs.map(({ run }) => run),
    names,
    shorten,
  );
  const found = table === null ? html`<p>No value and no input differs.</p>` : tableHtml(table);
  const rest = same.length === 0 ? html`` : html`<p class="soft">The same in all: ${same.join(", ")}.</p>`;
  return html`<section><h2>What differs</h2>${found}${rest}</section>`;
}

function answersSection(runs: readonly Compared[], text: ComparisonText | null): Html {
  const { names, asked } = text?.answers ?? sampledAnswers(runs);
  if (asked.length === 0) return html``;
  return html`<section><h2>What do the models answer?</h2><p class="soft">Marked: words that the answer in the first column lacks.</p>${modelAnswersHtml(names, asked)}</section>`;
}

/** What the runs sampled last, beside the first run's start. */
function sampledAnswers(runs: readonly Compared[]): NonNullable<ComparisonText["answers"]> {
  const sampled = runs.map(({ run }) => run.evaluations.filter(({ samples }) => samples.length > 0));
  const start = sampled[0]?.[0];
  const step = start?.global_step ?? 0;
  const lasts = sampled.map((all) => all.at(-1));
  const columns = [start, ...lasts].map((one) => one?.samples ?? []);
  const asked = [...new Set(columns.flat().map(({ prompt }) => prompt))].map((prompt) => ({
    prompt,
    answers: columns.map((all) => all.find((sample) => sample.prompt === prompt)?.answers[0] ?? null),
  }));
  // what most have answered first: runs may watch different prompts, a resumed one others than before
  const missing = ({ answers }: AnswersOfModels): number => answers.filter((one) => one === null).length;
  const name = `${runs[0]?.name ?? ""}, step ${step}`;
  return {
    names: [name, ...runs.map((run, i) => `${run.name}, step ${lasts[i]?.global_step ?? "–"}`)],
    asked: asked.toSorted((a, b) => missing(a) - missing(b)).slice(0, shownPrompts),
  };
}

function curvesHtml(runs: readonly Compared[]): Html {
  const named: NamedRows[] = runs.map(({ name, rows, run: { config } }) => ({
    ...{ name, rows, method: config.method, isOnPolicy: isOnPolicy(config) },
  }));
  const marks = new Map<string, ChartMark>();
  for (const { run } of runs) {
    const bias = lengthOnly(run.preflight);
    if (bias === null) continue;
    const mark = { value: bias.heldOutAccuracy, name: `${bias.predictor} answer` };
    marks.set(JSON.stringify(mark), mark);
  }
  return html`${comparisonCharts(named, [...marks.values()])}`;
}

function moreHtml(paragraphs: readonly string[]): Html {
  if (paragraphs.length === 0) return html``;
  return html`<details><summary>What was run, and how to read it</summary>${paragraphs.map((one) => html`<p>${one}</p>`)}</details>`;
}
