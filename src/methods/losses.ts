/** The loss of every method, by its name; libtorch. Their settings are in `index.ts`. */
import { cpo } from "./cpo/loss.ts";
import { dpo } from "./dpo/loss.ts";
import { dpop } from "./dpop/loss.ts";
import { grpo } from "./grpo/loss.ts";
import type { MethodName, MethodSettings, SettingsOf } from "./index.ts";
import { kto } from "./kto/loss.ts";
import type { Objective } from "./objective.ts";
import { orpo } from "./orpo/loss.ts";
import { ppo } from "./ppo/loss.ts";
import { raft } from "./raft/loss.ts";
import { reward } from "./reward/loss.ts";
import { rloo } from "./rloo/loss.ts";
import { sft } from "./sft/loss.ts";
import { simpo } from "./simpo/loss.ts";
import { slime } from "./slime/loss.ts";

/** From a method's settings to its loss. */
export const losses: { readonly [Name in MethodName]: (settings: SettingsOf<Name>) => Objective } = {
  slime,
  dpo,
  simpo,
  sft,
  reward,
  dpop,
  cpo,
  orpo,
  kto,
  grpo,
  rloo,
  raft,
  ppo,
};

/** The objective that `settings` describe. */
export function objectiveOf(settings: MethodSettings): Objective {
  // the record pairs each name with its own settings, which indexing by a union forgets
  const loss = losses[settings.objective] as (settings: MethodSettings) => Objective;
  return loss(settings);
}
