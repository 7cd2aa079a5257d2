/** Room for prompts with their completions: in the model that samples them, and in those that give them rewards and values. */
import { ConfigError } from "../base/errors.ts";
import { describeOrigin, type Example, promptOf } from "../data/example.ts";
import { isAdapter } from "../formats/adapter.ts";
import { readModelConfig } from "../formats/hf-config.ts";
import { contextLength } from "../formats/model-config.ts";
import { baseOf } from "./reward-model.ts";

/** The longest text that a model takes. */
export interface ModelRoom {
  /** As a message names it: "the model". */
  what: string;
  tokens: number;
}

/** That of the reward model in `dir`. */
export function rewardModelRoom(dir: string): ModelRoom {
  const config = readModelConfig(isAdapter(dir) ? baseOf(dir) : dir);
  return { what: `reward_model ${dir}`, tokens: contextLength(config) };
}

/** @throws {ConfigError} naming the first prompt after which a completion may not fit into one of the models */
export function requireRoom(
  prompts: readonly Example[],
  max_completion_length: number,
  rooms: readonly ModelRoom[],
): void {
  const least = Math.min(...rooms.map(({ tokens }) => tokens));
  const full = prompts.find((prompt) => promptOf(prompt).length + max_completion_length > least);
  const tightest = rooms.find(({ tokens }) => tokens === least);
  if (full === undefined || tightest === undefined) return;
  const { length } = promptOf(full);
  throw new ConfigError(
    `${describeOrigin(full.origin)}: the prompt has ${length} tokens, and max_completion_length allows ${max_completion_length} ` +
      `more; ${tightest.what} was made for ${least} in all. Set max_completion_length to at most ${Math.max(1, least - length)}, ` +
      "or leave the row out.",
  );
}
