/** Token ids of plain text: prompts with answers, and running text for language modelling. */
import { DataError } from "../base/errors.ts";
import { splitAtBoundary } from "./boundary.ts";
import {
  EmptyAnswerError,
  type EncodedRow,
  type EncodeNote,
  type PlainRow,
  type TextRow,
} from "./source-rows.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { toEnd } from "./tokenizers/steps.ts";

/**
 * A prompt and its answers: prompt and answer are tokenised together, and the prompt ends where all of them part from
 * the prompt alone. The tokenizer's own BOS stands in front once, and `eosId` ends every answer once.
 *
 * @throws DataError when nothing is left of the prompt
 */
export function encodeText(row: TextRow, tokenizer: Tokenizer, eosId: number): EncodedRow {
  const notes = new Set<EncodeNote>();
  const encode = (text: string): number[] => encodeOpen(text, { tokenizer, eosId, notes });
  const prompt = encode(row.prompt);
  const fulls = row.completions.map((completion) => encode(row.prompt + completion));
  const shared = splitAtBoundary(prompt, fulls);
  if (shared.promptIds.length === 0)
    throw noPrompt(row.where, prompt.length === 0 ? isEmpty : "all of it merges with the answer");
  if (shared.moved > 0) notes.add("boundary_moved");
  const completions = shared.continuations.map((ids) => ({ ids: endOnce(ids, eosId) }));
  if (completions.some(({ ids }) => ids.indexOf(eosId) < ids.length - 1)) notes.add("end_of_turn_inside");
  const asked = shared.moved > 0 ? { promptAlone: prompt } : {};
  return {
    promptIds: shared.promptIds,
    ...asked,
    completions,
    boundaryMoved: shared.moved,
    notes: [...notes],
  };
}

/**
 * The ids of a prompt alone, as `encodeText` gives them, in steps that yield the fewest tokens it is known to have.
 *
 * @param context - its notes get those about the prompt
 * @throws DataError when it has none
 */
export function* promptSteps(
  { prompt, where }: Pick<TextRow, "prompt" | "where">,
  context: OpenContext,
): Generator<number, number[]> {
  const ids = yield* openSteps(prompt, context);
  if (ids.length === 0) throw noPrompt(where, isEmpty);
  return ids;
}

const isEmpty = "it is empty and the tokenizer has no BOS";

function noPrompt(where: string, why: string): DataError {
  return new DataError(`${where}: expected a prompt of at least one token, but ${why}. Give it a prompt.`);
}

/**
 * Running text: the first token is the prompt, the rest with `eosId` at the end is learned.
 *
 * @throws EmptyAnswerError when the text is empty or white space
 */
export function encodePlain(row: PlainRow, tokenizer: Tokenizer, eosId: number): EncodedRow {
  if (row.text.trim() === "") {
    const got = row.text === "" ? "an empty string" : "nothing but white space";
    throw new EmptyAnswerError(`${row.where}: expected text, got ${got}. Remove the row.`);
  }
  const notes = new Set<EncodeNote>();
  const ids = endOnce(encodeOpen(row.text, { tokenizer, eosId, notes }), eosId);
  if (ids.length < 2)
    throw new DataError(`${row.where}: expected text of at least one token. Remove the row.`);
  return {
    promptIds: ids.slice(0, 1),
    completions: [{ ids: ids.slice(1) }],
    boundaryMoved: 0,
    notes: [...notes],
  };
}

/** What text is encoded with. */
export interface OpenContext {
  tokenizer: Tokenizer;
  /** The token that ends a text. */
  eosId: number;
  /** Gets what there is to say of it. */
  notes: Set<EncodeNote>;
}

/** Ids of `text` with the tokenizer's special tokens in front, but not the EOS some tokenizers put at the end. */
function encodeOpen(text: string, context: OpenContext): number[] {
  return toEnd(openSteps(text, context));
}

function* openSteps(text: string, { tokenizer, eosId, notes }: OpenContext): Generator<number, number[]> {
  const ids = yield* tokenizer.encodeSteps(text, { addSpecialTokens: true });
  const appendsEos = tokenizer.encode("a", { addSpecialTokens: true }).at(-1) === eosId;
  if (appendsEos && ids.at(-1) === eosId) ids.pop();
  return withoutDoubleBos(ids, tokenizer, notes);
}

/** `ids` with one BOS in front where there are more. */
export function withoutDoubleBos(ids: number[], tokenizer: Tokenizer, notes: Set<EncodeNote>): number[] {
  const bos = tokenizer.bosTokenId;
  let extra = 0;
  while (bos !== null && ids[extra] === bos && ids[extra + 1] === bos) extra++;
  if (extra === 0) return ids;
  notes.add("double_bos");
  return ids.slice(extra);
}

function endOnce(ids: number[], eosId: number): number[] {
  return ids.at(-1) === eosId ? ids : ids.concat(eosId);
}
