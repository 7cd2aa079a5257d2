/** Whether what was trained is put on the model that it was trained from: names and shapes alone are those of any model of the family. */
import { existsSync, realpathSync } from "node:fs";
import { dirname } from "node:path";
import { PreftuneError } from "../base/errors.ts";
import { isFolder } from "../base/open-file.ts";
import { warn } from "../base/warn.ts";
import type { RankGroup } from "../distributed/rank-group.ts";
import { isAdapter, readAdapter } from "../formats/adapter.ts";
import { adapterPlace } from "../formats/adapter-scale.ts";
import { isRun, readFingerprints, runPaths } from "../runs/run-directory.ts";
import { readRunJson } from "../runs/run-json.ts";
import { modelFingerprint } from "../train/model-fingerprint.ts";

/**
 * Warns where `model` is another than the one that the adapter, or the tuned model of which a part is taken, was trained from: the run that
 * it lies in knows its start's fingerprint, another adapter the directory of its base. Results of one start may be mixed so, and are warned of.
 *
 * @param group - the ranks of the work, the first of which warns
 */
export function tellOtherStart(
  model: string,
  adapter: string | null | undefined,
  group: Pick<RankGroup, "rank"> | null = null,
): void {
  if (!adapter || (group !== null && group.rank > 0)) return;
  const { place } = adapterPlace(adapter);
  if (!isFolder(place) || !isFolder(model)) return;
  try {
    const start = startOf(realpathSync(place));
    if (start === null || start.fingerprint === modelFingerprint(model)) return;
    warn(
      `${place}: it was trained from ${start.name}, and ${model} is another model: what comes of the two is neither's. Give ${start.name}, unless this is meant, as a mixture of two results is.`,
    );
  } catch (error) {
    // what cannot be read is said by whoever loads it
    if (!(error instanceof PreftuneError)) throw error;
  }
}

/** The model that something was trained from, as far as it is known here; null: it is not. */
function startOf(place: string): { name: string; fingerprint: string } | null {
  // RUN/adapter, RUN/whole/adapter, RUN/checkpoints/checkpoint-8
  const run = [dirname(place), dirname(dirname(place))].find(isRun);
  if (run !== undefined) {
    const { fingerprints, runJson } = runPaths(run);
    if (!existsSync(fingerprints)) return null;
    const { model_name_or_path: name } = readRunJson(runJson).config;
    return { name, fingerprint: readFingerprints(fingerprints).model };
  }
  const name = isAdapter(place) ? readAdapter(place).config.baseModel : null;
  return name === null || !isFolder(name) ? null : { name, fingerprint: modelFingerprint(name) };
}
