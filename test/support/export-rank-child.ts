/** Child program, `export-rank-child.ts PLAN`: exports models as one rank of several, and prints the result of each as JSON. */
import { join } from "node:path";
import { readLaunch } from "../../src/distributed/launch.ts";
import { RankGroup } from "../../src/distributed/rank-group.ts";
import { type ExportCase, exportCase } from "./export-cases.ts";
import { armFault } from "./faults.ts";

/** What is exported where, and whether the disk of rank 0 is full from the second file on. */
export interface ExportPlan {
  cases: ExportCase[];
  to: string;
  isFull?: boolean;
}

const { cases, to, isFull = false } = JSON.parse(process.argv[2] ?? "{}") as ExportPlan;
const launch = readLaunch();
if (launch === null) throw new Error("expected the variables of a launcher");
using group = await RankGroup.join(launch, { rank_start_timeout: 60, rank_timeout: 60 });
for (const one of cases) {
  const places = { adapter: join(to, one.name, "adapter"), model: join(to, one.name, "model") };
  using _ =
    isFull && group.rank === 0
      ? armFault({ code: "ENOSPC", at: 2, names: ["writeSync"], on: /safetensors/, stays: true })
      : null;
  try {
    const results = await exportCase(one, places, group);
    process.stdout.write(`${JSON.stringify({ results })}\n`);
  } catch (error) {
    const { name, message } = error as Error;
    process.stdout.write(`${JSON.stringify({ error: { name, message } })}\n`);
  }
}
