/** `preftune train`. */
import type { Command } from "commander";
import { ConfigError, exitCodes } from "../base/errors.ts";
import { loadConfig, type ResolvedConfig } from "../config/load-config.ts";
import { formatConfig } from "../config/print-config.ts";
import type { RunConfig } from "../config/run-config.ts";
import { type Launch, readLaunch, startedBy } from "../distributed/launch.ts";
import { StoppedEarlyError } from "../distributed/stopped-early.ts";
import type { TrainOptions } from "../recipes/train.ts";
import { runPaths } from "../runs/run-directory.ts";
import type { TrainEvent, TrainSummary, TrainWork } from "../runs/train-events.ts";
import { Phases } from "../terminal/phases.ts";
import type { StopSignals } from "../torch/index.ts";
import { commandLine, sameCommand } from "./called-as.ts";
import { showDryRun } from "./dry-run-text.ts";
import { heartbeats } from "./heartbeat.ts";
import {
  positiveNumber,
  type StoppedOptions,
  stoppedStatusArguments,
  wholeNumber,
  withStoppedStatus,
} from "./options.ts";
import { fileBefore, pairsToTrain } from "./overrides.ts";
import { schemaLine } from "./schema-command.ts";
import { TrainDisplay } from "./train-display.ts";

interface CliOptions extends StoppedOptions {
  printConfig?: true;
  dryRun?: true;
  resume?: true;
  maxRestarts?: number;
  heartbeatTimeout?: number;
}

/** Adds the command to `preftune`. */
export function addTrainCommand(preftune: Command): void {
  const command = preftune
    .command("train")
    .description("train from a YAML configuration; any key can be overridden: --learning_rate 1e-4")
    .argument("<run.yaml>", "the configuration")
    .argument("[overrides...]", "--key value pairs")
    .option("--print-config", "print every value and where it came from, and exit")
    .option(
      "--dry-run",
      "check configuration and data, plan, take one step on the longest micro-batch, say what memory it took; writes nothing",
    )
    .option("--resume", "resume from the newest intact checkpoint (resume_from_checkpoint: latest)")
    .option(
      "--max-restarts <count>",
      "restart the training, at most this many times, when it is killed, crashes or hangs",
      wholeNumber(0),
    )
    .option(
      "--heartbeat-timeout <seconds>",
      "with --max-restarts: kill a trainer that has been silent for this long",
      positiveNumber,
    )
    .allowUnknownOption()
    .passThroughOptions(false);
  withStoppedStatus(command).action(async (first: string, argv: string[], options: CliOptions) => {
    const file = fileBefore(first);
    const launch = readLaunch();
    const overrides = pairsToTrain(argv, options.resume === true);
    refuseUseless(options, launch);
    const resolved = await settled(launch, () => loadConfig({ file, overrides }));
    if (options.printConfig === true) {
      if (isFirst(launch)) process.stdout.write(`${schemaLine(process.cwd())}\n${formatConfig(resolved)}`);
    } else if (options.dryRun === true) {
      await showDryRun(resolved, { launch, maxRestarts: options.maxRestarts });
    } else if (options.maxRestarts === undefined) await run(resolved, options, launch);
    else await supervise(resolved, [file, ...argv], options);
  });
}

/** Whether this process prints what happens: the only one, or rank 0. */
function isFirst(launch: Launch | null): boolean {
  return launch === null || launch.rank === 0;
}

/** @throws {ConfigError} for options that have no effect */
function refuseUseless(options: CliOptions, launch: Launch | null): void {
  if (options.heartbeatTimeout !== undefined && options.maxRestarts === undefined) {
    throw new ConfigError("--heartbeat-timeout has no effect without --max-restarts COUNT. Give both.");
  }
  if (options.printConfig === true && options.dryRun === true)
    throw new ConfigError("--dry-run has no effect with --print-config. Take one out.");
  if (launch !== null) refuseOwnRestarts(options, launch);
}

/** Restarts one rank of several: the others would wait for it, and its launcher restarts all. */
function refuseOwnRestarts({ maxRestarts }: CliOptions, launch: Launch): void {
  if (maxRestarts === undefined) return;
  const instead = {
    torchrun: `torchrun --max-restarts ${maxRestarts}`,
    srun: "sbatch --requeue",
    mpirun: "a loop around mpirun, with --resume",
    variables: "the launcher's own restarts (Kubeflow: restartPolicy)",
  }[launch.launcher];
  throw new ConfigError(
    `--max-restarts restarts one process, and this is one of ${launch.size} (${startedBy(launch)}): expected ${instead}. ` +
      "All ranks then start again together and resume from the newest good checkpoint.",
  );
}

/** What `load` gives. An error on one rank alone is passed to the others, which wait for it. */
async function settled<T>(launch: Launch | null, load: () => T): Promise<T> {
  try {
    return load();
  } catch (error) {
    if (launch !== null) {
      const { tellOthers } = await import("../distributed/meeting.ts");
      await tellOthers(launch, error);
    }
    throw error;
  }
}

/** Signs of life come with every micro-batch and row of a phase; writing a large model gives none. */
const usualTimeoutSeconds = 1800;

