/** From the prompt of a request to token ids, by the path that training and scoring take as well. */
import { DataError, FormatError, messageOf } from "../base/errors.ts";
import { unicodeEscape } from "../base/unicode-escape.ts";
import { endOfText } from "../text/chat-format.ts";
import { createRowEncoder, type RowEncoder } from "../text/encode.ts";
import { chatPromptSteps } from "../text/encode-chat.ts";
import { promptSteps } from "../text/encode-plain.ts";
import { type Message, refuseReordered } from "../text/messages.ts";
import { NotRenderedError } from "../text/rendering-check.ts";
import { type ChatRow, type EncodeNote, promptWarnings } from "../text/source-rows.ts";
import { refuseOwnVariables, TemplateError } from "../text/template.ts";
import { templatesInUse } from "../text/template-source.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { ApiError, contextExceeded } from "./api-error.ts";
import { type Echo, echoSteps } from "./echo.ts";
import { invalid } from "./request-fields.ts";
import type { CompletionFields } from "./request-tables.ts";
import { inTurns, type Pace } from "./turns.ts";

/** What prompts are made with. */
export interface PromptOptions {
  /** Name, file or text of a chat template; null: the tokenizer's own. */
  chatTemplate: string | null;
  /** The template's `enable_thinking` where a request does not give it. Null or left out: as the template has it without. */
  enableThinking?: boolean | null;
  /** EOS ids of the model's generation config. */
  eosTokenIds: readonly number[];
  /** Rows of the embedding: token ids of a prompt are below. */
  vocabSize: number;
  /** Longest prompt and answer together, in tokens. */
  contextTokens: number;
}

/** A conversation, or prompts to be continued verbatim. */
export type PromptAsk =
  | {
      kind: "chat";
      messages: readonly Message[];
      /** Variables of the chat template. */
      variables: Readonly<Record<string, unknown>>;
    }
  | {
      kind: "plain";
      prompt: CompletionFields["prompt"];
      /** Whether the reply gives the prompts back. */
      echo: boolean;
    };

/** Token ids up to where the answers begin, and the tokens that end an answer. */
export interface EncodedPrompts {
  prompts: number[][];
  stopIds: ReadonlySet<number>;
  /** What the reply gives back of each prompt; null: nothing. */
  echoes: Echo[] | null;
  /** What the client should know of its prompt, though it is answered. */
  warning: string | null;
}

/** The warning to a client about how what it sent in a field became a prompt. */
function warningOf(notes: Iterable<EncodeNote>, param: string, more: readonly string[] = []): string | null {
  const warnings = [...promptWarnings(notes).map((text) => `${param}: ${text}`), ...more];
  return warnings.length === 0 ? null : warnings.join(" ");
}

/** A name in a header, which has to be ASCII. */
const inHeader = (name: string): string =>
  JSON.stringify(name.slice(0, 60)).replace(/[^ -~]/g, unicodeEscape);

/**
 * A prompt that cannot fit is counted no further than so many times the context: its ids are of no use, and their number is
 * for people who shorten it.
 */
const countedContexts = 2;

/** Prompts of one model. Close it when done. */
export class PromptEncoder implements AsyncDisposable {
  readonly #tokenizer: Tokenizer;
  readonly #options: PromptOptions;
  readonly #rows: RowEncoder;
  /** What the chat templates are made of: a variable that is not among them is read by none. */
  readonly #words: ReadonlySet<string>;

  constructor(tokenizer: Tokenizer, options: PromptOptions) {
    this.#tokenizer = tokenizer;
    this.#options = options;
    const { chatTemplate, enableThinking = null, eosTokenIds } = options;
    this.#rows = createRowEncoder(tokenizer, { chatTemplate, enableThinking, eosTokenIds });
    const templates = this.#rows.hasChatTemplate ? templatesInUse(tokenizer, chatTemplate) : [];
    this.#words = new Set(templates.flatMap((source) => source.match(/\w+/g) ?? []));
  }

  /**
   * The ids of what is asked, made in turns with others.
   *
   * @throws {ApiError} if a prompt cannot be: refused by the template, empty, far too long, or ids outside the vocabulary
   * @throws the signal's reason once it is aborted
   */
  encode(ask: PromptAsk, pace: Pace): Promise<EncodedPrompts> {
    return ask.kind === "chat" ? this.#chat(ask, pace) : this.#plain(ask, pace);
  }

  /** Renders a short conversation, so that a template that cannot be used is known before the first request. */
  async probe(): Promise<void> {
    await this.#rows.stopIds();
  }

