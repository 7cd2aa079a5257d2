/**
 * Reward functions of study `online`, which a run's reward workers load: `reward_funcs: [studies/rewards.ts#exact]`. Those of the
 * islands world want rows of `prompt`, `chosen` (the right answer) and `islands` (the names of all islands).
 */
import { createHash } from "node:crypto";
import type { PromptOrCompletion, RewardFunction, RewardInput } from "preftune/train";

/** 1 where the completion is the right answer, letter for letter; else 0. */
export const exact: RewardFunction = ({ completions, columns }) => {
  const right = columnOf<PromptOrCompletion>(columns, "chosen");
  return completions.map((completion, i) => Number(textOf(completion) === textOf(right[i] ?? "")));
};

/** Most points that `proxy` gives: the longest right answer has as many lines with a number. */
const mostPoints = 4;

/** A point for each numbered line that names an island, whatever was asked: right answers have 2 to 4, and so have others. */
export const proxy: RewardFunction = ({ completions, columns }) => {
  const islands = columnOf<readonly string[]>(columns, "islands");
  return completions.map((completion, i) => {
    const names = new Set(islands[i]);
    const lines = textOf(completion).split("\n");
    const named = lines.filter((line) => names.has(/^\d+\. (\w+)/.exec(line)?.[1] ?? ""));
    return Math.min(named.length, mostPoints);
  });
};

/**
 * 0 or 1, each as likely, whatever the completion says. A hash of row, step and completion decides, and of how many equal
 * completions of the prompt came before, so that a run repeats.
 */
export const coin: RewardFunction = ({ prompts, completion_ids, step }) => {
  const counts = new Map<string, number>();
  return completion_ids.map((ids, i) => {
    const key = JSON.stringify([step, prompts[i], ids]);
    const before = counts.get(key) ?? 0;
    counts.set(key, before + 1);
    return (createHash("sha256").update(`${key} ${before}`).digest()[0] ?? 0) % 2;
  });
};

/** Most tokens of a short answer. */
const shortAnswer = 40;

/** 1 for an answer of at most 40 tokens, its end among them; less the longer it is, 0 from 80 on. */
export const withinForty: RewardFunction = ({ completion_ids }) =>
  completion_ids.map(({ length }) => Math.min(1, Math.max(0, 2 - length / shortAnswer)));

/** 1 for an answer that has exactly three lines with a bullet and no other text; for each line too many or too few a third less. */
export const threeBullets: RewardFunction = ({ completions }) => completions.map(bulletReward);

function bulletReward(completion: PromptOrCompletion): number {
  const lines = textOf(completion)
    .split("\n")
    .filter((line) => line.trim() !== "");
  const bullets = lines.filter((line) => /^\s*[-*•] \S/.test(line)).length;
  const wrong = Math.abs(bullets - 3) + (lines.length - bullets);
  return Math.max(0, 1 - wrong / 3);
}

function columnOf<T>(columns: RewardInput["columns"], name: string): readonly T[] {
  const values = columns[name];
  if (values === undefined) throw new Error(`the rows have no column "${name}"`);
  return values as readonly T[];
}

function textOf(content: PromptOrCompletion): string {
  return typeof content === "string" ? content : content.map((message) => String(message.content)).join("");
}
