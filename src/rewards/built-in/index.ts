/** The reward functions that are built in. None of them runs what a completion says. */
import type { BuiltInReward, RewardOptions } from "../../config/reward-specs.ts";
import type { RewardFunction } from "../reward-function.ts";
import { exactReward } from "./exact.ts";
import { lengthReward } from "./length.ts";

const factories: Readonly<Partial<Record<BuiltInReward, (options: RewardOptions) => RewardFunction>>> = {
  exact: exactReward,
  length: lengthReward,
};

/** The built-in function `name` with these options. */
export function builtInReward(name: BuiltInReward, options: RewardOptions): RewardFunction {
  const make = factories[name];
  if (make === undefined) throw new Error(`the reward function ${name} is not there yet`);
  return make(options);
}
