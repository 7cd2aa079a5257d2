/** The list of runs, and what a run's page shows. */
import { basename } from "node:path";
import { PreftuneError } from "../base/errors.ts";
import { METRICS } from "../config/metric-names.ts";
import { isOnPolicy } from "../config/online-keys.ts";
import { comparisonPage, comparisonParts } from "../report/comparison.ts";
import { type PairTokens, readPairTokens, type TokensOfPair } from "../runs/pair-tokens.ts";
import { openRun, type RunView, runPaths } from "../runs/run-directory.ts";
import { readRunJson } from "../runs/run-json.ts";
import { listMark, placeText } from "./event-stream.ts";
import { textBelow } from "./is-below.ts";
import { PageError } from "./page-error.ts";
import { pairOf, rowAt } from "./pair-text.ts";
import { reportPage, storedReport } from "./report-page.ts";
import { type Ctx, type DashboardContext, type Route, seesRuns } from "./route.ts";
import { chartGroups } from "./run-charts.ts";
import { pairCourse, runSections, shownEvaluation } from "./run-sections.ts";
import type { RunStore } from "./run-store.ts";
import { wireCsv, wireCurves } from "./wire.ts";

/** The routes. */
export function runRoutes({ runs }: DashboardContext): Route[] {
  const get = (path: string, answer: Route["answer"]): Route => ({
    ...{ method: "GET", path, roles: seesRuns, answer: inWords(answer) },
  });
  return [
    get("/api/runs", async (c) => {
      const summaries = await runs.list();
      return c.json({ runs: summaries, mark: listMark(summaries) });
    }),
    get("/api/metrics", (c) => c.json(metricTexts())),
    get("/api/runs/:run", (c) => c.json(runs.summary(idOf(c)))),
    get("/api/runs/:run/curves", (c) => curves(c, runs)),
    get("/api/runs/:run/metrics.csv", (c) => csv(c, runs)),
    get("/api/runs/:run/sections", (c) => sections(c, runs)),
    get("/api/runs/:run/evaluations/:step", async (c) => {
      const shown = shownEvaluation(await viewOf(runs, idOf(c)), Number(c.req.param("step")));
      if (shown === null) throw new PageError(404, "There is no evaluation at this step.");
      return c.json(shown);
    }),
    get("/api/runs/:run/pairs/:pair", (c) => pair(c, runs)),
    get("/api/runs/:run/config.yaml", (c) => config(c, runs)),
    get("/api/runs/:run/report", (c) => report(c, runs)),
    get("/api/comparison", (c) => {
      const dirs = comparedIds(c).map((id) => runs.dirOf(id));
      return reportPage(c, comparisonPage(dirs, null));
    }),
    get("/api/comparison/parts", async (c) =>
      c.json(comparisonParts(await Promise.all(comparedIds(c).map((id) => viewOf(runs, id))))),
    ),
  ];
}

function idOf(c: Ctx): string {
  return c.req.param("run") ?? "";
}

/** A run whose files are damaged is reported to the page in the reader's own words. */
function inWords(answer: Route["answer"]): Route["answer"] {
  return async (c) => {
    try {
      return await answer(c);
    } catch (error) {
      if (error instanceof PreftuneError) throw new PageError(422, error.message);
      throw error;
    }
  };
}

/** A run with the rows of metrics that are in memory: a long one has too many to read them again at each question. */
async function viewOf(runs: RunStore, id: string): Promise<RunView> {
  const { rows } = await runs.live(id);
  return openRun(
    runs.dirOf(id),
    rows.map(({ row }) => row),
  );
}

async function sections(c: Ctx, runs: RunStore): Promise<Response> {
  const live = await runs.live(idOf(c));
  const run = await viewOf(runs, idOf(c));
  const rollouts = isOnPolicy(run.config) ? await live.rollouts.html() : "";
  return c.json(runSections(run, rollouts, live.damaged));
}

