/** A training run as it is shown: a status line on a terminal, JSON lines elsewhere. */
import { existsSync } from "node:fs";
import { stringifyNumbers } from "../base/json-numbers.ts";
import { formatNumber } from "../base/number-text.ts";
import { printable } from "../base/terminal-text.ts";
import type { RunConfig } from "../config/run-config.ts";
import type { PreflightReport } from "../data/preflight.ts";
import { formatPreflight, preflightNotes } from "../data/preflight-text.ts";
import type { RecordedToken } from "../runs/evaluation-records.ts";
import type {
  RolloutRow,
  TrainEvaluation,
  TrainEvent,
  TrainStart,
  TrainStep,
  TrainSummary,
  TrainWork,
} from "../runs/train-events.ts";
import type { Phases } from "../terminal/phases.ts";
import { TrainingProgress } from "../terminal/training-progress.ts";
import { bannerObject, configBanner, lossNote, startBanner } from "./banner.ts";
import { rescoredText } from "./rescored-text.ts";
import { beforeStep, completionTexts } from "./rollout-text.ts";

const onTerminal = (): boolean => process.stdout.isTTY === true;

/** Prints the events of a run. */
export class TrainDisplay {
  readonly #config: RunConfig;
  readonly #phases: Phases;
  /** The command that resumes the run once it is stopped. */
  readonly #resume: string;
  #total = 0;
  /** The last that was sampled. */
  #rollout: readonly RolloutRow[] = [];
  #progress: TrainingProgress = new TrainingProgress(0);

  constructor(config: RunConfig, { phases, resume }: { phases: Phases; resume: string }) {
    this.#config = config;
    this.#phases = phases;
    this.#resume = resume;
    if (onTerminal()) process.stdout.write(`${configBanner(config)}\n`);
  }

  /** Between the parts of a step or an evaluation. */
  work(work: TrainWork): void {
    if (work.at === "step") this.#progress.within(work);
    else if (work.at === "evaluation" && (onTerminal() || work.step === 0)) {
      this.#phases.listen(`evaluation at step ${work.step}`, work.done, work.total);
    } else if (work.at === "export") this.#phases.listen("export", work.done, work.total);
    else if (work.at === "sampling" || work.at === "scoring") this.#progress.before(beforeStep(work));
  }

  event(event: TrainEvent): void {
    if (event.type === "rollout") this.#rollout = event.rows;
    if (event.type === "inputs" || event.type === "rollout") return;
    // these have lines of their event
    if (onTerminal() && ["evaluation", "export", "end"].includes(event.type)) this.#phases.drop();
    else this.#phases.done();
    if (event.type === "log") this.#log(event.row);
    else if (event.type === "evaluation") this.#evaluation(event);
    else if (event.type === "step") this.#step(event);
    else if (event.type === "end") this.#end(event.summary);
    else if (event.type === "preflight") this.#preflight(event.report);
    else if (event.type === "start") this.#start(event);
    else this.#progress.note(noteOf(event));
  }

  #log(row: Extract<TrainEvent, { type: "log" }>["row"]): void {
    this.#progress.log(row);
    if (!this.#config.log_completions) return;
    for (const text of completionTexts(this.#rollout)) this.#progress.note(text);
  }

  #start(event: TrainStart): void {
    this.#total = event.totalSteps;
    this.#progress = new TrainingProgress(event.totalSteps);
    if (!onTerminal()) {
      process.stdout.write(`${stringifyNumbers({ start: bannerObject(this.#config, event) })}\n`);
    } else {
      process.stdout.write(`${startBanner(this.#config, event)}\n`);
      this.#progress.begin(event.step);
    }
    const note = lossNote(this.#config);
    if (note !== null) this.#progress.note(note);
  }

  #step({ step, loss, metrics, tokens, peakMemoryBytes }: TrainStep): void {
    this.#progress.count(tokens);
    // the last step's line is drawn, and ended, by its row of metrics
    if (step < this.#total) {
      this.#progress.step(step, { ...metrics, loss, peak_memory_bytes: peakMemoryBytes });
    }
  }

  #preflight(report: PreflightReport): void {
    if (process.stderr.isTTY === true) process.stderr.write(`${formatPreflight(report)}\n`);
    else for (const line of preflightNotes(report)) this.#progress.note(line);
  }

