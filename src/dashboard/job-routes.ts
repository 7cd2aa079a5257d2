/** The queue, and what can be done to a run: stop, resume. */
import { basename } from "node:path";
import { PreftuneError } from "../base/errors.ts";
import { runPaths } from "../runs/run-directory.ts";
import { readRunJson } from "../runs/run-json.ts";
import { stopHolder } from "../runs/run-lock.ts";
import { resumableConfig } from "./drafts.ts";
import { type Job, type Jobs, runOf } from "./jobs.ts";
import { PageError } from "./page-error.ts";
import { type Ctx, type DashboardContext, ownerOnly, type Route } from "./route.ts";

/** The routes. */
export function jobRoutes(context: DashboardContext): Route[] {
  const { jobs } = context;
  const route = (method: Route["method"], path: string, answer: Route["answer"]): Route => ({
    ...{ method, path, roles: ownerOnly, answer },
  });
  const idOf = (c: Ctx): string => c.req.param("job") ?? "";
  return [
    route("GET", "/api/jobs", (c) => c.json({ jobs: jobs.list().map(shownJob) })),
    route("GET", "/api/jobs/:job", (c) => c.json({ ...shownJob(jobs.get(idOf(c))), ...jobs.texts(idOf(c)) })),
    route("DELETE", "/api/jobs/:job", (c) => {
      jobs.remove(idOf(c));
      return c.json({});
    }),
    route("POST", "/api/runs/:run/stop", (c) => stop(c, context)),
    route("POST", "/api/runs/:run/resume", (c) => resume(c, context)),
  ];
}

/** A job as a page gets it: no paths, no processes. */
export function shownJob(job: Job): object {
  const { id, name, state, isResume, device, queuedAt, status } = job;
  return { id, name, state, isResume, device, queuedAt, status, run: runOf(job) };
}

/** Asks the run's process to stop after its step. */
function stop(c: Ctx, { runs }: DashboardContext): Response {
  const problem = stopHolder(runPaths(runs.dirOf(c.req.param("run") ?? "")).lock);
  if (problem !== null) throw new PageError(409, `Nothing was stopped: ${problem}.`);
  return c.json({});
}

/** Puts the run into the queue, to continue from its newest checkpoint. */
async function resume(c: Ctx, { runs, jobs }: DashboardContext): Promise<Response> {
  const id = c.req.param("run") ?? "";
  const dir = runs.dirOf(id);
  const { state, changedAt } = runs.summary(id);
  if (state === "running") throw new PageError(409, "It runs.");
  // a job that was asked for before the run stopped is the one that is ending, for whose end the new one waits
  const isBegun = jobs
    .list()
    .some((job) => job.state === "started" && runOf(job) === id && job.queuedAt > changedAt);
  if (isBegun)
    throw new PageError(409, "It is being resumed already: its process has begun and loads the model.");
  try {
    const config = resumableConfig(dir, jobs.cwd);
    const { config: values } = readRunJson(runPaths(dir).runJson);
    const job = jobs.draft({
      ...{
        name: values.run_name ?? basename(dir),
        isResume: true,
        device: values.device,
        outputDir: dir,
        yaml: "",
      },
      argv: () => ["train", config, "--resume"],
    });
    return c.json(shownJob(await queued(jobs, job.id)));
  } catch (error) {
    if (error instanceof PreftuneError) throw new PageError(409, error.message);
    throw error;
  }
}

/** Puts a draft into the queue; one that it does not take is of no use. */
export async function queued(jobs: Jobs, id: string): Promise<Job> {
  try {
    return await jobs.queue(id);
  } catch (error) {
    jobs.remove(id);
    throw error;
  }
}
