/** A judge: an endpoint whose answers are read as verdicts; each is requested once and stored. */
import { EndpointError } from "../../base/errors.ts";
import { sha256 } from "../../base/files.ts";
import type { ChatMessage, ChatReply, ChatRequest } from "../endpoint/chat-body.ts";
import type { Endpoint, Spent } from "../endpoint/endpoint.ts";
import { isRefusal, type OptionNames, Refusals, remedyOf } from "../endpoint/refusals.ts";
import type { JudgmentStore } from "./judgment-store.ts";

/** How a judge is asked. */
export interface JudgeOptions {
  endpoint: Endpoint;
  store: JudgmentStore;
  temperature: number;
  /** Longest judgment, in tokens. */
  maxTokens: number;
  /** How often it is asked again after an answer without a verdict. */
  retriesWithoutVerdict: number;
  /** Called with the key of each answer that is read, whether it was kept before or not. */
  onUse?: (key: string) => void;
  /** What the user calls what may help against a refusal. */
  optionNames: OptionNames;
}

/** Why there is no verdict: none could be read from the answer, or the endpoint refused this request. */
export type NoVerdict = "unparsable" | "refused";

/** A judgment. */
export interface Judgment<V> {
  verdict: V | null;
  /** Why there is no verdict; null when there is one. */
  reason: NoVerdict | null;
  /** What the judge wrote last; of a refused request, what the endpoint said. */
  text: string;
}

/** Counts of judgments. */
export interface JudgeCounts {
  judgments: number;
  /** Answers that were there already. */
  cached: number;
  /** Answers without a verdict in all tries. Never guessed. */
  unparsable: number;
  /** Requests that the endpoint refused as such: too long, or against its rules. */
  refused: number;
  /** Answers that ended at the limit of tokens. */
  cut: number;
  /** Judgments repeated because they had no verdict. */
  askedAgain: number;
  /** What the endpoint said when it first refused a request, and what may help; null when it refused none. */
  firstRefusal: string | null;
  /** The first answer in which no verdict was found; null when there is one in all. */
  firstUnparsable: string | null;
  spent: Spent;
}

/** A judge's settings and the outcome of its requests. */
export interface JudgeReport extends JudgeCounts {
  model: string;
  endpoint: string;
  temperature: number;
  maxTokens: number;
  /** In the currency of the prices, at the least where requests were not answered; null without prices or counts of tokens. */
  cost: number | null;
}

/** Asks an endpoint for verdicts. */
export class Judge {
  readonly #options: JudgeOptions;
  /** Answers under way, so that the same question is not asked twice at once. */
  readonly #pending: Map<string, Promise<ChatReply>> = new Map();
  readonly #counts = { judgments: 0, cached: 0, unparsable: 0, refused: 0, cut: 0, askedAgain: 0 };
  readonly #first: Pick<JudgeCounts, "firstRefusal" | "firstUnparsable"> = {
    firstRefusal: null,
    firstUnparsable: null,
  };
  readonly #refusals = new Refusals();

  constructor(options: JudgeOptions) {
    this.#options = options;
  }

  /** The counts so far. */
  get counts(): JudgeCounts {
    return { ...this.#counts, ...this.#first, spent: { ...this.#options.endpoint.spent } };
  }

  /**
   * The verdict on `messages`.
   *
   * @param read - the verdict in an answer, or null when there is none
   * @throws {EndpointError} when the endpoint gives no answers at all
   */
  async verdict<V>(
    messages: readonly ChatMessage[],
    read: (answer: string) => V | null,
  ): Promise<Judgment<V>> {
    const { temperature, maxTokens, retriesWithoutVerdict } = this.#options;
    this.#counts.judgments++;
    let text = "";
    try {
      for (let attempt = 0; ; attempt++) {
        ({ text } = await this.#reply({ messages, temperature, maxTokens }, attempt));
        const verdict = read(text);
        if (verdict !== null) return { verdict, reason: null, text };
        if (attempt >= retriesWithoutVerdict) break;
        this.#counts.askedAgain++;
      }
    } catch (error) {
      return { verdict: null, reason: "refused", text: await this.#recordRefusal(error) };
    }
    this.#counts.unparsable++;
    this.#first.firstUnparsable ??= text;
    return { verdict: null, reason: "unparsable", text };
  }

  /** What an endpoint says that refuses one request alone; any other error is rethrown. */
  async #recordRefusal(error: unknown): Promise<string> {
    if (!isRefusal(error)) throw error;
    const { endpoint, optionNames } = this.#options;
    const withRemedy = ({ message }: EndpointError): string => `${message}${remedyOf(message, optionNames)}`;
    this.#counts.refused++;
    this.#first.firstRefusal ??= withRemedy(error);
    const ofAll = await this.#refusals.noteRefusal(endpoint, error);
    if (ofAll === null) return error.message;
    throw new EndpointError(withRemedy(ofAll), ofAll.status);
  }

  async #reply(request: ChatRequest, attempt: number): Promise<ChatReply> {
    const { endpoint, store, onUse } = this.#options;
    const { model, extra } = endpoint;
    const key = sha256(JSON.stringify({ version: 1, model, extra, ...request, attempt }));
    onUse?.(key);
    const known = store.get(key);
    if (known !== null) {
      this.#counts.cached++;
      this.#refusals.noteAnswer(request, { isKept: true });
      return this.#count(known);
    }
    const pending = this.#pending.get(key);
    if (pending !== undefined) return pending;
    const asked = endpoint.chat(request).then((reply) => {
      store.put(key, { model, messages: JSON.stringify(request.messages) }, reply);
      this.#refusals.noteAnswer(request);
      return this.#count(reply);
    });
    this.#pending.set(key, asked);
    try {
      return await asked;
    } finally {
      this.#pending.delete(key);
    }
  }

  #count(reply: ChatReply): ChatReply {
    if (reply.finishReason === "length") this.#counts.cut++;
    return reply;
  }
}
