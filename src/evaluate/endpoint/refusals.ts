/** Requests that an endpoint refuses as such, where others may pass: too long, against its rules, with a field that it does not take. */
import { EndpointError } from "../../base/errors.ts";
import type { ChatRequest } from "./chat-body.ts";
import type { Endpoint } from "./endpoint.ts";

/** Statuses with which an endpoint refuses one request, not all. */
const refusals: ReadonlySet<number | null> = new Set([400, 413, 422]);

/** After so many refusals in a row it is found out whether all requests are refused. */
const refusalsInARow = 5;

/** Whether an endpoint refuses this one request. */
export function isRefusal(error: unknown): error is EndpointError {
  return error instanceof EndpointError && refusals.has(error.status);
}

/**
 * Tells an endpoint that refuses some requests from one that refuses all: after five refusals in a row it is asked once more for
 * what it answered before, in this run or an earlier one.
 */
export class Refusals {
  #inARow = 0;
  #answered: ChatRequest | null = null;

  /** Notes a request that was answered; `isKept`: by an earlier run. */
  noteAnswer(request: ChatRequest, { isKept = false }: { isKept?: boolean } = {}): void {
    this.#answered ??= request;
    if (!isKept) this.#inARow = 0;
  }

  /**
   * Notes a refusal: the error that ends asking where all requests are taken to be refused, else null.
   *
   * @throws {EndpointError} when the endpoint gives no answer for another reason
   */
  async noteRefusal(endpoint: Endpoint, refusal: EndpointError): Promise<EndpointError | null> {
    if (++this.#inARow % refusalsInARow !== 0) return null;
    if (this.#answered === null) return refusal;
    try {
      await endpoint.chat(this.#answered);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      const { message, status } = error;
      return new EndpointError(
        `${message} It refuses what it answered before, so all else too; its answers are kept.`,
        status,
      );
    }
    this.#inARow = 0;
    return null;
  }
}

/** What the user calls the settings that change what an endpoint is asked. */
export interface OptionNames {
  /** For further fields. */
  extra: string;
  /** For the longest answer. */
  maxTokens: string;
}

/** What may help against a refusal, to be put behind its message; empty where nothing is known to. */
export function remedyOf(refusal: string, { extra, maxTokens }: OptionNames): string {
  if (/unsupported|not support/i.test(refusal)) {
    const fields = '{"max_tokens": null, "max_completion_tokens": 4096, "temperature": null}';
    return ` Take out or replace the field that it names by ${extra}; reasoning models may want '${fields}'.`;
  }
  if (!/max_tokens|max_completion_tokens|context/i.test(refusal)) return "";
  return ` A smaller ${maxTokens} may be what it wants.`;
}
