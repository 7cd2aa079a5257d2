/** Figures about tokenised rows: lengths, totals, and how far length alone predicts the chosen answer. */
import type { Example } from "./example.ts";
import { countedTokens, packedTokens } from "./packing.ts";

/** Token counts: least, mean, 95th percentile (nearest rank), most. */
export interface LengthSummary {
  min: number;
  mean: number;
  p95: number;
  max: number;
}

/** Figures of one split. */
export interface TokenStatistics {
  rows: number;
  prompt: LengthSummary;
  /** The chosen answers, or for supervised rows the answers. */
  chosen: LengthSummary;
  /** Null when no row has a rejected answer. */
  rejected: LengthSummary | null;
  /** Prompts and answers, prompts once. */
  totalTokens: number;
  /** Input tokens with shared prompts. */
  packedTokens: number;
  /** Answer tokens that count in the loss. */
  lossTokens: number;
}

/** How far length alone predicts the chosen answer. */
export interface LengthBias {
  pairs: number;
  /** Fraction of training pairs whose chosen answer has more tokens. */
  chosenLonger: number;
  /** Fraction of training pairs of equal length. */
  ties: number;
  /** What the predictor learned from the training pairs. */
  predictor: "longer" | "shorter";
  /**
   * Fraction of pairs that the predictor gets right, ties as half: of the evaluation pairs, or, where there are none,
   * of each half of the training pairs with what the other half teaches.
   */
  heldOutAccuracy: number;
  /** Pairs it was measured on. */
  measuredPairs: number;
  /** True when these are evaluation pairs. */
  isOnEvaluation: boolean;
}

/** The figures of `examples`; lengths are 0 when there are none. */
export function tokenStatistics(examples: readonly Example[]): TokenStatistics {
  const prompts = examples.map(({ promptIds }) => promptIds.length);
  const answers = (index: number): number[] =>
    examples.flatMap(({ completions }) => completions.slice(index, index + 1).map(({ ids }) => ids.length));
  const rejected = answers(1);
  return {
    rows: examples.length,
    prompt: summarise(prompts),
    chosen: summarise(answers(0)),
    rejected: rejected.length === 0 ? null : summarise(rejected),
    totalTokens:
      sum(prompts) + sum(examples.flatMap(({ completions }) => completions.map(({ ids }) => ids.length))),
    packedTokens: sum(examples.map((example) => packedTokens(example))),
    lossTokens: sum(examples.flatMap(({ completions }) => completions.map(countedTokens))),
  };
}

/** Length bias of the training pairs, or null when no row is a pair. */
export function lengthBias(train: readonly Example[], evaluation: readonly Example[]): LengthBias | null {
  const learned = differences(train);
  if (learned.length === 0) return null;
  const heldOut = differences(evaluation);
  const predictor = learnPredictor(learned);
  const halves = [0, 1].map((half) => learned.filter((_, i) => i % 2 === half));
  const crossed = halves.map((half, i) => accuracy(half, learnPredictor(halves[1 - i] ?? [])) * half.length);
  return {
    pairs: learned.length,
    chosenLonger: learned.filter((d) => d > 0).length / learned.length,
    ties: learned.filter((d) => d === 0).length / learned.length,
    predictor,
    heldOutAccuracy: heldOut.length > 0 ? accuracy(heldOut, predictor) : sum(crossed) / learned.length,
    measuredPairs: heldOut.length > 0 ? heldOut.length : learned.length,
    isOnEvaluation: heldOut.length > 0,
  };
}

/** Chosen minus rejected length of each pair, in tokens that count in the loss. */
function differences(examples: readonly Example[]): number[] {
  return examples.flatMap(({ completions: [chosen, rejected] }) =>
    chosen === undefined || rejected === undefined ? [] : [countedTokens(chosen) - countedTokens(rejected)],
  );
}

function learnPredictor(pairs: readonly number[]): "longer" | "shorter" {
  return sum(pairs.map(Math.sign)) >= 0 ? "longer" : "shorter";
}

/** Fraction of pairs the predictor gets right, ties as half; 0 for no pairs. */
function accuracy(pairs: readonly number[], predictor: "longer" | "shorter"): number {
  const sign = predictor === "longer" ? 1 : -1;
  return pairs.length === 0 ? 0 : sum(pairs.map((d) => (Math.sign(d) * sign + 1) / 2)) / pairs.length;
}

function summarise(lengths: readonly number[]): LengthSummary {
  const sorted = [...lengths].sort((a, b) => a - b);
  const rank = Math.max(0, Math.ceil(0.95 * sorted.length) - 1);
  return {
    min: sorted[0] ?? 0,
    mean: sorted.length === 0 ? 0 : sum(sorted) / sorted.length,
    p95: sorted[rank] ?? 0,
    max: sorted.at(-1) ?? 0,
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