/** Trains in a child that is started again when it ends before its time. */
async function supervise(
  { config }: ResolvedConfig,
  argv: readonly string[],
  { maxRestarts = 0, heartbeatTimeout = usualTimeoutSeconds, resume, stoppedStatus = 0 }: CliOptions,
): Promise<void> {
  const { superviseTraining } = await import("./supervisor.ts");
  const { status } = await superviseTraining({
    program: process.argv[1] ?? "",
    // as a key, the last one: argv may name the checkpoint of the first start
    argv: (isResume) => [
      ...["train", ...argv],
      ...(isResume || resume === true ? ["--resume_from_checkpoint", "latest"] : []),
      ...stoppedStatusArguments({ stoppedStatus }),
    ],
    outputDir: config.output_dir,
    maxRestarts,
    stoppedStatus,
    heartbeatTimeoutMs: heartbeatTimeout * 1000,
    say: (line) => void process.stderr.write(`preftune: ${line}\n`),
  });
  process.exitCode = status;
}

async function run(
  resolved: ResolvedConfig,
  { stoppedStatus = 0 }: StoppedOptions,
  launch: Launch | null,
): Promise<void> {
  const { train } = await import("../recipes/train.ts");
  const { watchStopSignals } = await import("../torch/index.ts");
  const stop = watchStopSignals();
  // a rank that ends is sent SIGTERM by torchrun, and is to keep its status
  using _ = launch === null ? stop : null;
  const resume = resumeText(resolved.config, stoppedStatus, launch);
  const options = isFirst(launch) ? trainListeners(resolved.config, stop, { resume, launch }) : unseen;
  if (launch === null) {
    stop.leave(`stopped before a step was begun: nothing is lost. Again:\n  ${sameCommand()}`);
  } else stop.say(isFirst(launch) ? stoppingTogether : "");
  const events = train(resolved, { ...options, signal: stop.signal, endsProcess: true });
  try {
    for (;;) {
      const { done, value } = await events.next();
      if (done !== true) options.onEvent(value);
      else return endWith(value, stoppedStatus);
    }
  } catch (error) {
    if (!(error instanceof StoppedEarlyError)) throw error;
    if (isFirst(launch)) process.stderr.write(`preftune: ${error.message}\n`);
    process.exitCode = stoppedStatus;
  }
}

/** How the run is resumed: its own configuration has every value, also those that were given on the command line. */
function resumeText({ output_dir }: RunConfig, stoppedStatus: number, launch: Launch | null): string {
  const own = runPaths(output_dir).configYaml;
  const again = commandLine(["train", own, "--resume", ...stoppedStatusArguments({ stoppedStatus })]);
  return launch === null ? again : `${again}\n(with the same launcher, on any number of ranks)`;
}

/** Sets the exit status. */
function endWith({ reason, collapse }: TrainSummary, stoppedStatus: number): void {
  if (reason === "stopped") process.exitCode = stoppedStatus;
  if (reason === "collapsed" && collapse?.restored === null) process.exitCode = exitCodes.TrainingError;
}

/** What Ctrl-C answers on several ranks: after which step they stop, they find out together. */
const stoppingTogether = "stopping all ranks after the same step; again to leave at once";

/** What is called with what happens. */
type Listeners = Pick<TrainOptions, "onPhase" | "onWork"> & { onEvent: (event: TrainEvent) => void };

/** On a rank other than 0: rank 0 prints what happens to all. */
const unseen: Listeners = { onEvent: () => {} };

/** Prints what happens. @param resume - the command that resumes the run once it is stopped */
export function trainListeners(
  config: RunConfig,
  stop: StopSignals,
  { resume, launch }: { resume: string; launch: Launch | null },
): Listeners {
  const phases = new Phases();
  const display = new TrainDisplay(config, { phases, resume });
  let totalSteps = 0;
  const beat = heartbeats();
  return {
    onPhase: (...phase) => {
      beat(null);
      phases.listen(...phase);
    },
    onWork: (work) => {
      beat(work.step);
      if (launch === null) sayBefore(work, stop, totalSteps);
      else if (work.done === 0) stop.say(stoppingTogether);
      display.work(work);
    },
    onEvent: (event) => {
      if (event.type === "start") ({ totalSteps } = event);
      display.event(event);
    },
  };
}

/** Sets what Ctrl-C answers while the run is at `work`. */
function sayBefore({ at, step, done }: TrainWork, stop: StopSignals, totalSteps: number): void {
  if (done > 0) return;
  const again = "again to leave at once";
  if (at === "evaluation") stop.say(`stopping after the evaluation at step ${step}; ${again}`);
  else if (at === "export") stop.say(`the steps are done and the export is being written; ${again}`);
  // completions that are not scored yet are left: a resumed run samples them again
  else if (at === "sampling" || at === "scoring")
    stop.say(`stopping, after step ${step} at the latest; ${again}`);
  else if (step === totalSteps) stop.say(`step ${step} is the last: the run ends with its export; ${again}`);
  else stop.say(`stopping after step ${step}; ${again}`);
}
