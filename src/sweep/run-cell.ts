/** One run of a grid: trains, then measures the held-out pairs before and after. Needs libtorch. */

import { join } from "node:path";
import { TrainingError } from "../base/errors.ts";
import { writeFileAtomic } from "../base/files.ts";
import { type ConfigInput, loadConfig, type ResolvedConfig } from "../config/load-config.ts";
import { train } from "../recipes/train.ts";
import { extraName, heldOutName } from "./cell.ts";
import { writeHeldOut } from "./held-out.ts";
import { contentKey, markText, type RunPlace } from "./reuse.ts";
import { RunStoppedError } from "./stopped.ts";

/** What to run. Plain data: it goes to another process. */
export interface RunTask extends RunPlace {
  config: ConfigInput;
  /** What else is measured, and the module that measures it: see {@link Extras}. Null for nothing. */
  extra: { name: string; module: string } | null;
}

/** `extras` of a module that measures what a grid knows nothing of, by name: writes a JSON file about a finished run. */
export type Extras = Readonly<Record<string, (resolved: ResolvedConfig, path: string) => Promise<void>>>;

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
  await writeHeldOut(config, "after", join(task.dir, heldOutName));
  if (task.extra !== null) await measureExtra(task.extra, resolved, task.dir);
  const content = contentKey(config, task.extra?.name ?? null);
  writeFileAtomic(task.mark, markText({ digest: task.digest, content }));
}

async function measureExtra(
  { name, module }: NonNullable<RunTask["extra"]>,
  resolved: ResolvedConfig,
  dir: string,
): Promise<void> {
  const { extras } = (await import(module)) as { extras: Extras };
  const measure = extras[name];
  if (measure === undefined)
    throw new TrainingError(`${module}: expected a measurement "${name}", found none`);
  await measure(resolved, join(dir, extraName(name)));
}
