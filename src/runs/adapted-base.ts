/** Whether what was trained is put on what it was trained on: names and shapes alone are those of any model of the family. */
import { existsSync, realpathSync } from "node:fs";
import { ConfigError, PreftuneError } from "../base/errors.ts";
import { isFolder } from "../base/open-file.ts";
import { shellWord } from "../base/shell-word.ts";
import { warn } from "../base/warn.ts";
import { isAdapter, readAdapter } from "../formats/adapter.ts";
import { adapterPlace } from "../formats/adapter-scale.ts";
import { modelFingerprint } from "../formats/model-fingerprint.ts";
import { readFingerprints, runAround, runPaths } from "./run-directory.ts";
import { readRunJson } from "./run-json.ts";
import { type AdaptedBase, tellOtherForm } from "./trained-form.ts";

/**
 * Warns where the model is another than the one that the adapter, or the tuned model of which a part is taken, was trained from, or is held
 * in another form: the run that it lies in knows its start's fingerprint, another adapter the directory of its base. Results of one start
 * may be mixed so, and are warned of. For every command that puts one on the other, before it does.
 *
 * @param canHold - whether the command has the options to hold the model as it was
 * @throws {ConfigError} for a part of an adapter whose run knows that its start is another one: 0 would not be that start
 */
export function checkAdaptedBase(base: AdaptedBase, canHold: boolean = true): void {
  checkStart(base);
  tellOtherForm(base, canHold);
}

function checkStart({ model, adapter }: AdaptedBase): void {
  if (!adapter) return;
  const { place, scale } = adapterPlace(adapter);
  const start = otherStart(model, place);
  if (start === null) return;
  if (scale !== 1 && start.isRecorded && isAdapter(place)) {
    throw new ConfigError(
      `${adapter}: expected the model that it was trained from, ${start.name} as it was then, got ${model}, which is another: at scale 0 it would not be the start. ` +
        `Give that one. Where this is meant, copy the adapter out of its run (cp -r ${shellWord(place)} DIR) and give DIR@scale=${scale}.`,
    );
  }
  warn(
    `${place}: it was trained from ${start.name}, and ${model} is another model: what comes of the two is neither's. Give ${start.name}, unless this is meant, as a mixture of two results is.`,
  );
}

interface Start {
  name: string;
  fingerprint: string;
  /** Whether the fingerprint was taken when training began, and not of what lies there now. */
  isRecorded: boolean;
}

/** The model that what lies at `place` was trained from, where it is known to be another than `model`. */
function otherStart(model: string, place: string): Start | null {
  if (!isFolder(place) || !isFolder(model)) return null;
  try {
    const start = startOf(realpathSync(place));
    return start === null || start.fingerprint === modelFingerprint(model) ? null : start;
  } catch (error) {
    // what cannot be read is said by whoever loads it
    if (!(error instanceof PreftuneError)) throw error;
    return null;
  }
}

/** The model that something was trained from, as far as it is known here; null: it is not. */
function startOf(place: string): Start | null {
  const run = runAround(place);
  if (run !== undefined) {
    const { fingerprints, runJson } = runPaths(run);
    if (!existsSync(fingerprints)) return null;
    const { model_name_or_path: name } = readRunJson(runJson).config;
    return { name, fingerprint: readFingerprints(fingerprints).model, isRecorded: true };
  }
  const name = isAdapter(place) ? readAdapter(place).config.baseModel : null;
  if (name === null || !isFolder(name)) return null;
  return { name, fingerprint: modelFingerprint(name), isRecorded: false };
}
