/** What is looked at in rows of one answer: whether both labels are there, how many of each, and whether they contradict each other. */
import type { Example } from "./example.ts";
import type { FindingList } from "./findings.ts";
import { rowKeyOf } from "./fingerprint.ts";
import type { LabelCounts, LabelWeights } from "./labels.ts";

/** Good answers should count 1 to 4/3 times what bad ones count: arXiv 2402.01306, Section 4.2, Eq. (9). */
const mostRatio = 4 / 3;
/** The same as TRL writes it. */
const printed = 1.33;

/**
 * Adds the findings about the labels of `examples`, training rows and held-out ones.
 *
 * @param weights - what good and bad answers count; null: unknown
 */
export function checkLabels(
  examples: readonly Example[],
  { train, evaluation }: { train: LabelCounts; evaluation: LabelCounts },
  weights: LabelWeights | null,
  findings: FindingList,
): void {
  checkContradictions(examples, findings);
  const { good, bad } = train;
  if (good + bad > 0 && (good === 0 || bad === 0)) {
    const which = good === 0 ? `all ${bad} training rows are bad` : `all ${good} training rows are good`;
    findings.addOverall("one_label", "error", 1, `: ${which}`);
    return;
  }
  if (evaluation.good + evaluation.bad > 0 && (evaluation.good === 0 || evaluation.bad === 0))
    findings.addOverall("one_label_held_out", "warning", 1, "");
  if (weights === null || good === 0) return;
  const ratio = (weights.desirable_weight * good) / (weights.undesirable_weight * bad);
  if (ratio >= 1 && ratio <= mostRatio) return;
  findings.addOverall("labels_unbalanced", "warning", 1, `: ${advice(train, weights, ratio)}`);
}

function advice({ good, bad }: LabelCounts, weights: LabelWeights, ratio: number): string {
  const range = (low: number, high: number): string => `${low.toFixed(2)} to ${high.toFixed(2)}`;
  const desirable = (weights.undesirable_weight * bad) / good;
  const undesirable = (weights.desirable_weight * good) / bad;
  return (
    `${good} good and ${bad} bad training rows, which count ${ratio.toFixed(2)} to 1 and should 1 to ${printed}: ` +
    `desirable_weight ${range(desirable, desirable * printed)}, or undesirable_weight ${range(undesirable / printed, undesirable)}`
  );
}

/** An answer to a prompt that is good in one row and bad in another. */
function checkContradictions(examples: readonly Example[], findings: FindingList): void {
  const seen = new Map<string, boolean | undefined>();
  for (const example of examples) {
    const key = rowKeyOf(example);
    const before = seen.get(key);
    if (before === undefined) seen.set(key, example.label);
    else if (before !== example.label) findings.add("labels_contradict", "warning", example.origin);
  }
}
