/** The list of runs, and what a run's page shows. */
import { METRICS } from "../config/metric-names.ts";
import { runPaths } from "../runs/run-directory.ts";
import { readRunJson } from "../runs/run-json.ts";
import { placeText } from "./event-stream.ts";
import { type Ctx, type DashboardContext, type Route, seesRuns } from "./route.ts";
import { chartGroups } from "./run-charts.ts";
import { wireCurves } from "./wire.ts";

/** The routes. */
export function runRoutes({ runs }: DashboardContext): Route[] {
  const get = (path: string, answer: Route["answer"]): Route => ({
    ...{ method: "GET", path, roles: seesRuns, answer },
  });
  return [
    get("/api/runs", async (c) => c.json({ runs: await runs.list() })),
    get("/api/metrics", (c) => c.json(metricTexts())),
    get("/api/runs/:run", (c) => c.json(runs.summary(idOf(c)))),
    get("/api/runs/:run/curves", async (c) => {
      const run = runs.live(idOf(c));
      await run.refresh();
      const { config } = readRunJson(runPaths(runs.dirOf(idOf(c))).runJson);
      return c.json({
        summary: runs.summary(idOf(c)),
        place: placeText(run.place),
        groups: chartGroups(config),
        curves: wireCurves(run.rows),
        events: run.events,
      });
    }),
  ];
}

function idOf(c: Ctx): string {
  return c.req.param("run") ?? "";
}

/** Unit, meaning and good direction of every metric. */
function metricTexts(): object {
  return Object.fromEntries(
    METRICS.map(({ key, unit, definition, better }) => [key, { unit, definition, better }]),
  );
}
