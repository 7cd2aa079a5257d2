/** Which changes of the configuration a resumed run accepts. */
import { isDeepStrictEqual } from "node:util";
import { microBatchSetting } from "../methods/index.ts";
import { inactiveKeys } from "./inactive.ts";
import { CONFIG_KEYS, fieldOf, flatConfig } from "./keys.ts";
import type { ConfigKey, RunConfig } from "./run-config.ts";
import { rowsPerStep } from "./step-rows.ts";

/** A value that differs between the run as it was started and as it is resumed. */
export interface ConfigChange {
  key: ConfigKey;
  saved: unknown;
  now: unknown;
}

/** Keys that say how this very command runs. */
const OF_THE_COMMAND: readonly ConfigKey[] = ["resume_from_checkpoint", "output_dir"];

/**
 * The changed keys: refused are those that would make the resumed run another run than the one that was started. Keys of
 * logging, evaluation, saving, memory and export may change. A step may be cut into other micro-batches as long as it
 * holds as many rows and its loss does not depend on the cut. The length may change while the learning rate does not depend
 * on it. Keys without effect in both are passed over. The judge may have moved, and stays the same model.
 */
export function changedValues(
  saved: RunConfig,
  now: RunConfig,
): { refused: ConfigChange[]; accepted: ConfigChange[] } {
  const free = new Set<ConfigKey>(CONFIG_KEYS.filter((key) => fieldOf(key).freeOnResume === true));
  const mayCut = microBatchSetting(now.method) === null;
  if (!mayCut) free.delete("max_tokens_per_micro_batch");
  if (now.tokens_per_step !== null || rowsPerStep(saved) === rowsPerStep(now)) {
    free.add("train_batch_size").add("gradient_accumulation_steps");
    if (mayCut) free.add("per_device_train_batch_size");
  }
  if (mayChangeLength(now)) free.add("num_train_epochs").add("max_steps");
  if (judgingModel(saved) !== judgingModel(now)) free.delete("judge");
  const [before, after] = [flatConfig(saved), flatConfig(now)];
  const changes = CONFIG_KEYS.map((key) => ({
    key,
    saved: before[key] ?? null,
    now: after[key] ?? null,
  })).filter((change) => !isDeepStrictEqual(change.saved, change.now));
  const [uselessThen, useless] = [inactiveKeys(saved), inactiveKeys(now)];
  const isUseless = (key: ConfigKey): boolean => uselessThen.has(key) && useless.has(key);
  return {
    refused: changes.filter(({ key }) => !free.has(key) && !isUseless(key)),
    accepted: changes.filter(({ key }) => free.has(key) && !OF_THE_COMMAND.includes(key)),
  };
}

/** Whether a resumed run may be longer or shorter: the learning rate of a step is the same in a run of any length. */
export function mayChangeLength({
  lr_scheduler_type: type,
  warmup_ratio,
}: Pick<RunConfig, "lr_scheduler_type" | "warmup_ratio">): boolean {
  return type === "constant" || (type === "constant_with_warmup" && warmup_ratio === 0);
}

/** The model in `URL#MODEL`; null without a judge. */
function judgingModel({ judge }: RunConfig): string | null {
  return judge === null ? null : judge.slice(judge.indexOf("#") + 1);
}
