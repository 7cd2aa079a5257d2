/** Runs a stage in a separate process and shows its progress. */
import { TrainingError } from "../base/errors.ts";
import { formatNumber } from "../base/number-text.ts";
import { programBeside } from "../process/child.ts";
import { ChildFailure } from "../process/failure.ts";
import { runTask } from "../process/task.ts";
import { PhaseProgress } from "../terminal/phases.ts";
import { type ProgressStream, StatusLine } from "../terminal/status-line.ts";
import { TrainingProgress } from "../terminal/training-progress.ts";
import type { StageEvent, StageResult, StageTask } from "./stage.ts";

/**
 * The result of `task`, run by a child process that ends with it.
 *
 * @param title - shown in front of its progress, e.g. "[2/4] DPO"
 * @param stop - kills the child: nothing of the stage stays
 * @throws {TrainingError} with the child's message when the stage fails or the child is killed
 */
export async function runInProcess(
  title: string,
  task: StageTask,
  out: ProgressStream,
  stop?: AbortSignal,
): Promise<StageResult> {
  const display = new StageDisplay(title, out);
  try {
    return await runTask<StageResult, StageEvent>(task, {
      program: programBeside(import.meta, "stage-child"),
      onEvent: (event) => display.show(event),
      signal: stop,
      onAbort: "kill",
    });
  } catch (error) {
    if (!(error instanceof ChildFailure)) throw error;
    const died = error.kind === null ? " before it had a result. See what it wrote above." : "";
    throw new TrainingError(`${title}: ${error.message}${died}`);
  } finally {
    display.end();
  }
}

/** On a terminal a line that is rewritten, elsewhere one line when a stage begins. */
class StageDisplay {
  readonly #title: string;
  readonly #out: ProgressStream;
  #training: TrainingProgress | null = null;
  #totalSteps = 0;
  #phase: { label: string; progress: PhaseProgress } | null = null;

  constructor(title: string, out: ProgressStream) {
    this.#title = title;
    const { isTTY = false, columns = 80 } = out;
    this.#out = { isTTY, columns, prefix: `${title}: `, write: (text) => out.write(text) };
  }

  show(event: StageEvent): void {
    if (event.type === "start") this.#start(event.totalSteps, event.trainable);
    if (this.#out.isTTY !== true) return;
    // the last step has a row of metrics, which draws the line that stays
    if (event.type === "step" && event.step < this.#totalSteps)
      this.#training?.step(event.step, { loss: event.loss });
    if (event.type === "log") this.#training?.log(event.row);
    if (event.type === "phase") this.#showPhase(event.label, event.done, event.total);
  }

  #start(totalSteps: number, trainable: number): void {
    this.#totalSteps = totalSteps;
    this.#training = new TrainingProgress(totalSteps, this.#out);
    if (this.#out.isTTY !== true) {
      this.#out.write(`${this.#title}: ${totalSteps} steps, ${formatNumber(trainable)} weights\n`);
    }
  }

  /** Phases are short: what is drawn next takes the place of their line. */
  #showPhase(label: string, done: number, total: number | null): void {
    if (this.#phase?.label !== label) {
      this.#phase = { label, progress: new PhaseProgress(label, total, this.#out) };
    }
    this.#phase.progress.update(done);
  }

  end(): void {
    new StatusLine(this.#out).clear();
  }
}
