/** `preftune labels judge`: a model judges the pairs of a workbench, each in both orders; its verdicts are labels of a judge. */
import { join } from "node:path";
import type { PhaseListener } from "../base/phase-listener.ts";
import type { Question } from "../evaluate/answers/questions.ts";
import type { JudgeReport } from "../evaluate/judge/judge.ts";
import { type JudgeSettings, openJudging } from "../evaluate/judge/judging.ts";
import { judgePairs, OWN_PAIR_PROMPT, pairTasks } from "../evaluate/judge/pair-tasks.ts";
import { type PairVerdict, verdictReader } from "../evaluate/judge/verdicts.ts";
import { plainText } from "../text/message-text.ts";
import { type Choice, inputsText } from "../workbench/comparison.ts";
import { type ItemVerdict, type KeptVerdicts, keepVerdicts, unjudgedBy } from "../workbench/judges.ts";
import type { Item, LabelStore } from "../workbench/label-store.ts";

/** What is judged. */
export interface JudgeLabelsOptions extends JudgeSettings {
  /** No more than so many pairs, the first that this judge has not judged; null: all. */
  limit: number | null;
  /** Where the judge's replies are kept. */
  dir: string;
  onPhase?: PhaseListener;
}

/**
 * Lets a model judge pairs that it has not judged.
 *
 * @throws {EndpointError} if the judge gives no answers; those so far are kept, and not paid for again
 */
export async function judgeLabels(
  store: LabelStore,
  options: JudgeLabelsOptions,
): Promise<KeptVerdicts & { judge: JudgeReport }> {
  const { limit, judge: settings, concurrency } = options;
  const items = unjudgedBy(store, settings.model)
    .slice(0, limit ?? Number.POSITIVE_INFINITY)
    .map((id) => store.item(id));
  using judging = openJudging({ ...options, dir: join(options.dir, "judge") }, OWN_PAIR_PROMPT);
  const answersAt = (at: 0 | 1) =>
    new Map(items.map(({ id, comparison }) => [id, [plainText(comparison.answers[at])]]));
  const tasks = pairTasks(items.map(questionOf), answersAt(0), answersAt(1), OWN_PAIR_PROMPT);
  const { pairs } = await judgePairs(tasks, {
    ...{ judge: judging.judge, concurrency, onJudged: judging.onJudged },
    read: verdictReader(OWN_PAIR_PROMPT.patterns, OWN_PAIR_PROMPT.where),
  });
  const verdicts = pairs.map(({ id, verdicts: [first, second] }): ItemVerdict => {
    return { item: id, orders: [choiceOf(first), choiceOf(second)] };
  });
  return { ...keepVerdicts(store, settings.model, verdicts), judge: judging.report() };
}

/** The prompt, behind what the assistant could call: whether a call is right cannot be said without. */
function questionOf({ id, comparison }: Item): Question {
  const inputs = inputsText(comparison);
  const asked = plainText(comparison.prompt);
  const content = inputs === "" ? asked : `<tools>\n${inputs}\n</tools>\n\n${asked}`;
  return {
    ...{ id, isNamed: true, where: `item ${id.slice(0, 12)}`, category: null },
    ...{ messages: [{ role: "user", content }], followUps: [], temperature: null },
  };
}

/** A verdict seen from A, whatever the order. */
function choiceOf(verdict: PairVerdict | null): Choice | null {
  if (verdict === null) return null;
  return verdict === 0 ? "tie" : verdict > 0 ? "a" : "b";
}
