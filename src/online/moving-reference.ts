/** A reference that follows the model: a second copy of all weights, moved towards the model's from time to time. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { FormatError, ShapeError } from "../base/errors.ts";
import { makeDirectory } from "../base/files.ts";
import { readSafetensorsHeader } from "../formats/safetensors.ts";
import { sourceBytes, type TensorSource, writeSafetensors } from "../formats/safetensors-write.ts";
import { readTensorsInto } from "../models/read-tensors.ts";
import { tensorSource } from "../models/save.ts";
import { noGrad, ops, scope, type Tensor } from "../torch/index.ts";
import type { TrainedModel } from "../train/prepare-model.ts";
import {
  type PolicyReference,
  policyReference,
  type ReferenceSettings,
  type SecondModel,
  secondModel,
} from "./policy-reference.ts";
import type { RolloutGroup } from "./rollout.ts";

/** Its directory and file in a checkpoint. */
const DIRECTORY = "reference_model";
const WEIGHTS = "model.safetensors";

/** Weights by name. */
type Weights = ReadonlyMap<string, Tensor>;

/** How far and how often the reference moves. */
export interface SyncOptions {
  ref_model_mixup_alpha: number;
  ref_model_sync_steps: number;
}

/**
 * Moves each weight of `reference` towards that of `policy`: θ_ref ← α θ + (1 − α) θ_ref.
 *
 * Paper: Gorbatovski et al. 2024, "Learn Your Reference Model for Real Good Alignment", arXiv:2404.09656 (the soft update); in TRL
 *   `SyncRefModelCallback`, whose order of operations this is.
 *
 * @throws {ShapeError} if the two do not have the same weights
 */
export function moveReference(policy: Weights, reference: Weights, alpha: number): void {
  using _ = scope();
  noGrad(() => {
    for (const [name, weight] of reference) {
      const now = policy.get(name);
      if (now === undefined || policy.size !== reference.size) {
        throw new ShapeError(
          `expected a policy with the ${reference.size} weights of its reference, and ${name}`,
        );
      }
      ops.add_(ops.mul_(ops.detach(weight), 1 - alpha), ops.detach(now), { alpha });
    }
  });
}

/** The reference of full tuning with `sync_ref_model`. */
class MovingReference implements PolicyReference {
  readonly #policy: Weights;
  readonly #second: SecondModel;
  readonly #options: SyncOptions;

  /** @param policy - the weights that are trained */
  constructor(policy: Weights, second: SecondModel, options: SyncOptions) {
    this.#policy = policy;
    this.#second = second;
    this.#options = options;
  }

  logps(groups: readonly RolloutGroup[]): Float32Array[] {
    return this.#second.logps(groups);
  }

  stepped(step: number): void {
    const { ref_model_mixup_alpha, ref_model_sync_steps } = this.#options;
    if ((step + 1) % ref_model_sync_steps !== 0) return;
    moveReference(this.#policy, this.#weights, ref_model_mixup_alpha);
  }

  get checkpointBytes(): number {
    return this.#sources().reduce((sum, source) => sum + sourceBytes(source), 0);
  }

  saveInto(dir: string): void {
    const own = join(dir, DIRECTORY);
    makeDirectory(own);
    writeSafetensors(join(own, WEIGHTS), this.#sources());
  }

  /** @throws {FormatError} if the checkpoint has no reference, or that of another model */
  resumeFrom(dir: string): void {
    const path = join(dir, DIRECTORY, WEIGHTS);
    if (!existsSync(path)) {
      throw new FormatError(
        `${path} is missing: the checkpoint does not have the reference as it was moved. Resume from another one.`,
      );
    }
    readTensorsInto([readSafetensorsHeader(path)], this.#weights, "reference");
  }

  get #weights(): Weights {
    return this.#second.parameters.tensors;
  }

  #sources(): TensorSource[] {
    return [...this.#weights].map(([name, tensor]) => tensorSource(name, tensor));
  }

  [Symbol.dispose](): void {
    this.#second[Symbol.dispose]();
  }
}

/**
 * What `trained` is trained beside, which has not been trained yet: its start, with `sync_ref_model` moved towards it step by step.
 */
export function trainingReference(trained: TrainedModel, settings: ReferenceSettings): PolicyReference {
  const { config } = settings;
  if (!config.sync_ref_model) return policyReference(trained, settings);
  return new MovingReference(trained.parameters.tensors, secondModel(settings), config);
}
