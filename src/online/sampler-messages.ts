/** What a run and its sampling process say to each other. Plain data, with what `structuredClone` takes. */
import type { RunConfig } from "../config/run-config.ts";
import type { Failure } from "../process/failure.ts";
import type { RewardInput } from "../rewards/reward-function.ts";
import type { MatmulLibrary } from "../setup/matmul-choice.ts";
import type { DrawnRollout, RolloutRequest } from "./draw-rollout.ts";
import type { RolloutGroup } from "./rollout.ts";

/** What a sampling process is started with. */
export interface SamplerSettings {
  /** The run's, its model on disk. */
  config: RunConfig & { baseModel: string };
  /** As the run computes float32 products. */
  matmul: MatmulLibrary;
  stopIds: ReadonlySet<number>;
}

/** What it does, one task after the other. */
export type SamplerTask =
  /** @param weights - file of the trained tensors to sample by */
  | { type: "rollout"; request: RolloutRequest; weights: string }
  | { type: "score"; input: RewardInput; groups: readonly RolloutGroup[]; isHeldOut: boolean };

/** A rollout without its examples, which the run has. */
export type SampledRollout = Omit<DrawnRollout, "groups"> & { groups: Omit<RolloutGroup, "example">[] };

/** Sent to the process. */
export type SamplerCommand =
  | { type: "start"; settings: SamplerSettings }
  | { type: "task"; id: number; task: SamplerTask }
  | { type: "stop" };

/** Sent by the process. `failed` without an id: it cannot start. */
export type SamplerMessage =
  | { type: "work"; id: number; at: "sampling" | "scoring"; done: number; total: number }
  | { type: "done"; id: number; result: unknown }
  | { type: "failed"; id: number | null; failure: Failure };
