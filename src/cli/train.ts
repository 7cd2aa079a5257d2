/** `preftune train`. */
import type { Command } from "commander";
import { TrainingError } from "../base/errors.ts";
import type { PreflightReport } from "../data/preflight.ts";
import { formatPreflight } from "../data/preflight-text.ts";
import type { TrainEvent, TrainSummary } from "../recipes/train-events.ts";
import { loadConfig, type ResolvedConfig } from "../runs/config-load.ts";
import { formatConfig } from "../runs/config-print.ts";
import type { RunConfig } from "../runs/config-types.ts";
import { stringifyNumbers } from "../runs/json-numbers.ts";
import { formatNumber } from "../runs/number-text.ts";
import { TrainingProgress } from "../runs/progress.ts";
import { pairsOf } from "./overrides.ts";
import { Phases } from "./phases.ts";

/** Adds the command to `preftune`. */
export function addTrainCommand(preftune: Command): void {
  preftune
    .command("train")
    .description("train as a YAML file says; any of its keys can be set after it: --learning_rate 1e-4")
    .argument("<run.yaml>", "the configuration")
    .argument("[overrides...]", "--key value pairs")
    .option("--print-config", "print every value and where it came from, and end")
    .option("--resume", "go on from the newest good checkpoint (resume_from_checkpoint: latest)")
    .allowUnknownOption()
    .passThroughOptions(false)
    .action(async (file: string, words: string[], options: { printConfig?: true; resume?: true }) => {
      const overrides = pairsOf(words);
      if (options.resume === true) overrides.push(["resume_from_checkpoint", "latest"]);
      const resolved = loadConfig({ file, overrides });
      if (options.printConfig === true) process.stdout.write(formatConfig(resolved));
      else await run(resolved);
    });
}

async function run(resolved: ResolvedConfig): Promise<void> {
  const { train } = await import("../recipes/train.ts");
  const stop = new AbortController();
  const onSignal = (): void => {
    if (stop.signal.aborted) process.exit(130);
    process.stderr.write("\nstopping after this step, with a checkpoint; again to leave at once\n");
    stop.abort();
  };
  process.on("SIGINT", onSignal).on("SIGTERM", onSignal);
  const phases = new Phases();
  const show = new Display();
  try {
    for await (const event of train(resolved, { signal: stop.signal, onPhase: phases.listen })) {
      phases.done();
      show.event(event);
    }
  } finally {
    process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
  }
}

/** Events as lines: a status line on a terminal, JSON lines elsewhere. */
class Display {
  #total = 0;
  #progress: TrainingProgress = new TrainingProgress(0);

  event(event: TrainEvent): void {
    if (event.type === "log") this.#progress.log(event.row);
    else if (event.type === "evaluation") this.#evaluation(event.row);
    else if (event.type === "step") this.#step(event.step, event.loss);
    else if (event.type === "end") this.#end(event.summary);
    else if (event.type === "preflight") this.#preflight(event.report);
    else {
      if (event.type === "start") {
        this.#total = event.totalSteps;
        this.#progress = new TrainingProgress(event.totalSteps);
      }
      this.#progress.note(noteOf(event));
    }
  }

  #step(step: number, loss: number): void {
    // the last step's line is drawn, and ended, by its row of metrics
    if (step < this.#total) this.#progress.step(step, { loss });
  }

  #preflight(report: PreflightReport): void {
    if (process.stderr.isTTY === true) process.stderr.write(`${formatPreflight(report)}\n`);
  }

  #evaluation(row: Extract<TrainEvent, { type: "evaluation" }>["row"]): void {
    if (process.stdout.isTTY !== true) {
      this.#progress.log(row);
      return;
    }
    const show = (key: string, name: string) => {
      const value = row[key];
      return typeof value === "number" ? [`${name} ${formatNumber(value)}`] : [];
    };
    const parts = [
      ...show("eval_loss", "loss"),
      ...show("eval_rewards/accuracies", "accuracy"),
      ...show("eval_rewards/margins", "margin"),
      ...show("eval_logps/chosen_delta_init", "chosen since start"),
      ...show("eval_displacement/frac_chosen_down", "share of chosen down"),
      ...show("eval_samples/ended_properly", "answers ended"),
      ...show("eval_samples/repetition", "repetition"),
    ];
    this.#progress.note(`step ${row.global_step}, held out: ${parts.join(", ")}`);
  }

  #end(summary: TrainSummary): void {
    const { reason, outputDir, report, exported, skippedSteps } = summary;
    if (reason === "collapsed" && exported.length === 0) process.exitCode = new TrainingError("").exitCode;
    const how = howItEnded(summary);
    const skipped = skippedSteps > 0 ? `, ${skippedSteps} of them skipped` : "";
    if (process.stdout.isTTY !== true) {
      process.stdout.write(`${stringifyNumbers({ end: summary })}\n`);
      return;
    }
    process.stdout.write(`${how}${skipped}\n`);
    for (const path of exported) process.stdout.write(`  ${path}\n`);
    process.stdout.write(`  ${report}\n  ${outputDir}\n`);
  }
}

function howItEnded({ reason, step, collapse }: TrainSummary): string {
  switch (reason) {
    case "done":
      return `done after ${step} steps`;
    case "early stop":
      return `stopped early, evaluations got no better, after ${step} steps`;
    case "stopped":
      return `stopped after step ${step}; go on with --resume`;
    case "collapsed": {
      const what = collapse?.restored ?? null;
      const kept =
        what === null
          ? "nothing was exported. The report shows what it answers; a lower learning rate or margin may keep it"
          : `the checkpoint of step ${what} was exported`;
      return `stopped after step ${step}: the model has collapsed; ${kept}`;
    }
    default:
      return reason satisfies never;
  }
}

type Noted = Extract<
  TrainEvent,
  { type: "note" | "start" | "skipped" | "collapse" | "checkpoint" | "export" }
>;

const actionNote: Record<RunConfig["watch_action"], string> = {
  warn: " (watch_action is warn: training goes on)",
  stop: " and stops the run",
  restore: ", stops the run and goes back to the best checkpoint before it",
};

function noteOf(event: Noted): string {
  switch (event.type) {
    case "note":
      return event.text;
    case "start":
      return `${event.totalSteps - event.step} steps to go; ${formatNumber(event.trainable)} weights are trained`;
    case "skipped":
      return `step ${event.step} skipped: loss or gradient not finite with ${event.rows.join(", ")}`;
    case "collapse":
      return `step ${event.step}: the watch sees a collapse${actionNote[event.action]}: ${event.breaches.join("; ")}`;
    case "checkpoint":
      return `checkpoint ${event.path}`;
    case "export": {
      const { path, tokens, maxDifference } = event.result;
      return `exported ${path}: re-scored ${tokens} tokens, largest difference ${maxDifference.toExponential(1)} nats`;
    }
    default:
      return event satisfies never;
  }
}
