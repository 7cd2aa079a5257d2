/** The checkpoints of a run: written, resumed from, the best one looked after and put back. */
import { FormatError } from "../base/errors.ts";
import { requireFreeBytes } from "../base/files.ts";
import { alone, onAll, onFirst, type Together } from "../base/ranks.ts";
import type { RunConfig } from "../config/run-config.ts";
import type { Decoder } from "../models/causal-lm.ts";
import {
  type Checkpoint,
  checkpointPath,
  faultOf,
  latestCheckpoint,
  pruneCheckpoints,
  setAsideAbove,
  writeCheckpoint,
} from "../runs/checkpoints.ts";
import type { Recorder } from "../runs/recorder.ts";
import type { TrainEvent } from "../runs/train-events.ts";
import {
  readCheckpointFiles,
  readTrained,
  type TrainerState,
  trainedStateBytes,
  writeCheckpointFiles,
} from "./checkpoint.ts";
import type { PreparedData } from "./prepare-data.ts";
import type { Training } from "./step.ts";
import type { StepSource } from "./step-source.ts";
import { ownSliceFile, writeOwnSlices } from "./trained-slices.ts";

/** What the best evaluation is the best by: "least eval_loss". */
export function bestBy({
  metric_for_best_model,
  greater_is_better,
}: Pick<RunConfig, "metric_for_best_model" | "greater_is_better">): string {
  return `${greater_is_better ? "greatest" : "least"} ${metric_for_best_model.replace(/^(?!eval_)/, "eval_")}`;
}

/** The best from here on counts. */
export function forgetBest(state: TrainerState): void {
  delete state.bestValue;
  delete state.bestOf;
  Object.assign(state, { best: null, evaluationsWithoutGain: 0 });
}

/** Reads and writes the checkpoints under `dir`, with the other ranks where there are some: each calls the same methods. */
export class RunCheckpoints {
  readonly #dir: string;
  readonly #config: RunConfig;
  readonly #training: Training<Decoder>;
  readonly #data: PreparedData;
  readonly #source: StepSource;
  readonly #ranks: Together;
  #savedAt = -1;

  /** @param of - the run's tokenizer and rows, and where its steps come from */
  constructor(
    dir: string,
    config: RunConfig,
    training: Training<Decoder>,
    { data, source }: { data: PreparedData; source: StepSource },
  ) {
    this.#dir = dir;
    this.#config = config;
    this.#training = training;
    this.#data = data;
    this.#source = source;
    this.#ranks = training.ranks?.group ?? alone;
  }

  /** Whether the best checkpoint is needed in the end. */
  get keepsBest(): boolean {
    return this.#config.load_best_model_at_end || this.#config.watch_action === "restore";
  }

  /** Whether the weights as they are are the best so far, and needed in the end. */
  isBest({ best, step }: TrainerState): boolean {
    return this.keepsBest && best?.step === step;
  }

  /** Whether one was written or resumed from. */
  get hasSaved(): boolean {
    return this.#savedAt >= 0;
  }

