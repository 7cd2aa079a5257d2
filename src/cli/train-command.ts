/** `preftune train`. */
import type { Command } from "commander";
import { ConfigError } from "../base/errors.ts";
import type { PhaseListener } from "../base/phase-listener.ts";
import { loadConfig, type ResolvedConfig } from "../config/load-config.ts";
import { formatConfig } from "../config/print-config.ts";
import { runPaths } from "../runs/run-directory.ts";
import type { TrainWork } from "../runs/train-events.ts";
import { Phases } from "../terminal/phases.ts";
import type { StopSignals } from "../torch/index.ts";
import { commandLine, sameCommand } from "./called-as.ts";
import { heartbeats } from "./heartbeat.ts";
import {
  positiveNumber,
  type StoppedOptions,
  stoppedStatusArguments,
  wholeNumber,
  withStoppedStatus,
} from "./options.ts";
import { pairsOf } from "./overrides.ts";
import { TrainDisplay } from "./train-display.ts";

interface CliOptions extends StoppedOptions {
  printConfig?: true;
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
  withStoppedStatus(command).action(async (file: string, argv: string[], options: CliOptions) => {
    const overrides = pairsOf(argv);
    if (options.resume === true) overrides.push(["resume_from_checkpoint", "latest"]);
    if (options.heartbeatTimeout !== undefined && options.maxRestarts === undefined) {
      throw new ConfigError("--heartbeat-timeout has no effect without --max-restarts COUNT. Give both.");
    }
    const resolved = loadConfig({ file, overrides });
    if (options.printConfig === true) process.stdout.write(formatConfig(resolved));
    else if (options.maxRestarts === undefined) await run(resolved, options);
    else await supervise(resolved, [file, ...argv], options);
  });
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
    argv: (isResume) => [
      ...["train", ...argv, ...(isResume || resume === true ? ["--resume"] : [])],
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

async function run(resolved: ResolvedConfig, { stoppedStatus = 0 }: StoppedOptions): Promise<void> {
  const { config } = resolved;
  const phases = new Phases();
  // its own configuration has every value, also those that were given on the command line
  const own = runPaths(config.output_dir).configYaml;
  const resume = commandLine(["train", own, "--resume", ...stoppedStatusArguments({ stoppedStatus })]);
  const display = new TrainDisplay(config, { phases, resume });
  const { train } = await import("../recipes/train.ts");
  const { watchStopSignals } = await import("../torch/index.ts");
  using stop = watchStopSignals();
  stop.leave(`stopped before a step was begun: nothing is lost. Again:\n  ${sameCommand()}`);
  let totalSteps = 0;
  const beat = heartbeats();
  const onPhase: PhaseListener = (...phase) => {
    beat(null);
    phases.listen(...phase);
  };
  const onWork = (work: TrainWork): void => {
    beat(work.step);
    sayBefore(work, stop, totalSteps);
    display.work(work);
  };
  for await (const event of train(resolved, { signal: stop.signal, onPhase, onWork })) {
    if (event.type === "start") ({ totalSteps } = event);
    display.event(event);
    if (event.type === "end" && event.summary.reason === "stopped") process.exitCode = stoppedStatus;
  }
}

/** Sets what Ctrl-C answers while the run is at `work`. */
function sayBefore({ at, step, done }: TrainWork, stop: StopSignals, totalSteps: number): void {
  if (done > 0) return;
  const again = "again to leave at once";
  if (at === "evaluation") stop.say(`stopping after the evaluation at step ${step}; ${again}`);
  else if (at === "export") stop.say(`the steps are done and the export is being written; ${again}`);
  else if (step === totalSteps) stop.say(`step ${step} is the last: the run ends with its export; ${again}`);
  else stop.say(`stopping after step ${step}; ${again}`);
}
