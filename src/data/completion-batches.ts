/** Completions of prompts as batches of examples, cut by their tokens: what a pass holds does not grow with their number. */
import type { Example } from "./example.ts";

/** A prompt's tokens, and those of its completions, end tokens included. */
export interface CompletionGroup {
  promptIds: readonly number[];
  completions: readonly (readonly number[])[];
}

/** Tokens of a batch unless set otherwise. */
export const usualTokensAtOnce = 4096;

/**
 * The completions in the order of the groups and in them. A prompt stands before its completions once in each batch that has some.
 *
 * @param most - tokens of a batch; a text that has more is alone in one
 * @param file - names them in messages
 */
export function completionBatches(
  groups: readonly CompletionGroup[],
  most: number,
  file: string,
): Example[][] {
  const batches: Example[][] = [];
  let tokens = Number.POSITIVE_INFINITY;
  for (const [i, { promptIds, completions }] of groups.entries()) {
    let part: Example | null = null;
    for (const ids of completions) {
      if (part === null || tokens + ids.length > most) {
        if (tokens + promptIds.length + ids.length > most) {
          batches.push([]);
          tokens = 0;
        }
        part = { origin: { file, line: i + 1 }, promptIds: [...promptIds], completions: [] };
        batches.at(-1)?.push(part);
        tokens += promptIds.length;
      }
      part.completions.push({ ids: [...ids] });
      tokens += ids.length;
    }
  }
  return batches;
}
