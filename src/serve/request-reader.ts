/**
 * Reads requests: JSON, fields and prompt. A body of a megabyte can take a tenth of a second to read and check, whatever it
 * says, so the server does it in a worker thread (prompt-worker.ts), and here in slices.
 */
import { messageOf } from "../base/errors.ts";
import { parseJson } from "../text/json.ts";
import type { Message } from "../text/messages.ts";
import { ApiError } from "./api-error.ts";
import { chatMessages } from "./chat-messages.ts";
import { type EncodedPrompts, listed, type PromptAsk, type PromptEncoder } from "./prompt-encoder.ts";
import { type FieldTable, readFields, required } from "./request-fields.ts";
import {
  type ChatFields,
  type CompletionFields,
  chatTable,
  completionTable,
  type RequestLimits,
} from "./request-tables.ts";
import type { Pace, Turns } from "./turns.ts";

/** The routes that have a prompt, and the fields of each but for the prompt itself. */
export interface PromptRoutes {
  chat: Partial<Omit<ChatFields, "messages" | "chat_template_kwargs">>;
  completion: Partial<Omit<CompletionFields, "prompt">>;
}

/** What a body says, but for its prompt. */
export interface ReadFields<R extends keyof PromptRoutes> {
  fields: PromptRoutes[R];
  prompts: number;
  /** Whether a chat ends in the assistant's turn, which is then continued. */
  continuesTurn: boolean;
}

/** A request that was read; its prompt waits to be made. */
export interface ReadRequest<R extends keyof PromptRoutes> extends ReadFields<R> {
  /**
   * The prompt's ids.
   *
   * @throws {ApiError} if it cannot be made, or the client left
   */
  encode(): Promise<EncodedPrompts>;
  /** Forgets it. */
  drop(): void;
}

/** Whatever reads requests. */
export interface Requests {
  /**
   * @param body - JSON in UTF-8; it may be taken away
   * @param signal - aborted when the client has left
   * @throws {ApiError} for what is not JSON, and for fields that cannot be or are not served
   */
  read<R extends keyof PromptRoutes>(
    route: R,
    body: Uint8Array<ArrayBuffer>,
    signal: AbortSignal,
  ): Promise<ReadRequest<R>>;
}

/** Deepest nesting of a body. */
const maxDepth = 64;
/** A longer body is read in its turn; shorter ones at once. */
const longBody = 32_768;

/** Reads requests in this thread. */
export class RequestReader implements Requests {
  readonly #encoder: PromptEncoder;
  readonly #chatTable: FieldTable<ChatFields>;
  readonly #completionTable: FieldTable<CompletionFields>;
  readonly #turns: Turns;

  constructor(encoder: PromptEncoder, limits: RequestLimits, turns: Turns) {
    this.#encoder = encoder;
    this.#chatTable = chatTable(limits);
    this.#completionTable = completionTable(limits);
    this.#turns = turns;
  }

  async read<R extends keyof PromptRoutes>(
    route: R,
    body: Uint8Array<ArrayBuffer>,
    signal: AbortSignal,
  ): Promise<ReadRequest<R>> {
    const pace: Pace = { turns: this.#turns, signal };
    if (body.length > longBody) await pace.turns.next();
    signal.throwIfAborted();
    const { ask, ...read } = route === "chat" ? this.#chat(body) : this.#completion(body);
    return {
      ...(read as ReadFields<R>),
      encode: () => this.#encoder.encode(ask, pace),
      drop: () => {},
    };
  }

  #chat(body: Uint8Array): ReadFields<"chat"> & { ask: PromptAsk } {
    const all = readFields(bodyOf(body), this.#chatTable);
    const messages: Message[] = chatMessages(required(all, "messages"));
    const { messages: _, chat_template_kwargs: variables = {}, ...fields } = all;
    const continuesTurn = messages.at(-1)?.role === "assistant";
    return { fields, prompts: 1, continuesTurn, ask: { kind: "chat", messages, variables } };
  }

  #completion(body: Uint8Array): ReadFields<"completion"> & { ask: PromptAsk } {
    const all = readFields(bodyOf(body), this.#completionTable);
    const prompt = required(all, "prompt");
    const { prompt: _, ...fields } = all;
    const prompts = listed(prompt).length;
    const ask: PromptAsk = { kind: "plain", prompt, echo: fields.echo ?? false };
    return { fields, prompts, continuesTurn: false, ask };
  }
}

/** The parsed body, numbers as they are spelled. @throws {ApiError} if it is not JSON in UTF-8 that says one thing */
function bodyOf(bytes: Uint8Array): unknown {
  try {
    return parseJson(new TextDecoder("utf-8", { fatal: true }).decode(bytes), maxDepth);
  } catch (error) {
    throw new ApiError("notJson", `Expected a body of JSON in UTF-8: ${messageOf(error)}.`);
  }
}
