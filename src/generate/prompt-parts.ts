/** Prompts under way in an engine: what they have in common, what is reported of their tokens, and the first tokens of their answers. */
import { at } from "../base/at.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { pageTokens } from "../nn/cache-pages.ts";
import type { KVCache } from "../nn/kv-cache.ts";
import { isGpu, noGrad, type Tensor } from "../torch/index.ts";
import type { Choice, ChoiceRow } from "./choice.ts";
import { chooseTokens, notFinite } from "./choose.ts";
import type { TokenDecoder } from "./completion-text.ts";
import { followingLogprobs, logitsAfter, type NewIds } from "./forward.ts";
import type { TokenChoice } from "./request.ts";
import type { EngineRequest } from "./running.ts";

/** A longer prompt is computed in parts of so many tokens, whole pages, so that nothing waits for all of it. */
const partTokens = 256;

/** Prompt tokens computed between two tokens of the running answers: a GPU takes thousands in little more time than hundreds. */
export function stepTokens(device: string): number {
  return isGpu(device) ? 4096 : 512;
}

/** The next tokens of a prompt, from its `first`-th on. */
export interface PromptPart extends NewIds {
  job: EngineRequest;
  first: number;
}

/** Tokens of the next part of a prompt; all that are left where the cache takes no parts. */
export function partSize({ computed, request }: EngineRequest, { takesParts }: KVCache): number {
  const left = request.promptIds.length - computed;
  return takesParts ? Math.min(left, partTokens) : left;
}

/** Whether `job` finds a page or more of its prompt in the cache once that of `other` is computed, and not before. */
export function waitsFor(job: EngineRequest, other: EngineRequest): boolean {
  if (other.model !== job.model) return false;
  const { promptIds } = job.request;
  const differs = promptIds.findIndex((id, i) => id !== other.request.promptIds[i]);
  return (differs < 0 ? promptIds.length : differs) - other.cached >= pageTokens;
}

/**
 * Log-probs of a prompt's tokens as far as they are known with `hidden` (T, D) of those from `first` on: up to the one after them.
 *
 * @throws {FormatError} if one is not finite
 * @param tokenizer - says which tokens are special; null where only tokens matter
 */
export function promptChoices(
  { request, computed, model }: EngineRequest,
  first: number,
  hidden: Tensor,
  tokenizer: TokenDecoder | null,
): TokenChoice[] {
  const { promptIds, promptLogprobs: alternatives = null } = request;
  const following = promptIds.slice(first + 1, computed + 1);
  const choices = noGrad(() =>
    followingLogprobs(model, hidden, following, { alternatives: alternatives ?? 0 }),
  );
  if (choices.some(({ logprob }) => !Number.isFinite(logprob))) throw notFinite();
  const beginning = promptIds.findIndex((id) => tokenizer?.isSpecial(id) !== true);
  const tokens = choices.map(
    (choice, i): TokenChoice => ({ ...choice, isFirst: first + 1 + i === beginning }),
  );
  if (first > 0) return tokens;
  return [{ id: at(promptIds, 0), logprob: null, top: [], isFirst: beginning === 0 }, ...tokens];
}

/** Draws the first token of each answer to some prompts, whose last tokens are at `last` in `hidden` (T, D); null: see `chooseTokens`. */
export function firstChoices(
  model: CausalLM,
  hidden: Tensor,
  prompts: readonly { job: EngineRequest; last: number }[],
): Map<EngineRequest, Choice[] | null> {
  if (prompts.length === 0) return new Map();
  const lasts = prompts.map(({ last }) => last);
  const rows = prompts.map(({ job: { request, answers } }): ChoiceRow => {
    const randoms = answers.map(({ random }) => random);
    return { sampling: request, seen: answers[0]?.seen ?? new Set(), randoms };
  });
  const logits = noGrad(() => logitsAfter(model, hidden, lasts));
  const choices = chooseTokens(logits, rows);
  return new Map(prompts.map(({ job }, i) => [job, at(choices, i)]));
}
