/**
 * The run configuration as a type: the keys of a run's YAML file, named as in TRL and PEFT.
 * Keys keep the file's snake_case, so that a name means the same in YAML, on the command line and in code.
 * Each is declared once, with what it accepts, its default and where the default comes from, in the `*-keys.ts` beside this
 * file; those of the methods in `src/methods`. The types follow from there.
 */
import type { ValuesOf } from "../base/value-schema.ts";
import type { MethodKey, MethodSettings } from "../methods/index.ts";
import type { DATA_KEYS } from "./data-keys.ts";
import type { LORA_KEYS, MODEL_KEYS, QUANTISATION_KEYS } from "./model-keys.ts";
import type { ONLINE_KEYS } from "./online-keys.ts";
import type { RANK_KEYS } from "./rank-keys.ts";
import type { OPTIMISATION_KEYS, RECORD_KEYS } from "./training-keys.ts";
import type { WATCH_KEYS } from "./watch-keys.ts";

/** The values that every run has, whatever its method. */
export interface CommonConfig
  extends ValuesOf<typeof MODEL_KEYS>,
    ValuesOf<typeof DATA_KEYS>,
    ValuesOf<typeof LORA_KEYS>,
    ValuesOf<typeof QUANTISATION_KEYS>,
    ValuesOf<typeof OPTIMISATION_KEYS>,
    ValuesOf<typeof RANK_KEYS>,
    ValuesOf<typeof ONLINE_KEYS>,
    ValuesOf<typeof RECORD_KEYS>,
    ValuesOf<typeof WATCH_KEYS> {}

/** Every value of a run. A hyperparameter of another method than the run's is not there. */
export interface RunConfig extends CommonConfig {
  /** What is optimised: its name (`objective`), its preset and its hyperparameters. In YAML their keys stand among the others. */
  method: MethodSettings;
}

/** A key of a run's YAML file. */
export type ConfigKey = keyof CommonConfig | MethodKey;
