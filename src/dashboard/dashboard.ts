/** `preftune dashboard`: a server on this machine that shows the runs below some directories while they run. */
import { existsSync, realpathSync } from "node:fs";
import { join, resolve } from "node:path";
import { ConfigError } from "../base/errors.ts";
import { makeDirectory } from "../base/files.ts";
import { isFolder } from "../base/open-file.ts";
import { lockHolder, RunLock, RunLockedError } from "../runs/run-lock.ts";
import { Callers } from "../serve/callers.ts";
import { isLoopback } from "../serve/guard.ts";
import { listen, REQUEST_TIMEOUTS } from "../serve/server.ts";
import { Bench } from "./bench.ts";
import { createDashboardApp } from "./dashboard-app.ts";
import { Jobs } from "./jobs.ts";
import { pageFiles } from "./page-files.ts";
import { MarksFile } from "./run-marks.ts";
import { RunStore } from "./run-store.ts";
import { ServedContestants } from "./served-contestants.ts";
import { Sessions } from "./sessions.ts";
import { SummaryFile } from "./summary-file.ts";

/** What to show, and where. */
export interface DashboardOptions {
  /** Directories below which runs are looked for. */
  dirs: readonly string[];
  /** The workbench; left out: `workbench` in the first directory. */
  workbench?: string;
  host: string;
  /** 0: any that is free. */
  port: number;
  /** Names besides those of this machine by which the dashboard may be asked for. */
  allowedHosts: readonly string[];
  /** The program that trains, `preftune`, and its first arguments. */
  program: readonly string[];
  /** Called with internal errors. */
  onFault: (error: unknown) => void;
}

/** A dashboard that runs. */
export interface Dashboard {
  /** An address that logs its owner in, once. */
  link(): string;
  /** Why nothing can be changed from it; null: it can. */
  readOnly: string | null;
  close(): Promise<void>;
}

/** Ms between two looks at the queue. */
const queueMs = 1000;

/** Folder in the first directory with what the dashboard itself keeps. */
const stateFolder = ".dashboard";

/**
 * Starts a dashboard.
 *
 * @throws {ConfigError} when a directory is missing, or the address cannot be had
 */
export async function startDashboard(options: DashboardOptions): Promise<Dashboard> {
  const { dirs, host, port, allowedHosts, program, onFault } = options;
  if (!isLoopback(host) && allowedHosts.length === 0) {
    throw new ConfigError(
      `--host ${host}: other machines could reach the dashboard there. Say by which names they ask for it: --allowed-hosts NAME, or keep to --host 127.0.0.1.`,
    );
  }
  for (const dir of dirs) requireFolder(dir);
  const stateDir = join(resolve(dirs[0] ?? "."), stateFolder);
  makeDirectory(stateDir);
  const page = await pageFiles();
  const held = lockOf(join(stateDir, "lock"));
  const isReadOnly = held.lock === null;
  const closing = new DisposableStack();
  closing.defer(() => held.lock?.release());
  try {
    const file = isReadOnly
      ? null
      : closing.adopt(new SummaryFile(join(stateDir, "index.sqlite")), (one) => one.close());
    const sessions = new Sessions();
    const marks = new MarksFile(stateDir, realpathSync(dirs[0] ?? "."));
    const runs = new RunStore(dirs, { file, marks, onFault });
    const jobs = new Jobs({
      ...{ dir: join(stateDir, "jobs"), program, cwd: process.cwd() },
      ...{ busy: () => runs.devices(), onFault, isReadOnly },
    });
    const callers = new Callers();
    const bench = closing.adopt(benchOf(options), (one) => one.close());
    const served = new ServedContestants();
    const context = {
      ...{ page, sessions, runs, jobs, bench, served, onFault, stateDir },
      readOnly: held.problem,
    };
    const app = createDashboardApp({ context, allowedHosts, callers, onFault });
    const queue = isReadOnly ? null : setInterval(() => jobs.startNext().catch(onFault), queueMs);
    closing.defer(() => clearInterval(queue ?? undefined));
    const server = await listen((request, source) => app.fetch(request, source), {
      ...{ host, port, callers, timeouts: REQUEST_TIMEOUTS },
    });
    const address = new URL(server.url);
    // 0.0.0.0 is no name to ask by
    if (!isLoopback(host)) address.hostname = allowedHosts[0] ?? host;
    return {
      link: () => `${address.origin}/#token=${sessions.link({ role: "owner", name: "owner" })}`,
      readOnly: held.problem,
      close: async () => {
        await Promise.all([served.close(), server.close(200)]);
        closing.dispose();
      },
    };
  } catch (error) {
    closing.dispose();
    throw error;
  }
}

function benchOf({ workbench, dirs }: DashboardOptions): Bench {
  return workbench === undefined ? Bench.in(dirs[0] ?? ".") : new Bench(workbench);
}

function requireFolder(dir: string): void {
  if (isFolder(dir)) return;
  const what = existsSync(dir) ? "a file" : "nothing";
  throw new ConfigError(
    `${dir}: expected a directory with runs, there is ${what}. Give the folder that your runs' output_dir lie in.`,
  );
}

/** One dashboard at a time changes things in a directory: a second one reads. */
function lockOf(path: string): { lock: RunLock | null; problem: string | null } {
  try {
    return { lock: new RunLock(path), problem: null };
  } catch (error) {
    if (!(error instanceof RunLockedError)) throw error;
    const who = lockHolder(path)?.name ?? "another process";
    return {
      lock: null,
      problem: `Another dashboard (${who}) looks after this directory, so this one only reads. Use that one, or stop it.`,
    };
  }
}
