/** From the prompt of a request to token ids, by the path that training and scoring take as well. */
import { DataError, FormatError } from "../base/errors.ts";
import { createRowEncoder, type RowEncoder } from "../text/encode.ts";
import { parseMessages } from "../text/messages.ts";
import type { SourceRow } from "../text/rows.ts";
import { TemplateError } from "../text/template.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { ApiError } from "./api-error.ts";
import { invalid } from "./request-fields.ts";
import type { ChatFields, CompletionFields } from "./request-tables.ts";

/** What prompts are made with. */
export interface PromptOptions {
  /** Name, file or text of a chat template; null: the tokenizer's own. */
  chatTemplate: string | null;
  /** EOS ids of the model's generation config. */
  eosTokenIds: readonly number[];
  /** Rows of the embedding: token ids of a prompt are below. */
  vocabSize: number;
}

/** Prompts of one model. Close it when done. */
export class PromptEncoder implements AsyncDisposable {
  readonly tokenizer: Tokenizer;
  readonly #options: PromptOptions;
  readonly #rows: RowEncoder;

  constructor(tokenizer: Tokenizer, options: PromptOptions) {
    this.tokenizer = tokenizer;
    this.#options = options;
    const { chatTemplate, eosTokenIds } = options;
    this.#rows = createRowEncoder(tokenizer, { chatTemplate, eosTokenIds });
  }

  /** Whether there is a chat template. */
  get hasTemplate(): boolean {
    return this.#options.chatTemplate !== null || this.tokenizer.chatTemplates.default !== null;
  }

  /**
   * Token ids of a conversation up to where the assistant speaks, and the tokens that end its turn.
   *
   * @throws {ApiError} if the template refuses the conversation, or there is none
   */
  async chat(
    fields: Pick<ChatFields, "messages" | "chat_template_kwargs">,
  ): Promise<{ ids: number[]; stopIds: Set<number> }> {
    if (!this.hasTemplate) {
      throw new ApiError(
        "invalidValue",
        "This model has no chat template. Use /v1/completions, or start the server with --chat-template.",
        { param: "messages" },
      );
    }
    try {
      const prompt = parseMessages(fields.messages, "messages");
      const variables = fields.chat_template_kwargs ?? {};
      const ids = await this.#encode({ kind: "chat", where: "messages", prompt, completions: [], variables });
      const { stopIds } = await this.#rows.chatFormat();
      return { ids, stopIds: new Set([...stopIds].filter((id) => id >= 0)) };
    } catch (error) {
      throw asApiError(error, "messages");
    }
  }

  /**
   * Token ids of each prompt of /v1/completions, and the tokens that end an answer.
   *
   * @throws {ApiError} if one is empty or has ids outside the vocabulary
   */
  async plain(prompt: CompletionFields["prompt"]): Promise<{ ids: number[][]; stopIds: Set<number> }> {
    const { eosTokenId } = this.tokenizer;
    const stopIds = new Set(this.#options.eosTokenIds);
    if (eosTokenId !== null) stopIds.add(eosTokenId);
    const ids: number[][] = [];
    for (const one of listed(prompt)) ids.push(await this.#plainIds(one));
    return { ids, stopIds };
  }

  async #plainIds(prompt: string | number[]): Promise<number[]> {
    if (typeof prompt !== "string") {
      const { vocabSize } = this.#options;
      const stray = prompt.find((id) => id >= vocabSize);
      if (stray === undefined) return prompt;
      throw invalid("prompt", `expected token ids below ${vocabSize}, got ${stray}.`);
    }
    try {
      return await this.#encode({ kind: "text", where: "prompt", prompt, completions: [] });
    } catch (error) {
      throw asApiError(error, "prompt");
    }
  }

  async #encode(row: SourceRow): Promise<number[]> {
    const [outcome] = await this.#rows.encode([row]);
    if (outcome === undefined) throw new Error("one row gives one outcome");
    if ("error" in outcome) throw outcome.error;
    return outcome.row.promptIds;
  }

  /** Renders a short conversation, so that a template that cannot be used is known before the first request. */
  async probe(): Promise<void> {
    if (this.hasTemplate) await this.#rows.chatFormat();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#rows.close();
  }
}

function listed(prompt: CompletionFields["prompt"]): (string | number[])[] {
  if (typeof prompt === "string") return [prompt];
  if (prompt.every((item) => typeof item === "number")) return [prompt];
  return prompt as string[] | number[][];
}

function asApiError(error: unknown, param: string): unknown {
  if (error instanceof TemplateError) {
    const isRequests = ["raised", "timeout", "memory", "output"].includes(error.kind);
    return new ApiError(isRequests ? "invalidValue" : "internal", error.message, { param });
  }
  if (error instanceof DataError || error instanceof FormatError) {
    return new ApiError("invalidValue", error.message, { param });
  }
  return error;
}
