/** Rollouts on a terminal: how far one is, and some of its completions. The text is a model's: hostile. */
import { formatNumber } from "../base/number-text.ts";
import { printable } from "../base/terminal-text.ts";
import type { RolloutRow, TrainWork } from "../runs/train-events.ts";

/** Completions that are printed of a rollout, and characters of each. */
const most = { completions: 3, characters: 300 };

/** What is done before a step. */
export function beforeStep({ at, done, total }: TrainWork): string {
  if (at === "scoring") return `scoring ${done}/${total} prompts`;
  return `sampling, ${formatNumber(done)} of at most ${formatNumber(total)} tokens`;
}

/** Some completions of a rollout, each of another prompt, with what they were given: a line each. */
export function completionTexts(rows: readonly RolloutRow[]): string[] {
  const firsts = [...Map.groupBy(rows, ({ group }) => group).values()].flatMap(([first]) => first ?? []);
  return firsts.slice(0, most.completions).map(({ row, completion, reward, rewards, ended }) => {
    const parts = Object.entries(rewards);
    const each = parts.map(([name, value]) => `${name} ${shownReward(value)}`).join(", ");
    const given = `reward ${shownReward(reward)}${parts.length > 1 ? ` (${each})` : ""}`;
    return `${row}, ${given}${ended ? "" : ", cut"}: ${quoted(completion)}`;
  });
}

function shownReward(value: number | null): string {
  return value === null ? "none" : formatNumber(value);
}

/** The text in quotes, cut, harmless. */
function quoted(text: string): string {
  const points = [...text];
  const shown = points.slice(0, most.characters).join("");
  const rest = points.length - most.characters;
  const escaped = printable(JSON.stringify(shown));
  return rest > 0 ? `${escaped}… (${rest} more characters)` : escaped;
}
