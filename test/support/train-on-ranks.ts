/** Trainings on several ranks of this host, in tests. */
import type { Ended } from "./command.ts";
import { allEnded, freePort, placesOf, startRankPrograms } from "./rank-processes.ts";
import type { Values } from "./runs.ts";

/** Trains on `size` ranks to the end. @throws if a rank does not end with status 0, with what all printed */
export async function trainOnRanks(size: number, values: Values): Promise<Ended[]> {
  const settings = { VALUES: JSON.stringify(values) };
  const places = placesOf(size, await freePort()).map((place) => ({ ...place, ...settings }));
  const ends = await allEnded(startRankPrograms("train-rank-child.ts", places));
  if (ends.every(({ status }) => status === 0)) return ends;
  const said = ends.map((end, rank) => `rank ${rank}: ${JSON.stringify(end)}`);
  throw new Error(said.join("\n"));
}
