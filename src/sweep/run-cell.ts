/** One run of a grid: trains, then measures the held-out pairs before and after. Needs libtorch. */

import { join } from "node:path";
import { TrainingError } from "../base/errors.ts";
import { writeFileAtomic } from "../base/files.ts";
import { train } from "../recipes/train.ts";
import { type ConfigInput, loadConfig } from "../runs/config-load.ts";
import { MEASURED_FILES } from "./cell.ts";
import { writeCoupling } from "../../studies/coupling.ts";
import { writeHeldOut } from "./held-out.ts";
import { contentKey, markText, type RunPlace } from "./reuse.ts";
import { RunStoppedError } from "./stopped.ts";

/** What to run. Plain data: it goes to another process. */
export interface RunTask extends RunPlace {
  config: ConfigInput;
  measuresCoupling: boolean;
}

/** What a process that ran a task says at its end. */
export interface RunMessage {
  /** Null, or why it failed. */
  failure: string | null;
  /** It failed as another process writes the run. */
  isLocked: boolean;
  /** It stopped as it was asked to. */
  isStopped: boolean;
}

/**
 * Runs `task`.
 *
 * @param signal - ends the training after the step at hand; what comes after it, measuring, is done to its end
 * @throws {RunStoppedError} if it was stopped: there is a checkpoint to go on from
 * @throws {PreftuneError} with what is wrong; the run directory stays
 */
export async function runCell(task: RunTask, signal?: AbortSignal): Promise<void> {
  const resolved = loadConfig(task.config);
  const { config } = resolved;
  for await (const event of train(resolved, signal === undefined ? {} : { signal })) {
    if (event.type === "end" && event.summary.reason === "stopped") {
      throw new RunStoppedError(`stopped after step ${event.summary.step}`);
    }
    if (event.type === "end" && event.summary.exported.length === 0) {
      const { reason, collapse } = event.summary;
      const what = collapse === null ? reason : `${reason}: ${collapse.breaches.join("; ")}`;
      throw new TrainingError(`the run ended without a model to measure (${what})`);
    }
  }
  await writeHeldOut(config, "before", task.before);
  await writeHeldOut(config, "after", join(task.dir, MEASURED_FILES.heldOut));
  if (task.measuresCoupling) await writeCoupling(resolved, join(task.dir, MEASURED_FILES.coupling));
  const content = contentKey(config, task.measuresCoupling);
  writeFileAtomic(task.mark, markText({ digest: task.digest, content }));
}
