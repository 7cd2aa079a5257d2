/** RAFT's hyperparameter and metrics. */
import type { ValuesOf } from "../../base/value-schema.ts";
import type { Method } from "../method.ts";
import { REWARD_METRICS } from "../rollout-metrics.ts";

/** The hyperparameters of RAFT. */
const KEYS = {
  reward_threshold: {
    schema: { type: ["number", "null"], default: null },
    unit: "none",
    doc: "A group's best completion is trained on only if its reward is above this; null: always. For rewards of 0 and 1 set 0, or the best of wrong answers is learned too.",
    source: "arXiv 2304.06767, which has none",
  },
} as const;

/** What the loss takes. */
export type RaftOptions = ValuesOf<typeof KEYS>;

/** Settings of a RAFT run. */
export interface RaftSettings extends RaftOptions {
  objective: "raft";
}

/** RAFT (arXiv 2304.06767): supervised fine-tuning on the best of own answers. */
export const raft: Method<RaftSettings> = {
  label: "RAFT",
  over: "groups",
  needsReference: false,
  learnsStill: ({ reward_threshold }) => [
    `the first completion of each group${reward_threshold === null ? "" : " whose rewards are above reward_threshold"}`,
  ],
  onPolicy: "only",
  learning_rate: { value: 2e-5, source: "TRL's SFT" },
  keys: KEYS,
  presets: null,
  metrics: [
    ...REWARD_METRICS,
    {
      key: "raft/frac_groups",
      unit: "share",
      definition: "Fraction of groups whose best completion is trained on.",
      better: null,
      onPolicy: true,
    },
    {
      key: "raft/reward",
      unit: "",
      definition: "Mean reward of the completions that are trained on.",
      better: "higher",
      onPolicy: true,
    },
  ],
};
