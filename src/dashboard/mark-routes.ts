/** What an owner says of runs: tags, put away, the baseline. And the reports of studies and sweeps that runs are of. */
import { z } from "zod";
import { refusing } from "./refusing.ts";
import { storedReport } from "./report-page.ts";
import { bodyOf } from "./request-body.ts";
import { type DashboardContext, ownerOnly, type Route, seesRuns } from "./route.ts";
import { tagLimits } from "./run-marks.ts";

const tag = z
  .string()
  .trim()
  .min(1)
  .max(tagLimits.length)
  .regex(/^[^\s,\p{Cc}]+$/u, "expected one word without commas");

const marks = z.strictObject({
  tags: z.array(tag).max(tagLimits.count).optional(),
  isArchived: z.boolean().optional(),
  isBaseline: z.boolean().optional(),
});

/** The routes. */
export function markRoutes({ runs }: DashboardContext): Route[] {
  return [
    {
      ...{ method: "POST", path: "/api/runs/:run/marks", roles: ownerOnly },
      answer: refusing(async (c) => {
        const { tags, isArchived, isBaseline } = await bodyOf(c, marks);
        const change = {
          ...(tags === undefined ? {} : { tags: [...new Set(tags)] }),
          ...(isArchived === undefined ? {} : { isArchived }),
          ...(isBaseline === undefined ? {} : { isBaseline }),
        };
        return c.json(runs.mark(c.req.param("run") ?? "", change));
      }),
    },
    {
      ...{ method: "GET", path: "/api/studies/:study/report", roles: seesRuns },
      answer: (c) =>
        storedReport(c, runs.roots, {
          path: runs.studyReport(c.req.param("study") ?? ""),
          missing: "There is no such study, or it has no report yet: it is written when the study ends.",
        }),
    },
  ];
}