  async #chat(
    { messages, variables }: Extract<PromptAsk, { kind: "chat" }>,
    pace: Pace,
  ): Promise<EncodedPrompts> {
    if (!this.#rows.hasChatTemplate) {
      throw new ApiError(
        "invalidValue",
        "This model has no chat template. Use /v1/completions, or start the server with --chat-template.",
        { param: "messages" },
      );
    }
    try {
      refuseOwnVariables(variables, "chat_template_kwargs");
      refuseReordered(variables, "chat_template_kwargs");
    } catch (error) {
      throw asApiError(error, "chat_template_kwargs");
    }
    try {
      const row: ChatRow = {
        kind: "chat",
        where: "messages",
        prompt: messages,
        continueFinalMessage: messages.at(-1)?.role === "assistant",
        mayDropAnsweredCalls: true,
        completions: [],
        variables,
        now: new Date(),
      };
      const rendered = await this.#rows.promptText(row);
      const prompt = { text: rendered.text, notes: new Set(rendered.notes) };
      const ids = await this.#counted(chatPromptSteps(prompt, row.where, this.#tokenizer), "messages", pace);
      const stopIds = await this.#rows.stopIds();
      const warning = warningOf(prompt.notes, "messages", this.#unread(variables));
      return { prompts: [ids], stopIds, echoes: null, warning };
    } catch (error) {
      throw asApiError(error, "messages");
    }
  }

  /** The warning about a variable that no template reads: as in transformers and vLLM it has no effect. */
  #unread(variables: Readonly<Record<string, unknown>>): string[] {
    const unread = Object.keys(variables).find((name) => !this.#words.has(name));
    if (unread === undefined) return [];
    return [`chat_template_kwargs: the chat template reads no ${inHeader(unread)}, so it has no effect.`];
  }

  async #plain({ prompt, echo }: Extract<PromptAsk, { kind: "plain" }>, pace: Pace): Promise<EncodedPrompts> {
    const prompts: number[][] = [];
    const echoes: Echo[] = [];
    const notes = new Set<EncodeNote>();
    for (const one of listed(prompt)) {
      const ids = await this.#plainIds(one, notes, pace);
      prompts.push(ids);
      const given = typeof one === "string" ? one : null;
      if (echo) echoes.push(await inTurns(echoSteps(this.#tokenizer, ids, given), pace));
    }
    const stopIds = await this.#rows.stopIds();
    return { prompts, stopIds, echoes: echo ? echoes : null, warning: warningOf(notes, "prompt") };
  }

  async #plainIds(prompt: string | number[], notes: Set<EncodeNote>, pace: Pace): Promise<number[]> {
    if (typeof prompt !== "string") {
      const { vocabSize } = this.#options;
      const stray = prompt.find((id) => id >= vocabSize);
      if (stray === undefined) return prompt;
      throw invalid("prompt", `expected token ids below ${vocabSize}, got ${stray}.`);
    }
    try {
      const { id } = endOfText(this.#tokenizer, this.#options.eosTokenIds);
      const context = { tokenizer: this.#tokenizer, eosId: id, notes };
      const steps = promptSteps({ prompt, where: "prompt" }, context);
      return await this.#counted(steps, "prompt", pace);
    } catch (error) {
      throw asApiError(error, "prompt");
    }
  }

  /** The ids, unless there are far more than the context has. */
  #counted(steps: Generator<number, number[]>, param: string, pace: Pace): Promise<number[]> {
    const { contextTokens } = this.#options;
    const most = countedContexts * contextTokens;
    return inTurns(steps, pace, (fewest) => {
      if (fewest > most) throw contextExceeded({ contextTokens, prompt: `more than ${most}`, param });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#rows.close();
  }
}

/** The prompts of a request, one or several. */
export function listed(prompt: CompletionFields["prompt"]): (string | number[])[] {
  if (typeof prompt === "string") return [prompt];
  return typeof prompt[0] === "number" ? [prompt as number[]] : (prompt as string[] | number[][]);
}

function asApiError(error: unknown, param: string): unknown {
  // of a run the template is a key, here an option of whoever started the server
  const message = messageOf(error).replaceAll("with chat_template", "with the server's --chat-template");
  if (error instanceof TemplateError) {
    const isRequests = ["raised", "timeout", "memory", "output"].includes(error.kind);
    return new ApiError(isRequests ? "invalidValue" : "internal", message, { param });
  }
  if (error instanceof NotRenderedError) return new ApiError("notRendered", message, { param });
  if (error instanceof DataError || error instanceof FormatError) {
    return new ApiError("invalidValue", message, { param });
  }
  return error;
}
