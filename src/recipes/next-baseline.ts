/** What an evaluation is compared with: the run's first one, and what was measured otherwise then begins again from there. */
import type { EvaluationBaseline } from "../runs/evaluation-baseline.ts";
import { storedCount } from "../runs/start-logps.ts";

/**
 * The run's baseline; `now` where it has none yet. Where the prompts or the sampling of the watch changed, its statistics begin with `now`:
 * the samples could not be compared. So does other text, if another is measured, and so do the tokens, where another number of them, or
 * none, was kept.
 *
 * @returns `notes`: what begins again, sentences
 */
export function nextBaseline(
  known: EvaluationBaseline | null,
  now: EvaluationBaseline,
): { baseline: EvaluationBaseline; isNew: boolean; notes: string[] } {
  if (known === null) return { baseline: now, isNew: true, notes: [] };
  const { step, other, tokens, watch } = now;
  const isSameWatch = watch === null || known.watch?.key === watch.key;
  const isSameOther = other === undefined || known.other?.key === other.key;
  const isSameTokens = tokens === undefined || countOf(known) === countOf(now);
  if (isSameWatch && isSameOther && isSameTokens) return { baseline: known, isNew: false, notes: [] };
  const baseline = {
    ...known,
    ...(isSameOther ? {} : { other }),
    ...(isSameTokens ? {} : { tokens, tokens_step: step }),
    watch: isSameWatch ? known.watch : watch,
  };
  const notes = [
    ...(isSameOther
      ? []
      : [
          `other text is ${known.other === undefined ? "measured for the first time" : "another than before"}: its change is measured from step ${step} on`,
        ]),
    ...(isSameTokens
      ? []
      : [
          `of the run's start ${countOf(known)} log-probs of held-out tokens are kept, not ${countOf(now)}: drift and tail are measured from step ${step} on, and what training did before is not judged`,
        ]),
  ];
  return { baseline, isNew: true, notes };
}

function countOf({ tokens }: EvaluationBaseline): number {
  return tokens === undefined ? 0 : storedCount(tokens);
}
