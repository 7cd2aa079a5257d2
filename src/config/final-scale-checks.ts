/** What a run that chooses its scale chooses among, and when it cannot (a table). */
import { methodOf } from "../methods/index.ts";
import type { Check } from "../methods/method.ts";
import { error } from "./check.ts";
import { isOnPolicy } from "./online-keys.ts";
import type { RunConfig } from "./run-config.ts";

/** The scales of `final_scale: auto`: tenths of the training. */
export const FINAL_SCALES: readonly number[] = Array.from({ length: 11 }, (_, tenths) => tenths / 10);

/** @param when - of a run that chooses its scale */
function refused(
  when: (config: RunConfig) => boolean,
  text: (config: RunConfig) => string,
): Check<RunConfig> {
  return error("final_scale", (config) => config.final_scale === "auto" && when(config), text);
}

/** Checks of `final_scale`. */
export const FINAL_SCALE_CHECKS: readonly Check<RunConfig>[] = [
  refused(
    (config) => methodOf(config.method.objective).over !== "pairs" || isOnPolicy(config),
    (config) =>
      `auto compares scales on held-out pairs, and ${isOnPolicy(config) ? "an on-policy run has prompts" : `${config.method.objective} is not over pairs`}. Leave it at 1.`,
  ),
  refused(
    ({ eval_data, eval_fraction }) => eval_data === null && eval_fraction === 0,
    () =>
      "auto compares scales on held-out pairs, and there are none. Give eval_data or eval_fraction, or leave it at 1.",
  ),
  refused(
    ({ adapter_name_or_path }) => adapter_name_or_path !== null,
    ({ adapter_name_or_path }) =>
      `auto takes a part of the training, and the run begins with the adapter ${adapter_name_or_path}, while scale 0 would be the model without any. Merge that adapter first (preftune merge) and train on the result, or leave final_scale at 1.`,
  ),
];
