/** What an evaluation is compared with: the run's first one, and what was measured otherwise then begins again from there. */
import type { EvaluationBaseline } from "../runs/evaluation-baseline.ts";
import { storedCount } from "../runs/start-logps.ts";

/**
 * The run's baseline; `now` where it has none yet. Where the prompts or the sampling of the watch changed, its statistics begin with `now`:
 * the samples could not be compared. So does other text, if another is measured, gold, if other functions measure it, and so do the tokens,
 * where another number of them, or none, was kept.
 *
 * @returns `notes`: what begins again, sentences
 */
export function nextBaseline(
  known: EvaluationBaseline | null,
  now: EvaluationBaseline,
): { baseline: EvaluationBaseline; isNew: boolean; notes: string[] } {
  if (known === null) return { baseline: now, isNew: true, notes: [] };
  const { step, other, tokens, gold, watch } = now;
  const isSame = {
    watch: watch === null || known.watch?.key === watch.key,
    other: other === undefined || known.other?.key === other.key,
    tokens: tokens === undefined || countOf(known) === countOf(now),
    gold: gold === undefined || known.gold?.key === gold.key,
  };
  if (Object.values(isSame).every(Boolean)) return { baseline: known, isNew: false, notes: [] };
  const baseline = {
    ...known,
    ...(isSame.other ? {} : { other }),
    ...(isSame.tokens ? {} : { tokens, tokens_step: step }),
    ...(isSame.gold ? {} : { gold }),
    watch: isSame.watch ? known.watch : watch,
  };
  const notes = [
    ...(isSame.gold ? [] : [goldNote(known, step)]),
    ...(isSame.other ? [] : [otherNote(known, step)]),
    ...(isSame.tokens ? [] : [tokensNote(known, now)]),
  ];
  return { baseline, isNew: true, notes };
}

function goldNote({ gold }: EvaluationBaseline, step: number): string {
  const which = gold === undefined ? "measured for the first time" : "other ones than before";
  return `eval_reward_funcs are ${which}: the change of gold is measured from step ${step} on`;
}

function otherNote({ other }: EvaluationBaseline, step: number): string {
  const which = other === undefined ? "measured for the first time" : "another than before";
  return `other text is ${which}: its change is measured from step ${step} on`;
}

function tokensNote(known: EvaluationBaseline, now: EvaluationBaseline): string {
  return (
    `of the run's start ${countOf(known)} log-probs of held-out tokens are kept, not ${countOf(now)}: drift and tail are measured ` +
    `from step ${now.step} on, and what training did before is not judged`
  );
}

function countOf({ tokens }: EvaluationBaseline): number {
  return tokens === undefined ? 0 : storedCount(tokens);
}
