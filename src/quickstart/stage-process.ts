/** Starts a stage in a process of its own and shows how it goes on. */
import { type ChildProcess, fork } from "node:child_process";
import { extname, join } from "node:path";
import { TrainingError } from "../base/errors.ts";
import { formatNumber } from "../runs/number-text.ts";
import { PhaseProgress, type ProgressStream, TrainingProgress } from "../runs/progress.ts";
import type { StageResult, StageTask } from "./stage.ts";
import type { StageMessage } from "./stage-child.ts";

/**
 * The result of `task`, run by a child process that ends with it.
 *
 * @param title - shown in front of its progress, e.g. "[2/4] DPO"
 * @param stop - kills the child: nothing of the stage stays
 * @throws {TrainingError} with the child's message when the stage fails or the child is killed
 */
export function runInProcess(
  title: string,
  task: StageTask,
  out: ProgressStream,
  stop?: AbortSignal,
): Promise<StageResult> {
  const display = new StageDisplay(title, out);
  // built or not, the child has this file's extension
  const program = join(import.meta.dirname, `stage-child${extname(import.meta.filename)}`);
  // the addon is found by now: the child need not look for it again
  // "advanced" lets NaN through
  const child: ChildProcess = fork(program, [], { execArgv: [], serialization: "advanced" });
  const kill = (): boolean => child.kill("SIGKILL");
  stop?.addEventListener("abort", kill);
  return new Promise((resolve, reject) => {
    let outcome: (() => void) | null = null;
    child.on("message", (data) => {
      const message = data as StageMessage;
      if (message.type === "result") outcome = () => resolve(message.result);
      else if (message.type === "failed")
        outcome = () => reject(new TrainingError(`${title}: ${message.message}`));
      else display.show(message);
    });
    child.on("error", reject);
    child.on("close", (code, signal) => {
      display.end();
      stop?.removeEventListener("abort", kill);
      const how = signal === null ? `with status ${code}` : `by ${signal}`;
      if (outcome !== null) outcome();
      else
        reject(
          new TrainingError(
            `${title}: its process ended ${how} before it had a result. See what it wrote above.`,
          ),
        );
    });
    child.send(task);
  });
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
    this.#out = out.isTTY === true ? prefixed(`${title}: `, out) : out;
  }

  show(event: Exclude<StageMessage, { type: "result" | "failed" }>): void {
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
    if (this.#out.isTTY === true) this.#out.write(clearLine);
  }
}

const clearLine = "\r\u001b[K";

/** `out` with `prefix` in front of every line drawn. */
function prefixed(prefix: string, out: ProgressStream): ProgressStream {
  return {
    isTTY: true,
    columns: (out.columns ?? 80) - prefix.length,
    write: (text) =>
      out.write(
        text.startsWith(clearLine) && text !== clearLine
          ? clearLine + prefix + text.slice(clearLine.length)
          : text,
      ),
  };
}
