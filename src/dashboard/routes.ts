/** Every route of the dashboard: the list that the application serves and that its test asks in every way. */
import { arenaRoutes } from "./arena-routes.ts";
import { benchRoutes } from "./bench-routes.ts";
import { cleanRoutes } from "./clean-routes.ts";
import { streamRoutes, streamTimes } from "./event-stream.ts";
import { jobRoutes } from "./job-routes.ts";
import { judgeRoutes } from "./judge-routes.ts";
import { labelRoutes } from "./label-routes.ts";
import { markRoutes } from "./mark-routes.ts";
import { pageRoutes } from "./page-routes.ts";
import { roundRoutes } from "./round-routes.ts";
import type { DashboardContext, Route } from "./route.ts";
import { runRoutes } from "./run-routes.ts";
import { sessionRoutes } from "./session-routes.ts";
import { startRoutes } from "./start-routes.ts";

/** The routes; a group a line. */
export function routesOf(context: DashboardContext): Route[] {
  return [
    ...pageRoutes(context),
    ...sessionRoutes(context),
    ...runRoutes(context),
    ...markRoutes(context),
    ...labelRoutes(context),
    ...benchRoutes(context),
    ...cleanRoutes(context),
    ...judgeRoutes(context),
    ...roundRoutes(context),
    ...startRoutes(context),
    ...jobRoutes(context),
    ...arenaRoutes(context),
    ...streamRoutes(context, streamTimes),
  ];
}
