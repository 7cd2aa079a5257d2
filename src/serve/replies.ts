/** Replies in the forms of OpenAI's API: whole or in chunks, for chat and for plain completions. */
import type { AnswerPiece, TokenCounts } from "./answering.ts";
import type { ShownToken, TokenLogprobs } from "./engine-messages.ts";
import { idName } from "./token-names.ts";

/** What all parts of a reply share. */
export interface ReplyHead {
  id: string;
  /** Seconds since 1970. */
  created: number;
  model: string;
  /** What computed it. */
  system_fingerprint: string;
}

/** A choice of a whole reply as it grows: its log-probs are JSON at once, a small part of the work each. */
interface GrownChoice extends Pick<AnswerPiece, "index" | "text" | "finish"> {
  /** JSON of the entries of each list that the form has for tokens, in pieces. */
  lists: string[][];
}

/** One form of reply. */
export interface ReplyForm {
  /** JSON of the entries of each list that the form has for tokens; none where log-probs were not asked for. */
  entries(tokens: readonly TokenLogprobs[]): string[];
  /** JSON of one choice. */
  choice(choice: GrownChoice): string;
  /** Object of a whole reply, its choices and usage left out. */
  outline(head: ReplyHead): object;
  /** First chunk of a choice; null: none. */
  opening(head: ReplyHead, index: number): object | null;
  chunk(head: ReplyHead, piece: AnswerPiece): object;
  /** Last chunk of a stream that tells usage. */
  closing(head: ReplyHead, counts: TokenCounts): object;
}

/** What a form depends on. */
export interface FormOptions {
  /** Whether log-probs were asked for. */
  logprobs: boolean;
  /** Whether chunks have a `usage` of null, which says that a chunk with it will come. */
  usage: boolean;
}

/** OpenAI's usage block. */
function usageOf({ promptTokens, cachedTokens, completionTokens }: TokenCounts): object {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
  };
}

/** The form of /v1/chat/completions. */
export function chatForm(options: FormOptions): ReplyForm {
  const logprobs = (tokens: readonly TokenLogprobs[]) =>
    options.logprobs ? { content: tokens.map(chatLogprob), refusal: null } : null;
  const chunk = (head: ReplyHead, choices: object[]) => ({
    ...head,
    object: "chat.completion.chunk",
    choices,
    ...(options.usage ? { usage: null } : {}),
  });
  return {
    entries: (tokens) => (options.logprobs ? [listed(tokens.map(chatLogprob))] : []),
    choice: ({ index, text, lists, finish }) => {
      const content = options.logprobs ? `{"content":${joined(lists[0])},"refusal":null}` : "null";
      const message = JSON.stringify({ role: "assistant", content: text, refusal: null });
      return `{"index":${index},"message":${message},"logprobs":${content},"finish_reason":${JSON.stringify(finish)}}`;
    },
    outline: (head) => ({ ...head, object: "chat.completion" }),
    opening: (head, index) =>
      chunk(head, [
        { index, delta: { role: "assistant", content: "" }, logprobs: null, finish_reason: null },
      ]),
    chunk: (head, { index, text, tokens, finish }) =>
      chunk(head, [
        {
          index,
          delta: text === "" && tokens.length === 0 ? {} : { content: text },
          logprobs: tokens.length === 0 ? null : logprobs(tokens),
          finish_reason: finish,
        },
      ]),
    closing: (head, counts) => ({ ...chunk(head, []), usage: usageOf(counts) }),
  };
}

function chatLogprob({ token, top }: TokenLogprobs): object {
  return { ...tokenOf(token), top_logprobs: (top ?? []).map(tokenOf) };
}

function tokenOf({ text, logprob, bytes }: TokenLogprobs["token"]): object {
  return { token: text, logprob: finite(logprob), bytes };
}

/** JSON has no −∞: OpenAI writes −9999 for it. */
function finite<T extends number | null>(logprob: T): T | number {
  return logprob === null || Number.isFinite(logprob) ? logprob : -9999;
}

/** The form of /v1/completions. */
export function completionForm(options: FormOptions): ReplyForm {
  const choice = ({ index, text, tokens, finish }: AnswerPiece) => {
    const logprobs = options.logprobs ? plainLogprobs(tokens) : null;
    return { index, text, logprobs, finish_reason: finish };
  };
  const base = (head: ReplyHead) => ({ ...head, object: "text_completion" });
  return {
    entries: (tokens) => (options.logprobs ? Object.values(plainLogprobs(tokens)).map(listed) : []),
    choice: ({ index, text, lists, finish }) => {
      const names = Object.keys(plainLogprobs([]));
      const members = names.map((name, i) => `${JSON.stringify(name)}:${joined(lists[i])}`);
      const logprobs = options.logprobs ? `{${members.join()}}` : "null";
      return `{"index":${index},"text":${JSON.stringify(text)},"logprobs":${logprobs},"finish_reason":${JSON.stringify(finish)}}`;
    },
    outline: base,
    opening: () => null,
    chunk: (head, piece) => ({
      ...base(head),
      choices: [choice(piece)],
      ...(options.usage ? { usage: null } : {}),
    }),
    closing: (head, counts) => ({ ...base(head), choices: [], usage: usageOf(counts) }),
  };
}

function plainLogprobs(tokens: readonly TokenLogprobs[]): Record<string, unknown[]> {
  return {
    tokens: tokens.map(({ token }) => token.text),
    token_logprobs: tokens.map(({ token }) => finite(token.logprob)),
    top_logprobs: tokens.map(({ token, top }) => (top === null ? null : namedLogprobs(token, top))),
    text_offset: tokens.map(({ place }) => place),
  };
}

/** Log-probs by name, most likely first, the token itself among them. Of tokens with one name all but the first go by id. */
function namedLogprobs(token: TokenLogprobs["token"], top: readonly ShownToken[]): object {
  const named = new Map([[token.text, token.id]]);
  const entries = top.map(({ id, text, logprob }) => {
    if (!named.has(text)) named.set(text, id);
    return [named.get(text) === id ? text : idName(id), finite(logprob)];
  });
  return Object.fromEntries([...entries, [token.text, finite(token.logprob)]]);
}

/** JSON of the entries of a list, without its brackets. */
function listed(entries: readonly unknown[]): string {
  return JSON.stringify(entries).slice(1, -1);
}

/** JSON of a list that came in pieces. */
function joined(pieces: readonly string[] = []): string {
  return `[${pieces.filter((piece) => piece !== "").join()}]`;
}

/** A whole reply as its pieces come, the choices in the order of their indices. */
export class WholeReply {
  readonly #form: ReplyForm;
  readonly #choices: GrownChoice[];

  constructor(form: ReplyForm, count: number) {
    this.#form = form;
    this.#choices = Array.from({ length: count }, (_, index) => ({
      index,
      text: "",
      lists: [],
      finish: null,
    }));
  }

  add({ index, text, tokens, finish }: AnswerPiece): void {
    const choice = this.#choices[index];
    if (choice === undefined) throw new Error(`answer ${index} of ${this.#choices.length}`);
    choice.text += text;
    for (const [i, entries] of this.#form.entries(tokens).entries()) {
      choice.lists[i] ??= [];
      choice.lists[i].push(entries);
    }
    choice.finish = finish ?? choice.finish;
  }

  /** JSON of the reply. */
  text(head: ReplyHead, counts: TokenCounts): string {
    const outline = JSON.stringify(this.#form.outline(head)).slice(0, -1);
    const usage = JSON.stringify(usageOf(counts));
    return `${outline},"choices":[${this.#choices.map(this.#form.choice).join()}],"usage":${usage}}`;
  }
}