async function curves(c: Ctx, runs: RunStore): Promise<Response> {
  const run = await runs.live(idOf(c));
  const { config } = readRunJson(runPaths(runs.dirOf(idOf(c))).runJson);
  return c.json({
    summary: runs.summary(idOf(c)),
    place: placeText(run.place),
    groups: chartGroups(config),
    curves: wireCurves(run.rows, smoothingOf(c.req.query("smooth"))),
  });
}

/** How smooth long curves are asked for. @throws {PageError} when it is no share below 1 */
function smoothingOf(asked = "0"): number {
  const smoothing = Number(asked);
  if (smoothing >= 0 && smoothing < 1) return smoothing;
  throw new PageError(422, `smooth: expected a number from 0 to below 1, got "${asked.slice(0, 100)}".`);
}

/** All rows with the metrics `?keys=a,b`, or with all. */
async function csv(c: Ctx, runs: RunStore): Promise<Response> {
  const run = await runs.live(idOf(c));
  const keys = (c.req.query("keys") ?? "").split(",").filter(Boolean);
  const name = `${basename(runs.dirOf(idOf(c))).replace(/[^\w.-]/g, "_")}.csv`;
  return c.body(wireCsv(run.rows, keys), 200, {
    "Content-Type": "text/csv; charset=utf-8",
    "Content-Disposition": `attachment; filename="${name}"`,
  });
}

async function pair(c: Ctx, runs: RunStore): Promise<Response> {
  const run = await viewOf(runs, idOf(c));
  const course = pairCourse(run.evaluations, c.req.param("pair") ?? "");
  if (course === null) throw new PageError(404, "No evaluation of this run has this pair.");
  const { place, steps } = course;
  const kept = readPairTokens(run.paths.pairTokens);
  const tokens = kept === null ? null : shownTokens(kept, c.req.param("pair") ?? "");
  const shown = { place: basename(place), steps, tokens };
  try {
    const data = run.fingerprints?.data ?? {};
    const { row, spec } = await rowAt(place, { config: run.config, data }, runs.roots);
    return c.json({ ...shown, text: pairOf(row, spec, run.config), problem: null });
  } catch (error) {
    if (!(error instanceof PreftuneError)) throw error;
    return c.json({ ...shown, text: null, problem: error.message });
  }
}

/** The tokens of one pair, with the steps that they are of. */
export interface ShownTokens extends TokensOfPair {
  start: number;
  step: number;
}

function shownTokens({ start, step, pairs }: PairTokens, key: string): ShownTokens | null {
  const own = Object.hasOwn(pairs, key) ? pairs[key] : undefined;
  return own === undefined ? null : { start, step, ...own };
}

function config(c: Ctx, runs: RunStore): Response {
  const { configYaml } = runPaths(runs.dirOf(idOf(c)));
  const text = textBelow(runs.roots, configYaml);
  if (text === null) throw new PageError(404, "The run has no config.yaml.");
  return c.body(text, 200, { "Content-Type": "text/plain; charset=utf-8" });
}

/** Runs that are compared at once. */
const mostCompared = 8;

/** The runs `?runs=ID,ID`. */
function comparedIds(c: Ctx): string[] {
  const ids = [...new Set((c.req.query("runs") ?? "").split(",").filter(Boolean))];
  if (ids.length < 2 || ids.length > mostCompared) {
    throw new PageError(422, `Expected 2 to ${mostCompared} runs to compare, got ${ids.length}.`);
  }
  return ids;
}

/** The report as the run wrote it. */
function report(c: Ctx, runs: RunStore): Response {
  return storedReport(c, runs.roots, {
    path: runPaths(runs.dirOf(idOf(c))).report,
    missing: "The run has no report yet: preftune report RUN writes one.",
  });
}

/** Unit, meaning and good direction of every metric, and of the curve that reports make of two. */
function metricTexts(): object {
  const known = METRICS.map(({ key, unit, definition, better }) => [key, { unit, definition, better }]);
  const margin = {
    unit: "nats/token",
    definition: "Change of chosen answers since the start less that of rejected ones, held-out rows.",
    better: "higher",
  };
  return Object.fromEntries([...known, ["logps/margin_delta_init", margin]]);
}
