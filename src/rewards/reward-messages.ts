/** What goes between this process and a worker process of reward functions. Plain data. */
import type { BuiltInReward, RewardOptions } from "../config/reward-specs.ts";
import type { RewardInput } from "./reward-function.ts";

/** A function to be loaded: of a module, by absolute path and export, or a built-in one with its options. */
export type FunctionToLoad = { name: string } & (
  | { module: string; export: string }
  | { builtIn: BuiltInReward; options: RewardOptions }
);

/** A file of a user's reward functions, or one that it imports. */
export interface RewardFile {
  /** Relative to the working directory. */
  path: string;
  sha256: string;
}

/** To a worker: first the functions, then one call at a time. */
export type RewardCommand =
  | { type: "load"; functions: readonly FunctionToLoad[] }
  | { type: "call"; index: number; input: RewardInput };

/** From a worker. */
export type RewardMessage =
  /** Every function is there; the files of each, none for a built-in one. */
  | { type: "loaded"; files: readonly (readonly RewardFile[])[] }
  | { type: "refused"; message: string }
  /** What the functions wrote: whole lines, each with the name of the one that wrote it. */
  | { type: "output"; text: string }
  /** The function is called now. */
  | { type: "began" }
  | { type: "values"; values: readonly (number | null)[] }
  | { type: "threw"; message: string }
  /** What came back is no list of rewards. `at`: the first completion that it is wrong for. */
  | { type: "invalid"; problem: string; at: number | null };
