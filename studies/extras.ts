/** What studies measure of a run beside its held-out pairs, by the names that `Condition.extra` takes. Loaded by the run's process. */
import { type Extras, stringifyNumbers, writeFileAtomic } from "preftune/sweep";
import { measureScales, type ResolvedConfig } from "preftune/train";
import { writeCoupling } from "./coupling.ts";
import { writeGeometry } from "./geometry.ts";
import { writeMixtures } from "./mixtures.ts";
import { scaleTried } from "./points.ts";

/** See `Extras` of preftune/sweep. */
export const extras: Extras = {
  coupling: writeCoupling,
  scales: writeScales,
  mixtures: writeMixtures,
  geometry: writeGeometry,
};

/** The finished run's model at `scaleTried`. */
async function writeScales({ config }: ResolvedConfig, path: string): Promise<void> {
  const { output_dir: run, device, threads } = config;
  const record = await measureScales({ run, scales: [scaleTried], prompts: 0, device, threads });
  writeFileAtomic(path, `${stringifyNumbers(record)}\n`);
}
