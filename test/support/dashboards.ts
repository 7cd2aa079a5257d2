/** Runs for the dashboard to show, and the dashboard as an application without a network. */
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sha256File } from "../../src/base/files.ts";
import { loadConfig } from "../../src/config/load-config.ts";
import { Bench } from "../../src/dashboard/bench.ts";
import {
  type Dashboard,
  type DashboardOptions,
  startDashboard as listen,
} from "../../src/dashboard/dashboard.ts";
import { createDashboardApp } from "../../src/dashboard/dashboard-app.ts";
import { Jobs } from "../../src/dashboard/jobs.ts";
import type { DashboardContext, Route } from "../../src/dashboard/route.ts";
import { routesOf } from "../../src/dashboard/routes.ts";
import { MarksFile } from "../../src/dashboard/run-marks.ts";
import { RunStore } from "../../src/dashboard/run-store.ts";
import { ServedContestants } from "../../src/dashboard/served-contestants.ts";
import { type Role, Sessions } from "../../src/dashboard/sessions.ts";
import { appendEvaluation } from "../../src/runs/evaluation-records.ts";
import { type MetricRow, MetricsWriter } from "../../src/runs/metrics.ts";
import { writePairTokens } from "../../src/runs/pair-tokens.ts";
import { createRun } from "../../src/runs/run-directory.ts";
import { Callers } from "../../src/serve/callers.ts";
import { type Running, start } from "./command.ts";

/** Rows of a short run, with an evaluation at its start. */
export const fewRows: readonly MetricRow[] = [
  { global_step: 0, epoch: 0, eval_loss: 2, "eval_logps/chosen_delta_init": 0, "eval_logps/accuracies": 0.5 },
  { global_step: 5, epoch: 0.5, loss: 1.5, num_tokens: 100, step_time: 0.2 },
  { global_step: 10, epoch: 1, loss: Number.NaN, num_tokens: 200, step_time: 0.2 },
];

/** A prompt and answers of script and markup. */
export const hostile: Readonly<
  Record<"prompt" | "chosen" | "rejected", readonly { role: string; content: string }[]>
> = {
  prompt: [{ role: "user", content: '<img src="http://evil.example/p.png" onerror="alert(1)">' }],
  chosen: [{ role: "assistant", content: "<script>alert(2)</script> good" }],
  rejected: [{ role: "assistant", content: "![x](http://evil.example/x.png) \u202ebad" }],
};

/** The key of the row in the evaluations that {@link writeRun} writes. */
export const hostileKey = "0123456789abcdef";

/** Writes a run that stopped, below `root`, with two evaluations of one pair. @returns its directory */
export function writeRun(root: string, name: string, rows: readonly MetricRow[] = fewRows): string {
  const dir = join(root, name);
  const data = join(root, "eval.jsonl");
  mkdirSync(root, { recursive: true });
  writeFileSync(data, `{"prompt":"a","chosen":"b","rejected":"c"}\n${JSON.stringify(hostile)}\n`);
  const values = { model_name_or_path: "m<b>", train_data: "a.jsonl", eval_data: data, output_dir: dir };
  const run = createRun(loadConfig({ values }));
  run.saveSealed(run.paths.fingerprints, {
    ...{ data: { "eval_data[0]/eval.jsonl": sha256File(data) }, template: null, tokenizer: "t", model: "m" },
    ...{ code_version: "0.1.0", torch_version: "2.13.0", device: "cpu", dtype: "float32", threads: 2 },
  });
  run.log("start", { step: 0, total_steps: 10, trainable: 1 });
  const metrics = new MetricsWriter(run.paths.metrics);
  for (const row of rows) metrics.write(row);
  metrics.close();
  [0, 10].forEach((step) => {
    appendEvaluation(run.paths.evaluations, {
      ...{ global_step: step, rejected_logps: { width: 0.5, counts: [3, 1] } },
      ...{
        pair_changes: [[step / 100, -step / 10]],
        pair_rows: [[`${data}:2`, hostileKey]],
        pair_margins: [0.5],
      },
      samples: [
        { prompt: hostile.prompt[0]?.content ?? "", answers: [{ text: `<b>${step}</b>`, ended: true }] },
      ],
    });
  });
  writePairTokens(run.paths.pairTokens, {
    ...{ start: 0, step: 10 },
    pairs: {
      [hostileKey]: {
        chosen: { texts: ["<script>", "alert(2)", " good"], before: [-1, -2, -0.5], now: [-3, -2, -0.25] },
        rejected: { texts: ["![x](http://evil.example/x.png)", " bad"], before: [-1, -1], now: [-1.5, -6] },
      },
    },
  });
  run.log("stopped", { step: 10, exported: [] });
  run.release();
  return dir;
}

