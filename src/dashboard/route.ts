/**
 * What a route of the dashboard is. To add a group of routes: a file that exports a function from the context to a list of
 * {@link Route}, and its name in `routes.ts`. Each route says there who may ask; the guard of `dashboard-app.ts` does the rest,
 * and the test of all routes (dashboard-app.test.ts) takes them from that list.
 */
import type { Context } from "hono";
import type { RequestSource } from "../serve/server.ts";
import type { Bench } from "./bench.ts";
import type { Jobs } from "./jobs.ts";
import type { PageFiles } from "./page-files.ts";
import type { RunStore } from "./run-store.ts";
import type { ServedContestants } from "./served-contestants.ts";
import type { Role, Session, Sessions } from "./sessions.ts";

/** What routes work with. */
export interface DashboardContext {
  page: PageFiles;
  sessions: Sessions;
  runs: RunStore;
  bench: Bench;
  jobs: Jobs;
  served: ServedContestants;
  /** Called with errors that are not sent to the page. */
  onFault: (error: unknown) => void;
  /** Folder for what the dashboard itself keeps, in the first of the given directories. */
  stateDir: string;
  /** Why nothing can be changed from this dashboard; null: it can. */
  readOnly: string | null;
}

/** What a request carries on its way to a route. */
export interface Env {
  Bindings: Partial<RequestSource>;
  Variables: { session: Session | null };
}

/** A request. */
export type Ctx = Context<Env>;

/** One route. */
export interface Route {
  method: "GET" | "POST" | "DELETE";
  /** hono's pattern, below `/api/` for all but the page itself. Things are named by ids: no path of a file is part of it. */
  path: string;
  /** Who may ask. */
  roles: readonly Role[] | "anyone";
  /** It changes nothing on disk though it is no GET. */
  changesNothing?: true;
  /** Longest body, bytes; left out: {@link defaultBodyBytes}. */
  maxBodyBytes?: number;
  answer: (c: Ctx) => Response | Promise<Response>;
}

/** Longest body of a route that does not say. */
export const defaultBodyBytes: number = 2 ** 20;

/** Roles that see runs. */
export const seesRuns: readonly Role[] = ["owner", "viewer"];
/** Roles that change things. */
export const ownerOnly: readonly Role[] = ["owner"];
