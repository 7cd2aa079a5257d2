/** `preftune labels score`: a model scores both answers of the pairs of a workbench; those it is unsure of can be labelled first. */
import { join } from "node:path";
import { at } from "../base/at.ts";
import { DataError } from "../base/errors.ts";
import { siblingName, uniqueTag } from "../base/file-io.ts";
import { makeDirectory, remove, removeLeftOvers, writeFileAtomic } from "../base/files.ts";
import type { PhaseListener } from "../base/phase-listener.ts";
import { shellWord } from "../base/shell-word.ts";
import type { EnvironmentOptions } from "../forward/environment.ts";
import { withLocalModels } from "../hub/hub-model.ts";
import { plainText } from "../text/message-text.ts";
import type { DataSelection } from "../train/prepare-data.ts";
import { dividedExtra } from "../workbench/comparison.ts";
import { keepMargins } from "../workbench/doubt.ts";
import type { Item, LabelStore } from "../workbench/label-store.ts";
import { score } from "./score.ts";
import { isRewardModel, scoreRewards } from "./score-rewards.ts";

/** What scores, and what it reads. */
export interface ScoreLabelsOptions extends EnvironmentOptions {
  /** A language model or a reward model. */
  model: string;
  adapter?: string | null;
  /** The workbench's directory. */
  dir: string;
  batchSize?: number;
  selection?: Partial<DataSelection>;
  onPhase?: PhaseListener;
}

/** What was scored. */
export interface ScoredLabels {
  scored: number;
  /** Pairs that are longer than the limit, or of which an answer is empty. */
  leftOut: number;
  /** "nats per token" of a language model: margins are differences of mean log-probs; "reward" of a reward model. */
  unit: "nats per token" | "reward";
}

/**
 * Lets a model score every pair.
 *
 * @throws {DataError} if there is no pair that it can score
 */
export async function scoreLabels(store: LabelStore, given: ScoreLabelsOptions): Promise<ScoredLabels> {
  const items = store.order.map((id) => store.item(id)).filter(hasBothAnswers);
  if (items.length === 0) {
    throw new DataError(
      `${given.dir}: expected pairs with two answers, there are no pairs. Add some: preftune labels import ${shellWord(given.dir)} FILE`,
    );
  }
  // what a scoring that was killed left
  removeLeftOvers(given.dir, true);
  const folder = siblingName(join(given.dir, "scoring"), "tmp", uniqueTag());
  try {
    makeDirectory(folder);
    const data = join(folder, "pairs.jsonl");
    writeFileAtomic(data, items.map((item) => `${JSON.stringify(rowOf(item))}\n`).join(""));
    const options = await withLocalModels({ ...given, data });
    const { model, adapter = null } = options;
    const isReward = isRewardModel(model, adapter);
    const scores = isReward
      ? (await scoreRewards(options)).rows.map((row) => ({
          ...{ line: row.line, margin: row["reward/chosen"] - row["reward/rejected"] },
        }))
      : (await score(options)).rows.map((row) => ({
          line: row.line,
          margin:
            row["logps/chosen"] / row["num_tokens/chosen"] -
            (row["logps/rejected"] ?? Number.NaN) / (row["num_tokens/rejected"] ?? Number.NaN),
        }));
    const margins = scores.map(({ line, margin }) => ({ item: at(items, line - 1).id, margin }));
    keepMargins(store, nameOf(given), margins);
    const leftOut = store.order.length - margins.length;
    return { scored: margins.length, leftOut, unit: isReward ? "reward" : "nats per token" };
  } finally {
    remove(folder);
  }
}

function nameOf({ model, adapter = null }: ScoreLabelsOptions): string {
  return adapter === null ? model : `${model} + ${adapter}`;
}

function hasBothAnswers({ comparison: { answers } }: Item): boolean {
  return answers.every((answer) => plainText(answer).trim() !== "");
}

/** The pair as a row as the export has it, "a" in the place of the chosen answer. */
function rowOf({ comparison: { prompt, answers, extra } }: Item): Record<string, unknown> {
  return { prompt, chosen: answers[0], rejected: answers[1], ...dividedExtra(extra).inputs };
}
