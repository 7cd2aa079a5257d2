/** An objective over pairs on the model's own answers: pairs within groups by reward, and what holds it near the start. */
import { at } from "../../base/at.ts";
import { onDevice, ops, type Tensor, tensor } from "../../torch/index.ts";
import { mean, rewardMetrics } from "../advantages.ts";
import { klOfCompletion } from "../kl-estimators.ts";
import {
  type BatchCounts,
  type CompletionLogps,
  type CompletionNumbers,
  type CompletionObjective,
  type Metric,
  meanOf,
  needsReference,
  type ObjectiveResult,
  type PairLogps,
  type PairObjective,
  type StepTotals,
  sumByCompletion,
} from "../objective.ts";
import { byToken, columnOf, klEstimates, logRatio, safeLengths } from "../policy-ratio.ts";
import { type PreparedRollout, type RolloutColumns, referenceOf, type ScoredRollout } from "../rollout.ts";
import { type IndexPair, pairsOf } from "./pairs.ts";
import { klEstimatorOf, type PairingOptions } from "./settings.ts";

/**
 * `objective` on pairs of a rollout's completions, made within each group from the column `rewards`:
 *
 *   L = Σ_g (1/n_g) Σ_{(w,l) ∈ P_g} (1/|P_g|) L(w, l)  +  kl_coef (1/T) Σ_t k_t  −  c (1/N_r) Σ_{replayed} l_r
 *
 * Of the optimiser step: n_g groups that have pairs, T tokens of own completions, N_r replayed completions. Where the objective
 * divides by tokens it counts those of all pairs, a completion's as often as it is in one. k_t is k1, k2 or r_t k3; c is the
 * objective's `lambda_w`, else `replay_coef`.
 *
 * A group of one completion with `replay` 1 is a row's good answer and no own one: it is anchored and has no KL. Whole groups
 * must be in a micro-batch. Masked completions, which have no tokens, are in no pair.
 *
 * Columns: `rewards`, NaN for what is in no pair; `anchored`, with `anchor_on` positive; `replay`, left out where nothing is
 * replayed; with a KL in the loss `referenceTokenLogps` and `oldLogps`; what the objective needs.
 */
export function onRollouts(objective: PairObjective, options: PairingOptions): CompletionObjective {
  const hasKl = options.kl_coef > 0 && options.kl_in === "loss";
  return {
    name: objective.name,
    over: "groups",
    usesReference: options.kl_coef > 0 && !hasKl,
    needsWholeMicroBatch: objective.needsWholeMicroBatch ?? false,
    takesLogSquares: objective.takesLogSquares ?? false,
    columns: {
      ...objective.columns,
      rewards: "completion",
      ...(options.anchor_on === "positive" ? { anchored: "completion" } : {}),
      replay: "completion?",
      ...(hasKl ? { referenceTokenLogps: "token", oldLogps: "token?" } : {}),
    },
    counts: (batch) => ({ ...counted(batch, pairsIn(batch, options)) }),
    evaluate: (completions, totals) => evaluate(objective, completions, totals, options),
    prepare: (rollout) => prepare(rollout, objective, options),
    // the rest of a group with pairs stays with it, as pairs need whole groups
    ...(hasKl || objective.needsWholeMicroBatch === true
      ? {}
      : { withoutGradient: (columns, sizes) => withoutPairs(columns, sizes, options) }),
  };
}

/** (N) Whether a completion is of a group without pairs, and not anchored as a replayed one is. */
function withoutPairs(
  { rewards = [], replay }: RolloutColumns,
  groupSizes: readonly number[],
  options: PairingOptions,
): boolean[] {
  const pairs = pairsOf(rewards as readonly number[], groupSizes, options);
  const isWithout = groupSizes.flatMap((size, g) => new Array<boolean>(size).fill(at(pairs, g).length === 0));
  return isWithout.map((is, i) => is && replay?.[i] !== 1);
}

/** The normalisers of a micro-batch or a step. */
interface PairCounts extends Record<string, number> {
  pairGroups: number;
  pairs: number;
  chosenTokens: number;
  rejectedTokens: number;
  ownTokens: number;
  replayed: number;
}

const isReplayed = ({ columns }: CompletionNumbers, i: number): boolean => columns["replay"]?.[i] === 1;

/** The pairs of each group. */
function pairsIn(batch: CompletionNumbers, options: PairingOptions): IndexPair[][] {
  const rewards = batch.lengths.map((length, i) =>
    length === 0 || isReplayed(batch, i) ? Number.NaN : (batch.columns["rewards"]?.[i] ?? Number.NaN),
  );
  return pairsOf(rewards, batch.groupSizes, options);
}

