/** Trainings on several ranks of this host, in tests. */
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Ended, type Running, startProcess } from "./command.ts";
import { allEnded, freePort, placesOf, startRankPrograms } from "./rank-processes.ts";
import type { Values } from "./runs.ts";

/**
 * How trainings on `size` ranks end.
 *
 * @param limitOf - how long files of a rank may be, in KiB; null or left out: as long as they get
 */
export async function endsOfTraining(
  size: number,
  values: Values,
  limitOf: (rank: number) => number | null = () => null,
): Promise<Ended[]> {
  const settings = { VALUES: JSON.stringify(values) };
  const places = placesOf(size, await freePort()).map((place) => ({ ...place, ...settings }));
  const ranks = places.flatMap((place, rank) => {
    const limit = limitOf(rank);
    return limit === null ? startRankPrograms("train-rank-child.ts", [place]) : [startLimited(limit, place)];
  });
  return await allEnded(ranks);
}

/** Starts a rank whose writes fail beyond so many KiB of a file, with an error and no signal. */
function startLimited(limit: number, env: Record<string, string>): Running {
  const child = join(import.meta.dirname, "train-rank-child.ts");
  const script = `trap '' XFSZ; ulimit -f ${limit}; exec "$0" "$@"`;
  return startProcess("bash", ["-c", script, process.execPath, "--conditions=preftune-source", child], {
    env,
  });
}

/** Trains on `size` ranks to the end. @throws if a rank does not end with status 0, with what all printed */
export async function trainOnRanks(size: number, values: Values): Promise<Ended[]> {
  const ends = await endsOfTraining(size, values);
  if (ends.every(({ status }) => status === 0)) return ends;
  const said = ends.map((end, rank) => `rank ${rank}: ${JSON.stringify(end)}`);
  throw new Error(said.join("\n"));
}

/** Takes away the checkpoints that a run wrote after `step`, as if it had been killed there. */
export function cutTo(run: string, step: number): void {
  for (const name of readdirSync(join(run, "checkpoints"))) {
    if (Number(name.split("-")[1]) > step) rmSync(join(run, "checkpoints", name), { recursive: true });
  }
}
