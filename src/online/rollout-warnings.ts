/** What is reported of rewards that fail, and of rollouts from which nothing, or the wrong thing, is learned. */
import { at } from "../base/at.ts";
import { formatNumber } from "../base/number-text.ts";
import type { RunConfig } from "../config/run-config.ts";
import type { Unscored } from "../rewards/scored-completions.ts";
import { deadGroups, type ScoredGroups } from "./scored-rollout.ts";

/** Rollouts in a row after which something is reported. */
const patience = 5;

const faults: Readonly<Partial<Record<Unscored["reason"], string>>> = {
  not_finite: "gave no finite number for",
  error: "failed on",
  timeout: "was stopped at reward_timeout on",
};

/** Reports the first fault of each kind of every reward; counts rollouts in a row that are alike in a bad way, and reports each way once. */
export class RolloutWarnings {
  readonly #config: Pick<RunConfig, "max_completion_length" | "num_generations">;
  readonly #inRow: Record<"equal" | "cut" | "unscored", number> = { equal: 0, cut: 0, unscored: 0 };
  readonly #told = new Set<string>();

  constructor(config: Pick<RunConfig, "max_completion_length" | "num_generations">) {
    this.#config = config;
  }

  /** What is to be reported after `rollout`, a sentence or two each. */
  of(rollout: ScoredGroups): string[] {
    return [...this.#faultsOf(rollout), ...this.#habitsOf(rollout)];
  }

  #faultsOf({ groups, scores }: ScoredGroups): string[] {
    const rows = groups.flatMap(({ example, completions }) => completions.map(() => example.origin));
    return scores.functions.flatMap(({ name, unscored }) =>
      unscored.flatMap(({ completion, reason, message }) => {
        const fault = faults[reason];
        const kind = `${name} ${reason}`;
        if (fault === undefined || this.#told.has(kind)) return [];
        this.#told.add(kind);
        const { file, line } = at(rows, completion);
        const why = message === "" ? "" : `: ${message}`;
        const metric = `rewards/${name}/${reason === "not_finite" ? "unscored" : "failures"}`;
        return [
          `reward ${name} ${fault} a completion of ${file}:${line}${why}. It counts as unscored; all others like it are counted in ${metric}.`,
        ];
      }),
    );
  }

  #habitsOf(rollout: Pick<ScoredGroups, "groups" | "rewards">): string[] {
    const { groups, rewards } = rollout;
    const known = rewards.filter((reward) => !Number.isNaN(reward));
    const { max_completion_length, num_generations } = this.#config;
    const last = `In the last ${patience} rollouts`;
    const least = formatNumber(Math.min(...known));
    const texts = {
      equal: `${last} the rewards of every group were all equal (in this one from ${least} to ${formatNumber(Math.max(...known))}), so nothing was learned. Reward degrees instead of all or nothing, take prompts that the model sometimes answers well, raise num_generations (now ${num_generations}) or temperature, or set dynamic_sampling.`,
      cut: `${last} every completion was cut at max_completion_length ${max_completion_length}. Raise it; if the model never ends its answers, train it on finished ones first (objective: sft) or set missing_eos_penalty.`,
      unscored: `${last} no completion could be scored: rewards were null, NaN or failed. See rewards/NAME/unscored and rewards/NAME/failures, and correct the reward function.`,
    };
    const found = {
      equal: known.length > 0 && deadGroups(rollout).length === groups.length,
      cut: groups.every(({ completions }) => completions.every(({ ended }) => !ended)),
      unscored: known.length === 0,
    };
    return (["equal", "cut", "unscored"] as const).flatMap((way) => {
      this.#inRow[way] = found[way] ? this.#inRow[way] + 1 : 0;
      return this.#inRow[way] === patience ? [texts[way]] : [];
    });
  }
}
