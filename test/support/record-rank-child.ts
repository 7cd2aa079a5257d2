/** Child program: trains as VALUES say, as one rank of a run, and prints its collectives in their order, as JSON: see `RankRecord`. */
import { loadConfig } from "../../src/config/load-config.ts";
import { type Collective, RankGroup } from "../../src/distributed/rank-group.ts";
import { train } from "../../src/recipes/train.ts";

/** The collectives of a rank. */
export interface RankRecord {
  /** "operation unit bytes" of each. */
  lines: string[];
  /** How many there were when each step was over; on rank 0, which alone has events. */
  steps: number[];
}

let record: readonly Collective[] = [];
const join = RankGroup.join;
RankGroup.join = async (...given) => {
  const group = await join.apply(RankGroup, given);
  record = group.record();
  return group;
};
const steps: number[] = [];
for await (const event of train(loadConfig({ values: JSON.parse(process.env["VALUES"] ?? "") }))) {
  if (event.type === "step") steps.push(record.length);
}
const lines = record.map(({ operation, of, bytes }) => `${operation} ${of} ${bytes}`);
process.stdout.write(`${JSON.stringify({ lines, steps } satisfies RankRecord)}\n`);
