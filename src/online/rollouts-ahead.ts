/** Rollouts that another process samples and scores while the run trains: asked for in time, kept over a checkpoint. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { at } from "../base/at.ts";
import { copyFile } from "../base/copy-files.ts";
import { FormatError } from "../base/errors.ts";
import { ignoreErrors } from "../base/file-io.ts";
import { makeDirectory, remove } from "../base/files.ts";
import type { Example } from "../data/example.ts";
import { writeSafetensors } from "../formats/safetensors-write.ts";
import { tensorSource } from "../models/save.ts";
import type { ParameterSet } from "../nn/parameter-set.ts";
import type { ScoredCompletions } from "../rewards/scored-completions.ts";
import type { NextOptions } from "../train/step-source.ts";
import type { DrawnRollout, RolloutRequest } from "./draw-rollout.ts";
import { orAborted } from "./or-aborted.ts";
import type { SampledRollout } from "./sampler-messages.ts";
import type { SamplerJob, SamplerProcess } from "./sampler-process.ts";
import type { Scorer } from "./scored-rollout.ts";

/** Files of weights, here and in a checkpoint. */
const FILE = /^sampler-weights-(\d+)\.safetensors$/;

/** What rollouts are asked of and by. */
export interface AheadParts {
  sampler: SamplerProcess;
  /** What is trained. */
  parameters: ParameterSet;
  examples: readonly Example[];
  /** Where weights lie for the sampling process; emptied at the start and removed at the end, where that can be. */
  dir: string;
  /** Updates between the weights that sample a rollout and those that first learn from it. */
  max_staleness: number;
}

/** A rollout that was asked for. */
interface Asked {
  request: RolloutRequest;
  /** Updates after which the weights were taken that it is sampled by. */
  weights: number;
  /** Null where the weights are kept alone, for a run that may be made longer. */
  job: SamplerJob<SampledRollout> | null;
}

/**
 * Every rollout is sampled by the weights of exactly `max_staleness` updates before the first that learns from it, or of the start.
 * So nothing but seed and step decides it. A checkpoint has the weights of those rollouts that are still to be learned from: a
 * resumed run samples them again, and comes to the same.
 */
export class RolloutsAhead implements Disposable {
  readonly #parts: AheadParts;
  readonly #asked: Map<number, Asked> = new Map();
  /** Steps whose weights lie in `dir`. */
  readonly #files: Set<number> = new Set();

  constructor(parts: AheadParts) {
    this.#parts = parts;
    remove(parts.dir);
    makeDirectory(parts.dir);
  }

  /** Updates after which the weights are taken for a rollout that is first learned from after `step` updates. */
  weightsFor(step: number): number {
    return Math.max(0, step - this.#parts.max_staleness);
  }

  /**
   * Asks for those of `requests`, which are due after `step` updates, that have not been asked for.
   *
   * @param totalSteps - of the run: of rollouts from there on the weights are kept, and nothing is sampled
   */
  async ask(step: number, requests: readonly RolloutRequest[], totalSteps: number): Promise<void> {
    for (const [round, { request }] of this.#asked) if (request.step < step) this.#asked.delete(round);
    for (const request of requests) {
      if (this.#asked.has(request.round)) continue;
      const weights = this.weightsFor(request.step);
      this.#write(weights, step);
      const task = { type: "rollout", request, weights: this.#path(weights) } as const;
      const job = request.step < totalSteps ? this.#parts.sampler.ask<SampledRollout>(task) : null;
      this.#asked.set(request.round, { request, weights, job });
      await job?.sent;
    }
    const needed = new Set([...this.#asked.values()].map(({ weights }) => weights));
    for (const weights of this.#files) if (!needed.has(weights)) this.#remove(weights);
  }

  /** The rollout, when it is there. @throws the signal's reason when that is aborted before */
  async take(round: number, { signal, onWork = () => {} }: NextOptions): Promise<DrawnRollout> {
    const job = this.#asked.get(round)?.job ?? null;
    if (job === null) throw new RangeError(`rollout ${round} was not asked for`);
    onWork("sampling", 0, 1);
    if (job.work !== null) onWork(...job.work);
    job.onWork = onWork;
    const { groups, ...rest } = await orAborted(job.result, signal);
    const { examples } = this.#parts;
    return { ...rest, groups: groups.map((group) => ({ ...group, example: at(examples, group.index) })) };
  }

  /** What is to be reported of the sampling process. */
  takeNotes(): string[] {
    return this.#parts.sampler.takeNotes();
  }

  /** Bytes that `saveInto` writes at most, but for names. */
  get checkpointBytes(): number {
    return 4 * this.#parts.parameters.numel * this.#files.size;
  }

  /** Writes the weights of the rollouts from `step` on into a checkpoint, but for those that the checkpoint has anyway. */
  saveInto(dir: string, step: number): void {
    const open = [...this.#asked.values()].filter(
      ({ request, weights }) => request.step >= step && weights < step,
    );
    for (const weights of new Set(open.map((asked) => asked.weights))) {
      copyFile(this.#path(weights), join(dir, fileOf(weights)));
    }
  }

  /** Takes the weights that the checkpoint in `dir` has. */
  resumeFrom(dir: string): void {
    for (const name of readdirSync(dir)) {
      const weights = Number(FILE.exec(name)?.[1]);
      if (Number.isNaN(weights) || this.#files.has(weights)) continue;
      copyFile(join(dir, name), this.#path(weights));
      this.#files.add(weights);
    }
  }

  [Symbol.dispose](): void {
    ignoreErrors(() => remove(this.#parts.dir));
  }

  #path(weights: number): string {
    return join(this.#parts.dir, fileOf(weights));
  }

  /** @param step - updates that are done */
  #write(weights: number, step: number): void {
    if (this.#files.has(weights)) return;
    if (weights !== step) {
      throw new FormatError(
        `the checkpoint of step ${step} lacks ${fileOf(weights)}, the weights that the next rollout is sampled by. ` +
          "Resume from another checkpoint.",
      );
    }
    const tensors = [...this.#parts.parameters.tensors].map(([name, tensor]) => tensorSource(name, tensor));
    writeSafetensors(this.#path(weights), tensors, undefined, { isTransient: true });
    this.#files.add(weights);
  }

  #remove(weights: number): void {
    remove(this.#path(weights));
    this.#files.delete(weights);
  }
}

/** Scores in the sampling process: what scores is open there alone. `names`: what it scores by. */
export function scorerOf(sampler: SamplerProcess, names: readonly string[]): Scorer {
  return {
    names,
    score: (input, { groups, isHeldOut = false, signal }) =>
      orAborted(sampler.ask<ScoredCompletions>({ type: "score", input, groups, isHeldOut }).result, signal),
  };
}

function fileOf(weights: number): string {
  return `sampler-weights-${weights}.safetensors`;
}
