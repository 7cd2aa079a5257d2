/** Rounds: the list, one with its graph and what its nodes made, and starting, continuing and stopping them by the queue. */
import { basename, dirname, join, relative, resolve } from "node:path";
import { parseDocument } from "yaml";
import { z } from "zod";
import { stopHolder } from "../runs/run-lock.ts";
import { parseRound } from "../workbench/rounds/round-file.ts";
import { isRound, readRound, roundName, roundPaths } from "../workbench/rounds/round-record.ts";
import { outputPlace, placeOf } from "./drafts.ts";
import { textBelow } from "./is-below.ts";
import { queued, shownJob } from "./job-routes.ts";
import { PageError } from "./page-error.ts";
import { refusing } from "./refusing.ts";
import { storedReport } from "./report-page.ts";
import { bodyOf } from "./request-body.ts";
import {
  answersHtml,
  checkHtml,
  comparisonHtml,
  type FoundRound,
  graphOf,
  roundsTable,
  stateOf,
} from "./round-view.ts";
import { type Ctx, type DashboardContext, ownerOnly, type Route, seesRuns } from "./route.ts";
import { foldersWith, idOf } from "./run-store.ts";

/** The list of rounds. */
export interface Rounds {
  /** The table; "" where there are none. */
  html: string;
  /** A file to begin with. */
  example: string;
}

/** One round. */
export interface ShownRound {
  name: string;
  state: string;
  isAtWork: boolean;
  /** What people have to do, and why it ended before its time; "" otherwise. */
  waiting: string;
  problem: string;
  graph: string;
  /** What `show` asks for: comparison, check or answers. */
  html: string;
  /** Prompts that are answered. */
  total: number;
}

/** Folders below a given one that are looked into. */
const deepest = 3;

const example = `model: HuggingFaceTB/SmolLM2-135M-Instruct
prompts: prompts.jsonl
eval_prompts: fixed.jsonl
output_dir: runs/round-1
num_generations: 2
judge: people
config: recipes/smollm2-135m.yaml
values: { objective: dpo }
`;

/** The routes. */
export function roundRoutes(context: DashboardContext): Route[] {
  const { runs, jobs } = context;
  const get = (path: string, answer: Route["answer"]): Route => ({
    ...{ method: "GET", path, roles: seesRuns, answer: refusing(answer) },
  });
  const post = (path: string, answer: Route["answer"]): Route => ({
    ...{ method: "POST", path, roles: ownerOnly, answer: refusing(answer) },
  });
  return [
    get("/api/rounds", (c) => {
      const rounds = roundsIn(context);
      const list: Rounds = { html: rounds.length === 0 ? "" : roundsTable(rounds).text, example };
      return c.json(list);
    }),
    get("/api/rounds/:round", (c) => c.json(shownRound(c, context))),
    get("/api/rounds/:round/next", (c) => c.json({ yaml: nextOf(roundOf(c, context), runs.roots) })),
    get("/api/rounds/:round/report", (c) => {
      const { compare } = roundPaths(roundOf(c, context).dir);
      const path = join(compare, "report.html");
      return storedReport(c, runs.roots, { path, missing: "There is no such report." });
    }),
    post("/api/rounds", async (c) => {
      const { yaml } = await bodyOf(c, z.strictObject({ yaml: z.string().max(100_000) }));
      const dir = outputPlace(parseRound(yaml, "round.yaml").output_dir, runs.roots, jobs.cwd);
      if (isRound(dir))
        throw new PageError(422, `output_dir: ${basename(dir)} holds a round already. Continue that.`);
      return c.json(await started(context, dir, yaml));
    }),
    post("/api/rounds/:round/continue", async (c) => {
      const { dir } = roundOf(c, context);
      const yaml = fileOf(dir, runs.roots);
      if (placeOf(resolve(jobs.cwd, parseRound(yaml, "round.yaml").output_dir)) !== dir)
        throw new PageError(
          409,
          "The round was started in another folder, from which its file names its paths: start the dashboard there to continue it.",
        );
      return c.json(await started(context, dir, yaml));
    }),
    post("/api/rounds/:round/stop", (c) => {
      const problem = stopHolder(roundPaths(roundOf(c, context).dir).lock);
      if (problem !== null) throw new PageError(409, `Nothing was stopped: ${problem}.`);
      return c.json({});
    }),
  ];
}

/** Puts the round of `dir` into the queue. */
async function started({ jobs }: DashboardContext, dir: string, yaml: string): Promise<object> {
  const job = jobs.draft({
    ...{ name: roundName(dir), isResume: false, device: "auto", outputDir: roundPaths(dir).run, yaml },
    argv: (path) => ["round", path],
  });
  return shownJob(await queued(jobs, job.id));
}

/** The rounds below the directories; one whose record was changed is left out. */
function roundsIn({ runs }: DashboardContext): FoundRound[] {
  const dirs = runs.roots.flatMap((root) => foldersWith("round.json", root, deepest));
  return dirs.flatMap((dir): FoundRound[] => {
    try {
      return [{ id: idOf(dir), dir, record: readRound(dir) }];
    } catch {
      return [];
    }
  });
}

function roundOf(c: Ctx, context: DashboardContext): FoundRound {
  const found = roundsIn(context).find(({ id }) => id === c.req.param("round"));
  if (found !== undefined) return found;
  throw new PageError(404, "There is no such round: its folder was moved, deleted or changed.");
}

function shownRound(c: Ctx, context: DashboardContext): ShownRound {
  const rounds = roundsIn(context);
  const round = roundOf(c, context);
  const { waiting, problem } = round.record;
  const { text, isAtWork } = stateOf(round);
  const around = { bench: context.bench.dir, runs: new Set(context.runs.dirs().keys()), rounds };
  const from = Math.max(0, Number(c.req.query("from") ?? 0) || 0);
  const show = c.req.query("show") ?? "comparison";
  const answers = show === "answers" ? answersHtml(round, from) : null;
  const other = show === "check" ? checkHtml(round) : comparisonHtml(round);
  const own = dirname(round.dir);
  return {
    ...{ name: roundName(round.dir), state: text, isAtWork },
    waiting: waiting?.text ?? "",
    // where the dashboard's user looks at it, not where it lies
    problem: isAtWork ? "" : (problem?.text.replaceAll(own, ".") ?? ""),
    ...{
      graph: graphOf(round, around).text,
      html: (answers?.html ?? other).text,
      total: answers?.total ?? 0,
    },
  };
}

/** The text of a round's file. */
function fileOf(dir: string, roots: readonly string[]): string {
  const text = textBelow(roots, roundPaths(dir).file);
  if (text === null) throw new PageError(404, "The round has no file any more.");
  return text;
}

/** The file of the round after this one, which begins with its model. */
function nextOf({ dir, record }: FoundRound, roots: readonly string[]): string {
  const document = parseDocument(fileOf(dir, roots));
  const given = record.settings.output_dir;
  const name = basename(given);
  const next = /\d+$/.test(name) ? name.replace(/\d+$/, (count) => String(Number(count) + 1)) : `${name}-2`;
  document.set("model", given);
  document.set("output_dir", relative(".", join(dirname(given), next)) || next);
  return document.toString();
}
