/** Resuming a run: from which checkpoint, what of its directory is damaged and put back, what is refused. */
import { existsSync } from "node:fs";
import { ConfigError, TrainingError } from "../base/errors.ts";
import type { ResolvedConfig } from "../config/load-config.ts";
import { type ConfigChange, changedValues } from "../config/resume-changes.ts";
import type { RunConfig } from "../config/run-config.ts";
import { settleRows } from "../config/settle-rows.ts";
import { checkpointToResume, hasCheckpoints, recoverCheckpoints } from "./checkpoints.ts";
import {
  beginAgain,
  isRun,
  type OpenRun,
  oneProcess,
  prepared,
  runPaths,
  type StartedBy,
} from "./run-directory.ts";
import { readRunJson } from "./run-json.ts";
import { damagedRecords, recordsOf, restoreRecords } from "./run-records.ts";

/**
 * The run in `config.output_dir`, to be resumed from {@link OpenRun.checkpoint}. One that was interrupted before
 * its first checkpoint begins again. Files that are damaged or missing are put back from the checkpoint, and reported in
 * {@link OpenRun.notes}.
 *
 * Nothing else is written: call {@link OpenRun.saveConfig} once data and model are known to be the run's own.
 *
 * @param by - who continues it: its steps keep their rows
 * @throws {ConfigError} when there is no run, or none of its checkpoints is intact
 * @throws {FormatError} when run.json is of another version, or damaged and there is no copy of it
 * @throws {TrainingError} when the configuration has changed in a way that would make it another run, naming the keys,
 *   or when another process is writing it
 */
export function resumeRun(resolved: ResolvedConfig, by: StartedBy = oneProcess): OpenRun {
  const { output_dir: dir, resume_from_checkpoint: wanted } = resolved.config;
  const { checkpoints } = runPaths(dir);
  if (!isRun(dir) && !hasCheckpoints(checkpoints)) {
    const run = beginAgain(resolved, by);
    if (run !== null) return run;
    throw new ConfigError(`output_dir ${dir} holds no run to resume. Start it without --resume.`);
  }
  return prepared(resolved, by.job, (run) => {
    recoverCheckpoints(checkpoints);
    const { checkpoint, rejected } = checkpointToResume(checkpoints, wanted ?? "latest");
    run.checkpoint = checkpoint;
    run.notes.push(...rejected.map(({ path, reason }) => `passed over ${path}: ${reason}`));
    putBack(run, by.ranks);
  });
}

/** Puts damaged records back, settles the rows of a step as the saved configuration has them, and compares the two. */
function putBack(run: OpenRun, ranks: number): void {
  const { paths, checkpoint } = run;
  const records = checkpoint === null ? {} : recordsOf(checkpoint);
  if (records === null) {
    // of an earlier version: there is no copy of run.json, so a damaged one is refused
    if (!existsSync(paths.runJson)) throw new ConfigError(lostRun(paths.dir, checkpoint?.path ?? ""));
    readRunJson(paths.runJson);
  }
  const at = { records: records ?? {}, step: checkpoint?.step ?? -1 };
  run.notes.push(...restoreRecords(paths.dir, damagedRecords(paths.dir, at.records), at));
  const saved = existsSync(paths.runJson) ? readRunJson(paths.runJson).config : null;
  run.resolved = settleRows(run.resolved, ranks, saved);
  if (saved !== null) run.notes.push(...compared(paths.dir, saved, run.resolved.config));
}

function lostRun(dir: string, checkpoint: string): string {
  return (
    `output_dir ${dir} has checkpoints and no run.json, and they are of a version that carries no copy of it. ` +
    `Put run.json back, or start a new run in another output_dir from the weights in ${checkpoint}.`
  );
}

/**
 * The changed values that the run continues with, in words.
 *
 * @throws {TrainingError} naming those that would make it another run
 */
function compared(dir: string, saved: RunConfig, config: RunConfig): string[] {
  const { refused, accepted } = changedValues(saved, config);
  if (refused.length === 0) return accepted.map((change) => `changed since the run began: ${said(change)}`);
  throw new TrainingError(
    `The run in ${dir} was started with other values:\n${refused.map((change) => `  ${said(change)}`).join("\n")}\n` +
      "Put them back, or start a new run in another output_dir.",
  );
}

function said({ key, saved, now }: ConfigChange): string {
  return `${key}: ${JSON.stringify(saved)}, now ${JSON.stringify(now)}`;
}