function counted(batch: CompletionNumbers, pairs: readonly IndexPair[][]): PairCounts {
  const { lengths } = batch;
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  const flat = pairs.flat();
  return {
    pairGroups: pairs.filter((ofGroup) => ofGroup.length > 0).length,
    pairs: flat.length,
    chosenTokens: sum(flat.map(([chosen]) => at(lengths, chosen))),
    rejectedTokens: sum(flat.map(([, rejected]) => at(lengths, rejected))),
    ownTokens: sum(lengths.filter((_, i) => !isReplayed(batch, i))),
    replayed: lengths.filter((_, i) => isReplayed(batch, i)).length,
  };
}

/** As an objective over pairs is given counts. */
function asBatch({ pairGroups, pairs, chosenTokens, rejectedTokens }: PairCounts): BatchCounts {
  return {
    groups: pairGroups,
    completions: 2 * pairs,
    tokens: chosenTokens + rejectedTokens,
    tokensByRole: { chosen: chosenTokens, rejected: rejectedTokens, completion: 0 },
  };
}

function evaluate(
  objective: PairObjective,
  completions: CompletionLogps,
  totals: StepTotals,
  options: PairingOptions,
): ObjectiveResult {
  const numbers = numbersOf(completions);
  const pairs = pairsIn(numbers, options);
  const micro = counted(numbers, pairs);
  const step = totals.counted as PairCounts;
  const parts: ObjectiveResult[] = [];
  if (micro.pairs > 0) {
    const given = { ...asBatch(step), micro: asBatch(micro) };
    parts.push(objective.evaluate(pairLogpsOf(completions, pairs), given));
  }
  if (options.kl_coef > 0 && options.kl_in === "loss") {
    parts.push(klPart(completions, options, { step: step.ownTokens, micro: micro.ownTokens }));
  }
  if (micro.replayed > 0) {
    const weight = objective.lambda_w ?? options.replay_coef;
    parts.push(replayPart(completions, weight, { step: step.replayed, micro: micro.replayed }));
  }
  // of no tokens: 0, which the gradient still reaches
  const nothing = ops.sum(ops.slice(completions.logps, 0, 0, 0));
  return {
    loss: parts.reduce((sum, { loss }) => ops.add(sum, loss), nothing),
    metrics: Object.assign({}, ...parts.map(({ metrics }) => metrics)),
  };
}

/** What pairs depend on, read back from the device. */
function numbersOf({ groupSizes, lengths, columns }: CompletionLogps): CompletionNumbers {
  const picked = ["rewards", "replay"].flatMap((name) => {
    const column = columns[name];
    return column === undefined ? [] : [[name, column.toNumbers()]];
  });
  return { groupSizes, lengths: lengths.toNumbers(), columns: Object.fromEntries(picked) };
}

/** The paired view: completions are in as many pairs as they are in. */
function pairLogpsOf(completions: CompletionLogps, groups: readonly IndexPair[][]): PairLogps {
  const { logps, lengths, columns } = completions;
  const pairs = groups.flat();
  const like = (values: readonly number[]): Tensor =>
    onDevice(tensor(Float64Array.from(values)), logps.device, logps.dtype);
  const index = (which: 0 | 1): Tensor =>
    onDevice(
      tensor(
        pairs.map((pair) => pair[which]),
        [pairs.length],
        { dtype: "int64" },
      ),
      logps.device,
      "int64",
    );
  const [chosen, rejected] = [index(0), index(1)];
  const both = (values: Tensor) =>
    [ops.indexSelect(values, 0, chosen), ops.indexSelect(values, 0, rejected)] as const;
  const sums = sumByCompletion(logps, completions);
  const [chosenLogps, rejectedLogps] = both(sums);
  const [chosenMeanLogps, rejectedMeanLogps] = both(ops.div(sums, safeLengths(completions)));
  const [chosenLengths, rejectedLengths] = both(lengths);
  const { referenceLogps, anchored } = columns;
  const reference = referenceLogps === undefined ? null : both(referenceLogps);
  const { logSquares = null } = completions;
  const squares = logSquares === null ? null : both(sumByCompletion(logSquares, completions));
  const timesRejected = new Array<number>(lengths.numel).fill(0);
  for (const [, i] of pairs) timesRejected[i] = at(timesRejected, i) + 1;
  return {
    ...{ chosenLogps, rejectedLogps, chosenMeanLogps, rejectedMeanLogps, chosenLengths, rejectedLengths },
    tokenLogps: logps,
    rejectedTokens: byToken(like(timesRejected), completions),
    referenceChosenLogps: reference?.[0] ?? null,
    referenceRejectedLogps: reference?.[1] ?? null,
    chosenLogSquares: squares?.[0] ?? null,
    rejectedLogSquares: squares?.[1] ?? null,
    promptLogps: null,
    weights: like(groups.flatMap((ofGroup) => ofGroup.map(() => 1 / ofGroup.length))),
    anchored: anchored === undefined ? null : ops.indexSelect(anchored, 0, chosen),
    start: null,
    anchorWeights: null,
  };
}

