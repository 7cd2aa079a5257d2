/** The built-in reward `json`. */
import { schemaCheck } from "../../config/reward-json-schema.ts";
import type { RewardOptions } from "../../config/reward-specs.ts";
import { type RewardFunction, textOf } from "../reward-function.ts";

/** A Markdown code block that is the whole text. */
const block = /^```(?:json)?[^\S\n]*\n([\s\S]*)\n[^\S\n]*```$/i;

/** 1 where the completion is JSON, by itself or in one Markdown code block, and fits the schema; 0 where not. */
export function jsonReward({ schema }: RewardOptions): RewardFunction {
  const fits = schema === undefined ? null : schemaCheck(schema);
  const score = (text: string): number => {
    try {
      const value: unknown = JSON.parse(block.exec(text)?.[1] ?? text);
      return fits === null || fits.safeParse(value).success ? 1 : 0;
    } catch {
      return 0;
    }
  };
  return ({ completions }) => completions.map((each) => score(textOf(each).trim()));
}
