/** The metrics of the quick start: what is counted from each model's measurement, and what can be said of them. */
import { at } from "../base/at.ts";
import { distinctN, endedShare } from "../evaluate/diversity/text-statistics.ts";
import { hasRightForm } from "../toy/world.ts";
import type { HeldOutAnswer, Measurement } from "./measure.ts";
import type { StageResult } from "./stage.ts";

/** Metrics of one method. Shares are from 0 to 1, likelihoods in nats per token, all on held-out pairs. */
export interface MethodMetrics {
  name: string;
  /** Pairs whose chosen answer has the higher mean log-probability. */
  accuracy: number;
  /** Accuracy by the objective's own reward at its last evaluation; null for SFT. */
  rewardAccuracy: number | null;
  /** Change against the SFT model; null for that itself. */
  change: LikelihoodChange | null;
  /** Sampled answers. */
  answers: number;
  distinct2: number;
  ended: number;
  /** Ended, numbered, and with the closing line. */
  rightForm: number;
  /** The right answer, letter for letter. */
  right: number;
  seconds: number;
  peakBytes: number;
  steps: number;
}

/** How the likelihood of the pairs' answers moved. */
export interface LikelihoodChange {
  chosen: number;
  rejected: number;
  /** Pairs whose chosen answer became less likely. */
  chosenDown: number;
  /** Of those, the ones whose margin grew all the same; NaN when there are none. */
  marginUpOfDown: number;
}

/**
 * The metrics of one method.
 *
 * @param sft - the measurement of the model all methods start from; null when `result` is that model's own
 * @param right - the right answer of each held-out pair
 */
export function metricsOf(
  name: string,
  result: StageResult,
  sft: Measurement | null,
  right: readonly string[],
): MethodMetrics {
  const { chosen, rejected, answers } = result.measurement;
  const rightOf = ({ pair }: HeldOutAnswer): string => right[pair] ?? "";
  const shareOf = (test: (answer: HeldOutAnswer) => boolean): number =>
    share(answers.map((answer) => answer.stopId !== null && test(answer)));
  return {
    name,
    accuracy: share(chosen.map((value, i) => value > at(rejected, i))),
    rewardAccuracy: result.rewardAccuracy,
    change: sft === null ? null : changeSince(sft, result.measurement),
    answers: answers.length,
    distinct2: distinctN(
      answers.map((answer) => answer.ids),
      2,
    ),
    ended: endedShare(answers),
    rightForm: shareOf((answer) => hasRightForm(answer.text, rightOf(answer))),
    right: shareOf((answer) => answer.text === rightOf(answer)),
    seconds: result.trainSeconds,
    peakBytes: result.peakBytes,
    steps: result.steps,
  };
}

/** How the answers' likelihoods moved from `before` to `now`, pair by pair. */
export function changeSince(before: Measurement, now: Measurement): LikelihoodChange {
  const chosen = now.chosen.map((value, i) => value - at(before.chosen, i));
  const rejected = now.rejected.map((value, i) => value - at(before.rejected, i));
  const marginUp = chosen.map((value, i) => value > at(rejected, i));
  return {
    chosen: mean(chosen),
    rejected: mean(rejected),
    chosenDown: share(chosen.map((value) => value < 0)),
    marginUpOfDown: share(marginUp.filter((_, i) => at(chosen, i) < 0)),
  };
}

/** Sentences on the metrics, computed from them. `sft` is the model the others start from. */
export function sentences(sft: MethodMetrics, others: readonly MethodMetrics[], pairs: number): string[] {
  const said = others.map(displacementSentence).filter((sentence) => sentence !== "");
  said.push(answerSentence(sft, others));
  for (const { name, rewardAccuracy, accuracy } of others) {
    if (rewardAccuracy === null || percent(rewardAccuracy) === percent(accuracy)) continue;
    said.push(`By ${name}'s own reward, its accuracy is ${percent(rewardAccuracy)}.`);
  }
  // 95 % of the differences of two equal shares are smaller, at shares near one half
  const noise = Math.ceil(196 * Math.sqrt(0.5 / pairs));
  said.push(
    `With ${pairs} pairs, shares less than about ${noise} points apart can be chance; ` +
      "training varies on top.",
  );
  return said;
}

function answerSentence(sft: MethodMetrics, others: readonly MethodMetrics[]): string {
  const list = others.map(({ name, right }) => `${name} ${percent(right)}`).join(", ");
  return `Right answers among ${sft.answers} samples of each: SFT ${percent(sft.right)}, ${list}.`;
}

function displacementSentence({ name, change }: MethodMetrics): string {
  if (change === null) return "";
  const { chosenDown, marginUpOfDown } = change;
  const margin = Number.isNaN(marginUpOfDown)
    ? ""
    : `, the margin growing in ${percent(marginUpOfDown)} of these`;
  return `${name}: chosen answers lost likelihood in ${percent(chosenDown)} of the pairs${margin}.`;
}

/** A share in whole per cent; with a decimal where it would round to all or to nothing. */
export function percent(value: number): string {
  if (!Number.isFinite(value)) return "–";
  const isNearlyAllOrNothing = (value > 0.99 && value < 1) || (value > 0 && value < 0.01);
  return `${(100 * value).toFixed(isNearlyAllOrNothing ? 1 : 0)} %`;
}

function share(tests: readonly boolean[]): number {
  return tests.filter((test) => test).length / tests.length;
}

function mean(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}
