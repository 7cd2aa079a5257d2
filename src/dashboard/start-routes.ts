/** Starting a run: the form, its check, and what the data check and the planner say before the start. */
import { type ExecFileException, execFile } from "node:child_process";
import { basename } from "node:path";
import { z } from "zod";
import { baseValues, draftOf, formFields, recipeNames } from "./drafts.ts";
import { shownJob } from "./job-routes.ts";
import { bodyOf } from "./request-body.ts";
import { type Ctx, type DashboardContext, ownerOnly, type Route } from "./route.ts";

const values = z.record(z.string().max(100), z.string().max(20_000));

/** Most time that a check may take, ms: it may have to download a tokenizer. */
const checkMs = 600_000;
/** Most characters that a check may write. */
const checkCharacters = 2 ** 20;

/** The routes. */
export function startRoutes(context: DashboardContext): Route[] {
  const { runs, jobs } = context;
  const route = (method: Route["method"], path: string, answer: Route["answer"]): Route => ({
    ...{ method, path, roles: ownerOnly, answer },
  });
  return [
    route("GET", "/api/form", (c) => c.json({ groups: formFields(), recipes: recipeNames() })),
    route("GET", "/api/form/recipes/:recipe", (c) =>
      c.json({ values: baseValues({ recipe: c.req.param("recipe") ?? "" }) }),
    ),
    route("GET", "/api/form/runs/:run", (c) =>
      c.json({ values: baseValues({ dir: runs.dirOf(c.req.param("run") ?? "") }) }),
    ),
    route("POST", "/api/drafts", (c) => newDraft(c, context)),
    route("POST", "/api/drafts/:job/data-check", (c) => check(c, context, ["data", "check"])),
    route("POST", "/api/drafts/:job/plan", (c) => check(c, context, ["plan"])),
    route("POST", "/api/drafts/:job/start", async (c) =>
      c.json(shownJob(await jobs.queue(c.req.param("job") ?? ""))),
    ),
  ];
}

async function newDraft(c: Ctx, { runs, jobs }: DashboardContext): Promise<Response> {
  const given = await bodyOf(c, z.strictObject({ values }));
  const { resolved, yaml, outputDir } = draftOf(given.values, runs.roots, jobs.cwd);
  const { config, warnings } = resolved;
  const job = jobs.draft({
    ...{
      name: config.run_name ?? basename(outputDir),
      isResume: false,
      device: config.device,
      outputDir,
      yaml,
    },
    argv: (path) => ["train", path],
  });
  return c.json({ id: job.id, yaml, warnings, command: "preftune train config.yaml" });
}

/** What a command says of a draft's configuration. It runs apart, so that a long check holds up nobody, and ends with the request. */
async function check(c: Ctx, { jobs }: DashboardContext, words: readonly string[]): Promise<Response> {
  const config = jobs.configOf(c.req.param("job") ?? "");
  const [command = "", ...first] = jobs.program;
  const answer = await new Promise<{ isGood: boolean; text: string }>((done) => {
    const options = {
      ...{ cwd: jobs.cwd, signal: c.req.raw.signal, timeout: checkMs, maxBuffer: checkCharacters },
      env: { ...process.env, NO_COLOR: "1" },
    };
    execFile(command, [...first, ...words, config], options, (error, stdout, stderr) => {
      const said = error === null ? stdout : `${stdout}\n${stderr}\n${whyStopped(error)}`;
      done({ isGood: error === null, text: said.trim() });
    });
  });
  return c.json(answer);
}

/** Why a check did not come to its own end, which its output does not say; "" where it did. */
function whyStopped({ killed, code, signal, message }: ExecFileException): string {
  if (killed !== true && typeof code === "number") return "";
  const reason =
    code === "ERR_CHILD_PROCESS_STDIO_MAXBUFFER"
      ? "wrote too much"
      : killed === true
        ? `took more than ${checkMs / 60_000} minutes`
        : signal != null
          ? `was ended by ${signal}`
          : `could not be run (${code ?? message})`;
  return `The check ${reason}. Run the command in a terminal: preftune data check, or preftune plan, with this configuration.`;
}
