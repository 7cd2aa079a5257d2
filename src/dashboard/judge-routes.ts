/** Judges: what the workbench knows of them, and the results that `preftune evaluate` left below the directories. */
import { basename, dirname, join } from "node:path";
import { readJsonFile, sha256 } from "../base/files.ts";
import type { Interval } from "../stats/bootstrap.ts";
import { type JudgeFacts, judgeFacts } from "../workbench/judges.ts";
import { refusing } from "./refusing.ts";
import { storedReport } from "./report-page.ts";
import { type DashboardContext, type Route, seesRuns } from "./route.ts";
import { foldersWith } from "./run-store.ts";

/** A fraction with its interval. */
interface Statistic {
  value: number | null;
  interval: Interval;
}

/** One comparison of `evaluate`, as its results.json has it. */
export interface JudgedRun {
  id: string;
  name: string;
  benchmark: string;
  models: readonly string[];
  judge: string;
  questions: number;
  winRate: Statistic;
  /** Pairs whose winner changed with the order. */
  changed: Statistic;
  /** Verdicts for the answer shown first. */
  first: Statistic;
  /** Verdicts for the longer answer. */
  longer: Statistic;
}

/** What the screen shows. */
export interface Judges {
  judges: JudgeFacts[];
  runs: JudgedRun[];
}

/** Folders below a given one that are looked into. */
const deepest = 3;

/** The routes. */
export function judgeRoutes({ bench, runs }: DashboardContext): Route[] {
  const get = (path: string, answer: Route["answer"]): Route => ({
    ...{ method: "GET", path, roles: seesRuns, answer: refusing(answer) },
  });
  return [
    get("/api/judges", (c) => {
      const found = runs.roots.flatMap((root) => resultsBelow(root));
      const judged: Judges = {
        judges: bench.exists ? judgeFacts(bench.store) : [],
        runs: found.flatMap((path) => judgedRun(path) ?? []),
      };
      return c.json(judged);
    }),
    get("/api/judges/:results/report", (c) => {
      const id = c.req.param("results");
      const path = runs.roots.flatMap((root) => resultsBelow(root)).find((one) => idOf(one) === id);
      const report = path === undefined ? null : join(dirname(path), "report.html");
      return storedReport(c, runs.roots, { path: report, missing: "There is no such report." });
    }),
  ];
}

function idOf(path: string): string {
  return sha256(path).slice(0, 16);
}

/** Files results.json below `dir`. */
function resultsBelow(dir: string): string[] {
  return foldersWith("results.json", dir, deepest).map((folder) => join(folder, "results.json"));
}

/** A comparison in pairs; null for other results, and for a file that cannot be read. */
function judgedRun(path: string): JudgedRun | null {
  try {
    const { benchmark, models, judge, questions, statistics } = readJsonFile(path) as ResultsFile;
    const { outcomes, positionBias, lengthBias } = statistics;
    return {
      ...{ id: idOf(path), name: basename(dirname(path)), benchmark, models, judge: judge.model, questions },
      ...{ winRate: outcomes.winRate, changed: positionBias.changed },
      ...{ first: positionBias.firstShare, longer: lengthBias.longerShare },
    };
  } catch {
    return null;
  }
}

interface ResultsFile {
  benchmark: string;
  models: string[];
  judge: { model: string };
  questions: number;
  statistics: {
    outcomes: { winRate: Statistic };
    positionBias: { changed: Statistic; firstShare: Statistic };
    lengthBias: { longerShare: Statistic };
  };
}
