/** Child program: trains as VALUES say, as one rank of a run, and prints its collectives in their order, as JSON. */
import { loadConfig } from "../../src/config/load-config.ts";
import { type Collective, RankGroup } from "../../src/distributed/rank-group.ts";
import { train } from "../../src/recipes/train.ts";

let record: readonly Collective[] = [];
const join = RankGroup.join;
RankGroup.join = async (...given) => {
  const group = await join.apply(RankGroup, given);
  record = group.record();
  return group;
};
for await (const _ of train(loadConfig({ values: JSON.parse(process.env["VALUES"] ?? "") })));
process.stdout.write(
  `${JSON.stringify(record.map(({ operation, of, bytes }) => `${operation} ${of} ${bytes}`))}\n`,
);
