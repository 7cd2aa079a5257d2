/** How the base of an adapter was held while it was trained: the adapter does not say so, the run that it lies in does. */
import { realpathSync } from "node:fs";
import { PreftuneError } from "../base/errors.ts";
import { isFolder } from "../base/open-file.ts";
import { shellWord } from "../base/shell-word.ts";
import { warn } from "../base/warn.ts";
import { isAdapter } from "../formats/adapter.ts";
import { adapterPlace } from "../formats/adapter-scale.ts";
import { ownSkipModules } from "../formats/held-quantisation.ts";
import { readModelConfig } from "../formats/hf-config.ts";
import { askedQuantisation, type Quantisation, quantisationOptions } from "../formats/quantisation.ts";
import { runAround, runPaths } from "./run-directory.ts";
import { readRunJson } from "./run-json.ts";

/** What an adapter is put on, and by whom. */
export interface AdaptedBase {
  model: string;
  adapter?: string | null;
  /** How the model's linears are asked to be held; default: as they are stored. */
  quantise?: Quantisation | null;
}

/**
 * Warns where an adapter that a run trained on weights in few bits is put on other numbers.
 *
 * @param canHold - whether the command has the options to hold them so
 */
export function tellOtherForm(base: AdaptedBase, canHold: boolean = true): void {
  const { model, adapter, quantise = null } = base;
  if (!adapter) return;
  const { place } = adapterPlace(adapter);
  if (!isFolder(place) || !isFolder(model)) return;
  try {
    const run = isAdapter(place) ? runAround(realpathSync(place)) : undefined;
    // what is stored in few bits is taken so, whatever is asked for
    const base = readModelConfig(model);
    if (run === undefined || base.quantisation !== null) return;
    const asked = askedQuantisation(readRunJson(runPaths(run).runJson).config);
    if (asked === null) return;
    const trained = { ...asked, skipModules: ownSkipModules(base, asked.skipModules) };
    if (isHeldSo(trained, quantise)) return;
    const options = quantisationOptions(trained);
    const remedy = canHold
      ? `Give ${options}.`
      : `Merge it, and name the result: preftune merge --model ${shellWord(model)} --adapter ${shellWord(adapter)} ${options} --output NEW`;
    warn(
      `${place}: it was trained on weights held by ${options}, and is put on ${quantise === null ? "the floats" : `those of ${quantisationOptions(quantise)}`}: ` +
        `other numbers than it was trained and checked on. ${remedy}`,
    );
  } catch (error) {
    // what cannot be read is said by whoever loads it
    if (!(error instanceof PreftuneError)) throw error;
  }
}

/** In 8 bits a head is as generation has it. */
function isHeldSo(trained: Quantisation, given: Quantisation | null): boolean {
  if (given === null) return false;
  const plain: Quantisation = given.bits === 8 ? { bits: 8, skipModules: given.skipModules } : given;
  return quantisationOptions(plain) === quantisationOptions(trained);
}