/** A question to the application. */
export interface Question {
  method?: string;
  as?: Role;
  headers?: Readonly<Record<string, string>>;
  body?: unknown;
  signal?: AbortSignal;
}

/** A dashboard without a network. */
export interface DashboardApp {
  root: string;
  context: DashboardContext;
  routes: readonly Route[];
  faults: unknown[];
  ask: (path: string, question?: Question) => Promise<Response>;
  /** The header of somebody who logs in. */
  login: (role: Role) => { cookie: string };
}

/**
 * Calls `body` with a dashboard of the runs that it writes below `root`.
 *
 * @param script - what its program does; left out: it says what it was asked, and fails
 */
export async function withDashboardApp(
  body: (app: DashboardApp) => Promise<void>,
  script = "console.log(process.argv.slice(1).join()); process.exit(3)",
): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), "preftune-dashboard-"));
  try {
    const sessions = new Sessions();
    const faults: unknown[] = [];
    const onFault = (error: unknown): void => void faults.push(error);
    const page = {
      "/": "<p>page</p>",
      "/page.js": "",
      "/screen-AB12.js": "",
      "/page.css": "",
    };
    const runs = new RunStore([root], {
      file: null,
      marks: new MarksFile(root, realpathSync(root)),
      onFault,
    });
    const program = [process.execPath, "-e", script];
    const jobs = new Jobs({
      ...{ dir: join(root, ".dashboard", "jobs"), program, cwd: root },
      ...{ busy: async () => new Map(), onFault },
    });
    using bench = new DisposableStack();
    await using closing = new AsyncDisposableStack();
    const context = {
      ...{ page, sessions, runs, jobs, stateDir: root, readOnly: null, onFault },
      served: closing.adopt(new ServedContestants(), (opened) => opened.close()),
      bench: bench.adopt(Bench.in(root), (opened) => opened.close()),
    };
    const app = createDashboardApp({
      ...{ context, allowedHosts: ["proxy.example"], callers: new Callers() },
      onFault,
    });
    const login = (role: Role) => ({
      cookie: `preftune-0=${sessions.exchange(sessions.link({ role, name: role }))}`,
    });
    const ask = async (path: string, { method = "GET", as, headers, body: sent, signal }: Question = {}) => {
      const cookie = as === undefined ? {} : login(as);
      const json = sent === undefined ? {} : { "content-type": "application/json" };
      return await app.request(path, {
        ...{ method, headers: { host: "127.0.0.1:8720", ...cookie, ...json, ...headers } },
        ...(sent === undefined ? {} : { body: JSON.stringify(sent) }),
        ...(signal === undefined ? {} : { signal }),
      });
    };
    await body({ root, context, routes: routesOf(context), faults, ask, login });
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

/** Starts `preftune dashboard` on `dir`, with variables; `link` is the address that logs in. */
export async function startDashboard(
  dir: string,
  variables: Record<string, string> = {},
): Promise<{ running: Running; link: string }> {
  const running = start(["dashboard", dir, "--port", "0"], variables);
  const link = await new Promise<string>((resolve, reject) => {
    let text = "";
    running.child.stdout?.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      const found = /http:\S+/.exec(text)?.[0];
      if (found !== undefined) resolve(found);
    });
    void running.ended.then(({ stderr }) => reject(new Error(stderr)));
  });
  return { running, link };
}

/** The dashboard of `dir`, listening in this process; `faults` are those that it met. */
export async function serveDashboard(
  dir: string,
  at: Partial<Pick<DashboardOptions, "host" | "port" | "allowedHosts">> = {},
): Promise<{ dashboard: Dashboard; faults: unknown[] }> {
  const faults: unknown[] = [];
  const dashboard = await listen({
    ...{ dirs: [dir], host: "127.0.0.1", port: 0, allowedHosts: [], ...at },
    program: [process.execPath, "-e", ""],
    onFault: (error: unknown) => faults.push(error),
  });
  return { dashboard, faults };
}