  /**
   * Writes the checkpoint of `state.step`, unless it is the last one written, and removes those that need not stay.
   *
   * @throws {FileError} with the bytes needed when they cannot fit; nothing is written then
   * @throws {RankFailure} on every rank, if one of several cannot write; earlier checkpoints are untouched
   */
  async *save(state: TrainerState, recorder: Recorder | null): AsyncGenerator<TrainEvent> {
    const { step } = state;
    if (this.#savedAt === step) return;
    this.#training.ranks?.group.note(`step ${step}, saving`);
    const { checkpointBytes = 0 } = this.#source;
    const ranks = this.#ranks;
    const ownFile = ownSliceFile(this.#training);
    const write = (dir: string): void => {
      // asked for all of it before any of it is written
      const bytes = trainedStateBytes(this.#training) + checkpointBytes;
      onFirst(ranks, () => requireFreeBytes(dir, bytes, "the checkpoint"));
      if (ownFile !== null) writeOwnSlices(dir, ownFile, this.#training, step);
      if (ranks.rank !== 0) return;
      writeCheckpointFiles(dir, this.#training, this.#data, state);
      this.#source.saveInto?.(dir, step);
      recorder?.saveInto(dir);
    };
    const path = await writeCheckpoint(this.#dir, step, write, {
      ranks,
      ownFiles: ownFile === null ? [] : [ownFile],
    });
    this.#savedAt = step;
    const best = this.keepsBest ? (state.best?.step ?? null) : null;
    onFirst(ranks, () => {
      pruneCheckpoints(this.#dir, this.#config.save_total_limit, best);
    });
    yield { type: "checkpoint", step, path };
  }

  /**
   * Puts a checkpoint into the training: `checkpoint`, or an earlier one, from which the run makes its best one again.
   *
   * @throws {FormatError} if it is of another model, adapter or data
   */
  *resume(checkpoint: Checkpoint): Generator<TrainEvent, { state: TrainerState; checkpoint: Checkpoint }> {
    let from = checkpoint;
    for (;;) {
      const { path } = from;
      const state = onAll(this.#ranks, () =>
        readCheckpointFiles(path, this.#training, this.#data.dataset.fingerprint),
      );
      yield* this.#forgetOtherBest(state);
      const earlier = yield* this.#lostBest(state, from);
      if (earlier === null) {
        yield* this.#leaveLater(state.step);
        this.#savedAt = state.step;
        this.#source.resumeFrom?.(from.path, state.step);
        return { state, checkpoint: from };
      }
      from = earlier;
    }
  }

  /** Checkpoints of the course that the run does not take again. */
  *#leaveLater(step: number): Generator<TrainEvent> {
    const left = onFirst(this.#ranks, () => setAsideAbove(this.#dir, step));
    if (left.length === 0) return;
    const steps = left.length === 1 ? "a later checkpoint" : `${left.length} later checkpoints`;
    yield { type: "note", text: `${steps} of the run are left aside: ${left.join(", ")}` };
  }

  /** The best by another metric is none: the two values cannot be compared. */
  *#forgetOtherBest(state: TrainerState): Generator<TrainEvent> {
    const { best, bestBy: before } = state;
    const now = bestBy(this.#config);
    if (before === undefined || before === now) return;
    forgetBest(state);
    if (best === null) return;
    const text = `step ${best.step} was the best so far by the ${before}: by the ${now} the best from here on counts`;
    yield { type: "note", text };
  }

  /**
   * Looks at the best checkpoint so far. When it is damaged, the earlier one from which the run makes it again; null when
   * all is well. If it cannot be made again, the best from here on counts.
   *
   * @param verified - the checkpoint at hand, whose files have just been read
   */
  *#lostBest(state: TrainerState, verified: Checkpoint): Generator<TrainEvent, Checkpoint | null> {
    const { best } = state;
    if (!this.keepsBest || best === null) return null;
    const path = checkpointPath(this.#dir, best.step);
    const reason = path === verified.path ? null : onFirst(this.#ranks, () => faultOf(path));
    if (reason === null) return null;
    const checkpoint =
      reason === "missing"
        ? null
        : onFirst(this.#ranks, () => latestCheckpoint(this.#dir, best.step).checkpoint);
    if (checkpoint === null) forgetBest(state);
    const text =
      checkpoint === null
        ? "the best from here on counts"
        : `going back to ${checkpoint.path}, to make it again`;
    yield {
      type: "note",
      text: `the checkpoint of step ${best.step}, the best so far, is ${reason}: ${text}`,
    };
    return checkpoint;
  }

  /**
   * Puts the weights of step `step` back.
   *
   * @throws {FormatError} if its checkpoint was damaged since it was written
   */
  restore(step: number): void {
    const path = checkpointPath(this.#dir, step);
    onFirst(this.#ranks, () => {
      const fault = faultOf(path);
      if (fault === null) return;
      throw new FormatError(
        `${path}, the best checkpoint, is ${fault}. Nothing was exported. Continue with --resume: it makes the checkpoint again where it can.`,
      );
    });
    onAll(this.#ranks, () => readTrained(path, this.#training));
    this.#source.resumeFrom?.(path, step);
  }
}
