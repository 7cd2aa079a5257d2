/** Your own reward functions: `reward_funcs: [rewards.ts#brevity, rewards.ts#threeBullets]` in the configuration of a run. */
import { setTimeout } from "node:timers/promises";
import type { RewardFunction } from "preftune/train";

/** 1 for a completion that ends within 40 tokens, less for each token more. */
export const brevity: RewardFunction = ({ completion_ids }) =>
  completion_ids.map((ids) => Math.min(1, 40 / ids.length));

/** 1 for exactly three bullet points. A prompt that is a conversation gets its completion as messages. */
export const threeBullets: RewardFunction = ({ completions }) =>
  completions.map((completion) => {
    const text =
      typeof completion === "string" ? completion : completion.map(({ content }) => content).join("");
    return text.match(/^[-*] /gm)?.length === 3 ? 1 : 0;
  });

/** Brevity by something that takes as long as a judge: 2 s an answer, 8 answers at once. */
export const slowBrevity: RewardFunction = async (rollout) => {
  await setTimeout(2000 * Math.ceil(rollout.completions.length / 8));
  return brevity(rollout);
};

/** 1 where a word of the row's column `keywords` occurs; rows without keywords are not scored. */
export const keywords: RewardFunction = ({ completions, columns }) =>
  completions.map((completion, i) => {
    const words = columns["keywords"]?.[i];
    if (!Array.isArray(words)) return null;
    return words.some((word) => JSON.stringify(completion).includes(String(word))) ? 1 : 0;
  });