/** How many there are in the step and in the micro-batch. */
interface Both {
  step: number;
  micro: number;
}

function klPart(completions: CompletionLogps, options: PairingOptions, tokens: Both): ObjectiveResult {
  const estimator = klEstimatorOf(options);
  const own = withoutReplayed(completions);
  const plain = klEstimates(estimator, own.logps, columnOf(own, "referenceTokenLogps"));
  const kl = estimator === "k3" ? ops.mul(plain, ops.exp(logRatio(own))) : plain;
  return {
    loss: ops.mul(ops.sum(kl), options.kl_coef / Math.max(1, tokens.step)),
    metrics: tokens.micro === 0 ? {} : { kl: meanOf(kl, tokens.micro) },
  };
}

/** With 0 for each log-prob of replayed tokens, so that every estimate of their KL is 0, and no exponential overflows. */
function withoutReplayed(completions: CompletionLogps): CompletionLogps {
  const { logps, columns } = completions;
  const { replay, referenceTokenLogps, oldLogps } = columns;
  if (replay === undefined) return completions;
  const isReplayed = ops.gt(byToken(replay, completions), 0);
  const filled = (values: Tensor) => ops.maskedFill(values, isReplayed, 0);
  return {
    ...completions,
    logps: filled(logps),
    columns: {
      ...columns,
      ...(referenceTokenLogps === undefined ? {} : { referenceTokenLogps: filled(referenceTokenLogps) }),
      ...(oldLogps === undefined ? {} : { oldLogps: filled(oldLogps) }),
    },
  };
}

function replayPart(completions: CompletionLogps, weight: number, replayed: Both): ObjectiveResult {
  const means = ops.div(sumByCompletion(completions.logps, completions), safeLengths(completions));
  const ofReplayed = ops.mul(means, columnOf(completions, "replay"));
  const metric: Metric = meanOf(ofReplayed, replayed.micro);
  return {
    loss: ops.mul(ops.sum(ofReplayed), -weight / replayed.step),
    metrics: { "logps/replay_mean": metric },
  };
}

function prepare(rollout: ScoredRollout, objective: PairObjective, options: PairingOptions): PreparedRollout {
  const { rewards, groupSizes, policyLogps = rollout.samplerLogps, masked = [] } = rollout;
  const { kl_coef, kl_in, anchor_on, anchor_threshold } = options;
  const references = kl_coef > 0 ? referenceOf(rollout, "kl_coef") : null;
  const kls =
    references === null || kl_in === "loss"
      ? null
      : policyLogps.map((logps, i) => klOfCompletion(klEstimatorOf(options), logps, at(references, i)));
  // float32, which every device compares alike
  const paired = rewards.map((reward, i) =>
    masked[i] === true ? Number.NaN : Math.fround(kls === null ? reward : reward - kl_coef * at(kls, i)),
  );
  const pairs = pairsOf(paired, groupSizes, options).filter((ofGroup) => ofGroup.length > 0);
  const flat = pairs.flat();
  const gaps = flat.map(([chosen, rejected]) => at(rewards, chosen) - at(rewards, rejected));
  const ofPairs = { "pairs/per_group": flat.length / pairs.length, "objective/scores_margin": mean(gaps) };
  const tokens = policyLogps.reduce((sum, { length }) => sum + length, 0);
  return {
    columns: {
      rewards: paired,
      ...(anchor_on === "positive" ? { anchored: rewards.map((r) => (r > anchor_threshold ? 1 : 0)) } : {}),
      ...(references === null || kl_in === "reward" ? {} : { referenceTokenLogps: references }),
      ...(needsReference(objective) ? { referenceLogps: referenceSums(rollout, objective.name) } : {}),
    },
    metrics: {
      ...rewardMetrics(rollout),
      "pairs/frac_groups": pairs.length / groupSizes.length,
      ...(pairs.length === 0 ? {} : ofPairs),
      ...(kls === null ? {} : { kl: kls.reduce((sum, kl) => sum + kl, 0) / tokens }),
    },
  };
}

function referenceSums(rollout: ScoredRollout, name: string): number[] {
  return referenceOf(rollout, name).map((logps) => logps.reduce((sum, logp) => sum + logp, 0));
}
