/** A judge as a reward: a language model behind an endpoint scores the completions of a rollout, within a budget. */
import { join } from "node:path";
import { at } from "../base/at.ts";
import { forEachAtOnce } from "../evaluate/endpoint/at-once.ts";
import { Endpoint } from "../evaluate/endpoint/endpoint.ts";
import { Judge, type Judgment } from "../evaluate/judge/judge.ts";
import type { JudgeSettings } from "../evaluate/judge/judging.ts";
import { type JudgmentCost, JudgmentStore } from "../evaluate/judge/judgment-store.ts";
import { ChildFailure } from "../process/failure.ts";
import type { Rewards, ScoreOptions } from "../rewards/open-rewards.ts";
import { RewardError } from "../rewards/reward-error.ts";
import { describeCompletions, type RewardInput } from "../rewards/reward-function.ts";
import type { ScoredCompletions, Unscored } from "../rewards/scored-completions.ts";
import {
  type JudgeMode,
  type JudgeQuestion,
  judgeQuestions,
  judgeRewards,
  verdictIn,
} from "./judge-questions.ts";
import { orAborted } from "./or-aborted.ts";
import { Queue } from "./queue.ts";

/** What judging may cost in a run; null: without limit. */
export interface JudgeBudget {
  requests: number | null;
  /** Tokens read and written. */
  tokens: number | null;
  /** In the currency of the judge's price. */
  money: number | null;
}

/** How a judge scores rollouts. */
export interface JudgeRewardSettings extends JudgeSettings {
  /** The run's directory: judgments are kept in its judgments.sqlite before they are used. */
  dir: string;
  mode: JudgeMode;
  budget: JudgeBudget;
  /** When the budget does not suffice for a rollout: the run stops, or its completions have no score from the judge. */
  onBudgetSpent: "stop" | "continue";
  /** Fraction of the questions about a rollout that may be without a verdict; default 0.5. */
  reward_max_failures?: number;
  /** Optimiser steps between the weights that sample a rollout and the first step on it; default 0. */
  max_staleness?: number;
}

/** The judge's budget does not suffice for another rollout. */
export class JudgeBudgetError extends RewardError {}

/** Whether the error is that one, be it another process's. */
export function isBudgetSpent(error: unknown): error is Error {
  return (
    error instanceof JudgeBudgetError ||
    (error instanceof ChildFailure && error.kind === JudgeBudgetError.name)
  );
}

/** Settings of {@link openJudgeReward} as a program has them. */
const ownNames = { extra: "judge.extra", maxTokens: "judge.maxTokens" };

/** Rollouts of one step that are counted apart, evaluations' before those that are trained on. */
const callsInStep = 1000;
const evaluationsInStep = callsInStep / 2;

/**
 * Opens the judge of a run. What a resumed run asks again is answered from the file, and costs nothing.
 *
 * @throws {ConfigError} if its address cannot be used, or a budget of money has no price
 * @throws {FileError} if judgments cannot be kept
 */
export function openJudgeReward(settings: JudgeRewardSettings): JudgeReward {
  return new JudgeReward(settings);
}

/** A judge that scores rollouts. */
export class JudgeReward implements Rewards {
  readonly names: readonly string[] = ["judge"];
  readonly columns: readonly string[] = [];
  readonly files: Rewards["files"] = [[]];
  readonly #settings: JudgeRewardSettings;
  readonly #store: JudgmentStore;
  readonly #judge: Judge;
  /** Keys of the answers that the rollout at hand has read. */
  #used: Set<string> = new Set();
  /** Rollouts so far of each step, of evaluations and of training; ahead, those of several steps come by turns. */
  readonly #calls: Map<number, { heldOut: number; trained: number }> = new Map();
  /** One rollout is judged at a time. */
  readonly #queue = new Queue();

