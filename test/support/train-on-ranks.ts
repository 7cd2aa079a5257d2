/** Trainings on several ranks of this host, in tests. */
import { join } from "node:path";
import {
  freePort,
  nodeCommand,
  type ProcessEnd,
  placesOf,
  type Started,
  startProcess,
} from "./rank-processes.ts";
import type { Values } from "./runs.ts";

const child = join(import.meta.dirname, "train-rank-child.ts");

/** Starts a training as `values` say on `size` ranks. */
async function startTraining(size: number, values: Values): Promise<Started[]> {
  const cache = { NODE_COMPILE_CACHE: join(import.meta.dirname, "../../.preftune/compile-cache") };
  return placesOf(size, await freePort()).map((place) =>
    startProcess([...nodeCommand(child), JSON.stringify(values)], { ...cache, ...place }),
  );
}

/** Trains on `size` ranks to the end. @throws if a rank does not end with status 0, with what all printed */
export async function trainOnRanks(size: number, values: Values): Promise<ProcessEnd[]> {
  const ranks = await startTraining(size, values);
  const ends = await Promise.all(ranks.map(({ ended }) => ended));
  if (ends.every(({ status }) => status === 0)) return ends;
  const said = ends.map(
    ({ status, signal, err }, rank) => `rank ${rank} ended with ${status ?? signal}: ${err}`,
  );
  throw new Error(said.join("\n"));
}