  #evaluation({ row, record }: TrainEvaluation): void {
    const fallen = (record.fallen_tokens ?? []).map(fallenText);
    if (!onTerminal()) {
      this.#progress.log(row);
      for (const text of fallen) this.#progress.note(`step ${row.global_step}, lost most: ${text}`);
      return;
    }
    const show = (key: string, name: string) => {
      const value = row[key];
      return typeof value === "number" ? [`${name} ${formatNumber(value)}`] : [];
    };
    const parts = [
      ...show("eval_reward", "reward"),
      ...show("eval_gold", "gold"),
      ...show("eval_kl_init", "KL to the start"),
      ...show("eval_completions/mean_length", "length"),
      ...show("eval_completions/distinct", "distinct"),
      ...show("eval_loss", "loss"),
      ...show("eval_rewards/accuracies", "accuracy"),
      ...show("eval_rewards/margins", "margin"),
      ...show("eval_accuracy", "accuracy"),
      ...show("eval_margin", "margin"),
      ...show("eval_logps/chosen_delta_init", "chosen since start"),
      ...show("eval_displacement/frac_chosen_down", "fraction of chosen down"),
      ...show("eval_displacement/token_change_mean_abs", "drift"),
      ...show("eval_displacement/token_change_p01", "tail"),
      ...show("eval_displacement/other_text_change", "other text"),
      ...show("eval_samples/ended_properly", "answers ended"),
      ...show("eval_samples/repetition", "repetition"),
    ];
    this.#progress.note(`step ${row.global_step}, held out: ${parts.join(", ")}`);
    for (const text of fallen) this.#progress.note(`  ${text}`);
  }

  #end(summary: TrainSummary): void {
    const { reason, outputDir, report, exported, skippedSteps } = summary;
    const goOn = `stopped after step ${summary.step}; resume with:\n  ${this.#resume}\n`;
    if (!onTerminal()) {
      process.stdout.write(`${stringifyNumbers({ end: summary })}\n`);
      if (reason === "stopped") process.stderr.write(goOn);
      return;
    }
    const skipped = skippedSteps > 0 ? `, ${skippedSteps} of them skipped` : "";
    if (reason === "stopped") process.stdout.write(goOn);
    else process.stdout.write(`${howItEnded(summary)}${skipped}\n`);
    for (const path of exported) process.stdout.write(`  ${path}\n`);
    if (existsSync(report)) process.stdout.write(`  ${report}\n`);
    process.stdout.write(`  ${outputDir}\n`);
  }
}

/** The line of a token that lost most: where, by how much, and «the token» in its answer. */
function fallenText({ row, before, token, after, change }: RecordedToken): string {
  const line = (text: string): string => printable(text.replace(/\s*\n\s*/g, " ⏎ "));
  return `${formatNumber(change)}  ${line(before)}«${line(token)}»${line(after)}  ${row}`;
}

function howItEnded({ reason, step, collapse }: TrainSummary): string {
  switch (reason) {
    case "done":
      return `done after ${step} steps`;
    case "early stop":
      return `stopped early, evaluations got no better, after ${step} steps`;
    case "stopped":
      return `stopped after step ${step}`;
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

type Noted = Extract<TrainEvent, { type: "note" | "skipped" | "collapse" | "checkpoint" | "export" }>;

const actionNote: Record<RunConfig["watch_action"], string> = {
  warn: " (watch_action is warn: training continues)",
  stop: " and stops the run",
  restore: ", stops the run and goes back to the best checkpoint before it",
};

function noteOf(event: Noted): string {
  switch (event.type) {
    case "note":
      return event.text;
    case "skipped":
      return `step ${event.step} skipped: loss or gradient ${event.reason === "spike" ? "far above those before" : "not finite"} with ${event.rows.join(", ")}`;
    case "collapse":
      return `step ${event.step}: the watch sees a collapse${actionNote[event.action]}: ${event.breaches.join("; ")}`;
    case "checkpoint":
      return `checkpoint ${event.path}`;
    case "export": {
      const { path, maxDifference } = event.result;
      return `exported ${path}: ${rescoredText(event.result, maxDifference.toExponential(1))}`;
    }
    default:
      return event satisfies never;
  }
}
