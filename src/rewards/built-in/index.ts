/** The reward functions that are built in. None of them runs what a completion says. */
import type { BuiltInReward, RewardOptions } from "../../config/reward-specs.ts";
import type { RewardFunction } from "../reward-function.ts";
import { exactReward } from "./exact.ts";
import { jsonReward } from "./json.ts";
import { lengthReward } from "./length.ts";
import { accuracyReward, mathReward } from "./math.ts";
import { numberReward } from "./number.ts";
import { overlongReward } from "./overlong.ts";
import { regexReward } from "./regex.ts";
import { repetitionReward } from "./repetition.ts";
import { thinkFormatReward } from "./think-format.ts";

/** Each makes its function of the options that are given; the others have their defaults. */
export const builtInReward: Readonly<Record<BuiltInReward, (options: RewardOptions) => RewardFunction>> = {
  exact: exactReward,
  regex: regexReward,
  number: numberReward,
  math: mathReward,
  json: jsonReward,
  length: lengthReward,
  repetition: repetitionReward,
  overlong: overlongReward,
  accuracy: accuracyReward,
  think_format: thinkFormatReward,
};
