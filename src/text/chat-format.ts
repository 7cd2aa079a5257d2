/**
 * What a chat template does around an answer, found by rendering a short test conversation:
 * the token that ends a turn, what is written after it, and the beginning of an assistant's turn.
 */
import { FormatError } from "../base/errors.ts";
import { commonPrefixLength } from "./boundary.ts";
import type { Message } from "./messages.ts";
import type { TemplateRenderer } from "./template.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** How a template and a tokenizer frame an assistant's answer. */
export interface ChatFormat {
  /** Token that ends an assistant's turn. It is inside the loss, and generation has to stop at it. */
  endOfTurnId: number;
  endOfTurn: string;
  /** False when the template writes no terminator and the tokenizer's EOS is added instead. */
  writesEndOfTurn: boolean;
  /** All the template writes after an answer, the terminator included. */
  tail: string;
  /** The part of `tail` after the terminator, which is not trained on. */
  trailer: string;
  /** What is written to make the assistant speak. Empty for templates that always write it. */
  generationPrompt: string;
  /**
   * The assistant's header, for templates that write it before answers but not as a generation prompt. Empty for all
   * others, and where no more than white space stands before an answer.
   */
  header: string;
  /** Whether the generation prompt is all that is added, and so the same behind every conversation. */
  appendsGenerationPrompt: boolean;
  /** Characters of the generation prompt that stand before an assistant's turn once another turn follows. */
  keptPrompt: number;
  /** Every token id that ends a turn: `endOfTurnId`, then those of `eosIds`. */
  stopIds: ReadonlySet<number>;
  /** Their texts. */
  stopTexts: readonly string[];
}

/** What `probeChatFormat` needs to know. */
export interface ProbeOptions {
  variables: Readonly<Record<string, unknown>>;
  /** EOS ids of the generation config. */
  eosTokenIds: readonly number[];
}

const question = "preftune-question";
const answer = "preftune-answer";

/**
 * The frame that `renderer`'s template and `tokenizer` put around an answer.
 *
 * @throws TemplateError when the template cannot render two plain turns
 * @throws FormatError when the template leaves the answer out, or no token ends a turn
 */
export async function probeChatFormat(
  renderer: TemplateRenderer,
  tokenizer: Tokenizer,
  options: ProbeOptions,
): Promise<ChatFormat> {
  const asked: Message[] = [{ role: "user", content: question }];
  const answered: Message[] = [...asked, { role: "assistant", content: answer }];
  const longer: Message[] = [...answered, { role: "user", content: question }];
  const { variables } = options;
  const render = (messages: Message[], addGenerationPrompt: boolean) => ({
    messages,
    addGenerationPrompt,
    variables,
  });
  const [bare = "", prompt = "", full = "", history = ""] = await renderer.render([
    render(asked, false),
    render(asked, true),
    render(answered, false),
    render(longer, false),
  ]);
  const at = full.lastIndexOf(answer);
  if (at < 0) {
    throw new FormatError(
      `Expected the chat template to write an assistant's answer, but it leaves it out. Give another with chat_template.`,
    );
  }
  const tail = full.slice(at + answer.length);
  const terminator = findTerminator(tail, tokenizer, options.eosTokenIds);
  const opening = prompt === bare && full.startsWith(bare) ? full.slice(bare.length, at) : "";
  const stopIds = new Set([terminator.endOfTurnId, ...eosIds(tokenizer, options.eosTokenIds)]);
  return {
    ...terminator,
    tail,
    generationPrompt: prompt.slice(commonPrefixLength(bare, prompt)),
    header: opening.trim() === "" ? "" : opening,
    appendsGenerationPrompt: prompt.startsWith(bare),
    keptPrompt: commonPrefixLength(prompt.slice(bare.length), history.slice(bare.length)),
    stopIds,
    stopTexts: [...stopIds]
      .map((id) => tokenizer.decode([id], { skipSpecialTokens: false }))
      .filter((text) => text !== ""),
  };
}

type Terminator = Pick<ChatFormat, "endOfTurnId" | "endOfTurn" | "writesEndOfTurn" | "trailer">;

/** The first control token or EOS in what follows an answer, else the tokenizer's EOS. */
function findTerminator(tail: string, tokenizer: Tokenizer, eosTokenIds: readonly number[]): Terminator {
  const stops = eosIds(tokenizer, eosTokenIds);
  let first: { id: number; text: string; at: number } | null = null;
  for (const { id, text, isSpecial } of tokenizer.addedTokens) {
    if (!isSpecial && !stops.has(id)) continue;
    const at = tail.indexOf(text);
    // Of two tokens at one place the longer is the one the tokenizer takes.
    const isBetter = first === null || at < first.at || (at === first.at && text.length > first.text.length);
    if (at >= 0 && isBetter) first = { id, text, at };
  }
  if (first !== null) {
    const trailer = tail.slice(first.at + first.text.length);
    return { endOfTurnId: first.id, endOfTurn: first.text, writesEndOfTurn: true, trailer };
  }
  const fallback = endOfText(tokenizer, eosTokenIds);
  return { endOfTurnId: fallback.id, endOfTurn: fallback.text, writesEndOfTurn: false, trailer: tail };
}

/** The EOS ids of a model: those of its generation config, then the tokenizer's, where it has one. */
export function eosIds(tokenizer: Tokenizer, eosTokenIds: readonly number[]): Set<number> {
  return new Set([...eosTokenIds, ...(tokenizer.eosTokenId === null ? [] : [tokenizer.eosTokenId])]);
}

/**
 * The token that ends a text: the tokenizer's EOS, else the first EOS of the generation config.
 *
 * @throws FormatError when neither names one
 */
export function endOfText(
  tokenizer: Tokenizer,
  eosTokenIds: readonly number[],
): { id: number; text: string } {
  const id = tokenizer.eosTokenId ?? eosTokenIds[0];
  if (id !== undefined) return { id, text: tokenizer.decode([id], { skipSpecialTokens: false }) };
  throw new FormatError(
    `Expected an eos_token in ${tokenizer.directory}/tokenizer_config.json or an eos_token_id in generation_config.json, ` +
      `but there is none, so no answer could end. Add the model's eos_token.`,
  );
}
