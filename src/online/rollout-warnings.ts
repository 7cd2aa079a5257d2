/** What is reported of rewards that fail, and of rollouts from which nothing, or the wrong thing, is learned. */
import { at } from "../base/at.ts";
import { formatNumber } from "../base/number-text.ts";
import type { RunConfig } from "../config/run-config.ts";
import { inGroups, isDeadGroup, scorable } from "../methods/advantages.ts";
import { methodOf, wordList } from "../methods/index.ts";
import type { Unscored } from "../rewards/scored-completions.ts";
import { originsOf, sizesOf } from "./rollout.ts";
import type { CurrentRollout, ScoredGroups } from "./scored-rollout.ts";

/** Rollouts in a row after which something is reported. */
const patience = 5;

const faults: Readonly<Partial<Record<Unscored["reason"], string>>> = {
  not_finite: "gave no finite number for",
  error: "failed on",
  timeout: "was stopped at reward_timeout on",
};

const unscoredText =
  "no completion could be scored: rewards were null, NaN or failed. See rewards/NAME/unscored and rewards/NAME/failures, and correct the reward function.";

/** What the reports depend on. */
type Settings = Pick<RunConfig, "max_completion_length" | "num_generations" | "method">;

/** A scored rollout with the metrics of what was made of it. */
type Prepared = Pick<CurrentRollout, "groups" | "rewards" | "scores" | "metrics">;

/** Ways in which a rollout is bad. */
type Way = "equal" | "unpaired" | "low" | "cut" | "unscored";

/** Reports the first fault of each kind of every reward; counts rollouts in a row that are alike in a bad way, and reports each way once. */
export class RolloutWarnings {
  readonly #config: Settings;
  readonly #isCustom: boolean;
  readonly #inRow: Partial<Record<Way, number>> = {};
  readonly #told = new Set<string>();

  /** @param objective - name of the objective that learns: a custom one is not the configuration's */
  constructor(config: Settings, objective: string = config.method.objective) {
    this.#config = config;
    this.#isCustom = objective !== config.method.objective;
  }

  /** What is to be reported after `rollout`, a sentence or two each. */
  of(rollout: Prepared): string[] {
    return [...this.#faultsOf(rollout), ...this.#unjudged(rollout), ...this.#habitsOf(rollout)];
  }

  #faultsOf({ groups, scores }: ScoredGroups): string[] {
    const origins = originsOf(groups);
    return scores.functions.flatMap(({ name, unscored, redrawn = [] }) =>
      [...redrawn, ...unscored].flatMap(({ completion, reason, message }) => {
        const fault = faults[reason];
        const kind = `${name} ${reason}`;
        if (fault === undefined || this.#told.has(kind)) return [];
        this.#told.add(kind);
        const why = message === "" ? "" : `: ${message}`;
        return [
          `reward ${name} ${fault} a completion of ${at(origins, completion)}${why}. It has no score; all others like it are counted in rewards/${name}/failures.`,
        ];
      }),
    );
  }

  #unjudged({ scores }: Pick<ScoredGroups, "scores">): string[] {
    const such = scores.functions.find(({ noVerdict }) => noVerdict !== undefined && noVerdict.such !== "");
    if (such?.noVerdict === undefined || this.#told.has("no verdict")) return [];
    this.#told.add("no verdict");
    return [
      `the judge gave no verdict on ${such.noVerdict.such}. The pair does not count, in either order; all others like it are counted in rewards/judge/no_verdict.`,
    ];
  }

  #habitsOf(rollout: Prepared): string[] {
    const found = this.#badWays(rollout);
    return (["equal", "unpaired", "low", "cut", "unscored"] as const).flatMap((way) => {
      const text = found[way] ?? null;
      const inRow = text === null ? 0 : (this.#inRow[way] ?? 0) + 1;
      this.#inRow[way] = inRow;
      return inRow === patience && text !== null ? [`In the last ${patience} rollouts ${text}`] : [];
    });
  }

  /** What there is to say of the ways in which `rollout` is bad; null for the others. */
  #badWays({ groups, rewards, metrics }: Prepared): Partial<Record<Way, string | null>> {
    const { max_completion_length } = this.#config;
    const isCut = groups.every(({ completions }) => completions.every(({ ended }) => !ended));
    const cut = isCut
      ? `every completion was cut at max_completion_length ${max_completion_length}. Raise it; if the model never ends its answers, train it on finished ones first (objective: sft) or set missing_eos_penalty.`
      : null;
    const known = scorable(rewards);
    if (known.length === 0) return { cut, unscored: unscoredText };
    const ofGroups = inGroups(rewards, sizesOf(groups)).map(scorable);
    const isEqual = ofGroups.every(isDeadGroup);
    const isUnpaired = !isEqual && metrics["pairs/frac_groups"] === 0;
    return {
      equal: isEqual ? this.#equalText(known) : null,
      unpaired: isUnpaired ? this.#unpairedText(ofGroups) : null,
      low: this.#lowText(known),
      cut,
    };
  }

  #equalText(known: readonly number[]): string {
    const { num_generations } = this.#config;
    const range = `from ${formatNumber(Math.min(...known))} to ${formatNumber(Math.max(...known))}`;
    return `the rewards of every group were all equal (in this one ${range}), so ${this.#learned()}. Reward degrees instead of all or nothing, take prompts that the model sometimes answers well, raise num_generations (now ${num_generations}) or temperature, or set dynamic_sampling.`;
  }

  /** What groups that prefer no completion teach. */
  #learned(): string {
    // what a custom objective makes of them is not known
    if (this.#isCustom) return "they prefer no completion to another";
    const { method } = this.#config;
    const still = methodOf(method.objective).learnsStill?.({ ...method }) ?? [];
    return still.length === 0 ? "nothing was learned" : `the model learned only ${wordList(still)}`;
  }

  #unpairedText(ofGroups: readonly number[][]): string | null {
    const { method } = this.#config;
    if (!("pairs" in method) || this.#isCustom) return null;
    const { reward_gap, rejected_quantile } = method;
    const widest = Math.max(...ofGroups.map((group) => Math.max(...group) - Math.min(...group)));
    return `rewards differed (in this one by up to ${formatNumber(widest)} within a group), but no group had a pair, so ${this.#learned()}. A pair needs a difference above reward_gap (now ${reward_gap}), and rejected_quantile (now ${rejected_quantile}) leaves the worst out. Lower them, or reward larger differences.`;
  }

  #lowText(known: readonly number[]): string | null {
    const { method } = this.#config;
    if (!("reward_threshold" in method) || this.#isCustom) return null;
    const { reward_threshold } = method;
    const highest = Math.max(...known);
    if (reward_threshold === null || highest > reward_threshold) return null;
    return `no reward was above reward_threshold ${reward_threshold} (the highest of this one is ${formatNumber(highest)}), so nothing was learned. Lower it, or take prompts that the model sometimes answers well.`;
  }
}
