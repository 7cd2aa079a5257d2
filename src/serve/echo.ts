/** A prompt as a reply with `echo` gives it back: its text, and where its tokens stand in it. */
import { CompletionText, type TokenDecoder } from "../generate/completion-text.ts";

/** A prompt given back. */
export interface Echo {
  text: string;
  /** Code points of `text` before each token of the prompt. Special tokens that are not written in it take no room. */
  places: number[];
}

/** Tokens between two steps. */
const tokensAStep = 1024;

/**
 * The echo of a prompt, in steps.
 *
 * @param given - the prompt as text, which is returned verbatim; null: it was given as ids, and its text is that of
 *   its tokens, without special ones
 */
export function* echoSteps(
  tokenizer: TokenDecoder,
  ids: readonly number[],
  given: string | null,
): Generator<void, Echo> {
  const decoded = new CompletionText(tokenizer, []);
  const points = given === null ? null : [...given];
  let text = "";
  /** Code points of special tokens that are written in the prompt. */
  let written = 0;
  const places: number[] = [];
  for (const [at, id] of ids.entries()) {
    if (at % tokensAStep === tokensAStep - 1) yield;
    const step = decoded.push(id);
    text += step.text;
    const place = step.place + written;
    places.push(points === null ? place : Math.min(place, points.length));
    if (points === null || !tokenizer.isSpecial(id)) continue;
    const own = [...tokenizer.decode([id], { skipSpecialTokens: false })];
    if (own.every((point, i) => points[place + i] === point)) written += own.length;
  }
  return { text: given ?? text + decoded.end().text, places };
}