  constructor(settings: JudgeRewardSettings) {
    const { judge, limits, dir, budget, optionNames = ownNames } = settings;
    if (budget.money !== null && judge.price === null) {
      throw new RewardError(
        "judge_budget: money is limited, but the judge has no price. Give its price, or limit tokens.",
      );
    }
    const { baseUrl, model, apiKey, extra, retriesWithoutVerdict } = judge;
    const endpoint = new Endpoint({ baseUrl, model, apiKey, extra, ...limits });
    this.#settings = settings;
    this.#store = new JudgmentStore(join(dir, "judgments.sqlite"));
    this.#judge = new Judge({
      endpoint,
      store: this.#store,
      temperature: judge.temperature ?? 0,
      maxTokens: judge.maxTokens ?? 1024,
      ...{ retriesWithoutVerdict, optionNames },
      onUse: (key) => this.#used.add(key),
    });
  }

  /**
   * The scores of a rollout. Judgments under way when `signal` is aborted are still kept.
   *
   * @throws {JudgeBudgetError} when the budget does not suffice and the run is to stop
   * @throws {RewardError} when too few judgments have a verdict
   * @throws {EndpointError} when the endpoint gives no answers
   */
  score(input: RewardInput, options: ScoreOptions = {}): Promise<ScoredCompletions> {
    return orAborted(
      this.#queue.add(() => this.#score(input, options)),
      options.signal,
    );
  }

  /** Waits for the judgments under way, which are paid for, and closes the file. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#queue.idle();
    this.#store.close();
  }

  async #score(
    input: RewardInput,
    {
      groupSizes = [input.completions.length],
      isHeldOut = false,
      rolloutSize,
      origins,
      signal,
    }: ScoreOptions,
  ): Promise<ScoredCompletions> {
    signal?.throwIfAborted();
    const { mode } = this.#settings;
    const began = performance.now();
    const moment = this.#momentOf(input.step, isHeldOut);
    const questions = judgeQuestions(input, groupSizes, mode);
    // completions of one text are judged once
    const distinct = [...Map.groupBy(questions, ({ messages }) => JSON.stringify(messages)).values()];
    const shortage = this.#shortage(this.#costBefore(moment, input.step, isHeldOut), distinct.length);
    if (shortage !== null) return this.#without(input, shortage);
    const { retries: before } = this.#judge.counts.spent;
    const judgments = await this.#ask(distinct, signal);
    const retries = this.#judge.counts.spent.retries - before;
    this.#store.noteUses(this.#used, moment);
    const verdicts = questions.map((each) => judgments.get(each)?.verdict ?? null);
    const values = judgeRewards(input, { groupSizes, mode }, questions, verdicts);
    const words = (question: JudgeQuestion) => (judgments.get(question)?.text ?? "").slice(0, 300);
    const lacking = questions.filter((_, q) => verdicts[q] === null);
    const unscored = values.flatMap((value, completion): Unscored[] => {
      if (value !== null) return [];
      const about = lacking.find((each) => each.about.includes(completion));
      if (about === undefined) return [{ completion, reason: "null", message: "nothing to compare with" }];
      return [{ completion, reason: "error", message: words(about) }];
    });
    const nameOf = ({ about: [first = 0, second] }: JudgeQuestion) =>
      describeCompletions(input.completions, origins, first) +
      (second === undefined ? "" : `, shown before completion ${second + 1}`);
    const [first] = lacking;
    const such = first === undefined ? "" : `${nameOf(first)}, but: ${JSON.stringify(words(first))}`;
    const isRefused = [...judgments.values()].some(({ reason }) => reason === "refused");
    const drawn = (rolloutSize ?? values.length) / Math.max(1, values.length);
    const count = Math.round(questions.length * drawn);
    this.#checkFailures({ failed: lacking.length, count, such }, isRefused);
    const without = [...judgments.values()].filter(({ verdict }) => verdict === null);
    const noVerdict = { count: new Set(without).size, such: mode === "pairs" ? such : "" };
    const seconds = (performance.now() - began) / 1000;
    return { functions: [{ name: "judge", values, unscored, seconds, retries, noVerdict }] };
  }

  /**
   * Where in the run a rollout is judged: the same again when it is resumed, also where the evaluation of its step came before the
   * checkpoint and is not made again.
   */
  #momentOf(step: number, isHeldOut: boolean): number {
    this.#used = new Set();
    const counts = this.#calls.get(step) ?? { heldOut: 0, trained: 0 };
    this.#calls.set(step, counts);
    // no rollout or evaluation of a step before these comes any more
    const oldest = step - (this.#settings.max_staleness ?? 0) - 1;
    for (const before of this.#calls.keys()) if (before < oldest) this.#calls.delete(before);
    const calls = isHeldOut ? counts.heldOut++ : counts.trained++;
    const first = step * callsInStep + (isHeldOut ? 0 : evaluationsInStep);
    return first + Math.min(calls, evaluationsInStep - 1);
  }

  /**
   * What was spent before a moment. A rollout that is scored ahead counts the evaluations that were asked for before it alone: whether
   * another one is done by then the clock decides.
   */
  #costBefore(moment: number, step: number, isHeldOut: boolean): JudgmentCost {
    const { max_staleness = 0 } = this.#settings;
    const others = isHeldOut ? moment : (step - max_staleness + 1) * callsInStep;
    return this.#store.costBefore(moment, { modulo: callsInStep, below: evaluationsInStep, others });
  }

  async #ask(
    distinct: readonly (readonly JudgeQuestion[])[],
    signal: AbortSignal | undefined,
  ): Promise<Map<JudgeQuestion, Judgment<number>>> {
    const judgments = new Map<JudgeQuestion, Judgment<number>>();
    await forEachAtOnce(distinct, this.#settings.concurrency, async (same) => {
      signal?.throwIfAborted();
      const judgment = await this.#judge.verdict(at(same, 0).messages, verdictIn[this.#settings.mode]);
      for (const question of same) judgments.set(question, judgment);
    });
    return judgments;
  }

  /** What of the budget does not suffice for so many questions more, each taken to cost what those before did; null: it does. */
  #shortage(
    { judgments, promptTokens, completionTokens, uncounted }: JudgmentCost,
    questions: number,
  ): string | null {
    const { budget, judge } = this.#settings;
    if (uncounted > 0 && (budget.tokens !== null || budget.money !== null)) {
      throw new RewardError(
        "judge_budget: tokens or money are limited, but the endpoint does not count tokens. Limit requests instead.",
      );
    }
    const money =
      (promptTokens * (judge.price?.prompt ?? 0) + completionTokens * (judge.price?.completion ?? 0)) / 1e6;
    const spent = { requests: judgments, tokens: promptTokens + completionTokens, money };
    const growth = judgments === 0 ? 1 : 1 + questions / judgments;
    const short = (["requests", "tokens", "money"] as const).find((what) => {
      const expected = what === "requests" ? judgments + questions : spent[what] * growth;
      return budget[what] !== null && expected > budget[what];
    });
    if (short === undefined) return null;
    return `${short}: ${Number(spent[short].toPrecision(4))} of ${budget[short]} spent, ${questions} judgments more to ask for`;
  }

  #without(input: RewardInput, shortage: string): ScoredCompletions {
    if (this.#settings.onBudgetSpent === "stop") {
      throw new JudgeBudgetError(
        `judge_budget does not suffice for another rollout (${shortage}). Raise it and resume the run; what is judged is kept.`,
      );
    }
    const message = `judge_budget does not suffice (${shortage})`;
    const none = { count: 0, such: "" };
    const unscored = input.completions.map(
      (_, completion): Unscored => ({ completion, reason: "null", message }),
    );
    return {
      functions: [
        {
          name: "judge",
          values: unscored.map(() => null),
          unscored,
          seconds: 0,
          retries: 0,
          noVerdict: none,
        },
      ],
    };
  }

  /**
   * @param count - questions about the whole rollout
   * @param such - the first of those without a verdict, in words
   * @param isRefused - whether the endpoint refused some of the requests
   */
  #checkFailures(
    { failed, count, such }: { failed: number; count: number; such: string },
    isRefused: boolean,
  ): void {
    const { reward_max_failures = 0.5, judge, mode } = this.#settings;
    const { firstRefusal } = this.#judge.counts;
    if (failed <= reward_max_failures * count) return;
    const what = mode === "rating" ? "completions" : "comparisons";
    throw new RewardError(
      `the judge ${judge.model} gave no verdict on ${failed} of ${count} ${what} (reward_max_failures: ${reward_max_failures}), ` +
        `such as ${such}. ` +
        (isRefused ? `The first refusal: ${firstRefusal}` : "Choose a judge that follows its prompt."),
    );
  }
}
