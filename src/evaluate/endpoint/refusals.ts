/** Requests that an endpoint refuses as such, where others may pass: too long, against its rules, with a field that it does not take. */
import { EndpointError } from "../../base/errors.ts";

/** Statuses with which an endpoint refuses one request, not all. */
const refusals: ReadonlySet<number | null> = new Set([400, 413, 422]);

/** After so many refusals and no answer, all requests are taken to be refused. */
export const refusalsAtFirst = 5;

/** Whether an endpoint refuses this one request. */
export function isRefusal(error: unknown): error is EndpointError {
  return error instanceof EndpointError && refusals.has(error.status);
}

/** The command's options that change what an endpoint is asked. */
export interface RequestOptions {
  /** For further fields. */
  extra: string;
  /** For the longest answer. */
  maxTokens: string;
}

/** What may help against a refusal, to be put behind its message; empty where nothing is known to. */
export function remedyOf(refusal: string, { extra, maxTokens }: RequestOptions): string {
  if (/unsupported|not support/i.test(refusal)) {
    const fields = '{"max_tokens": null, "max_completion_tokens": 4096, "temperature": null}';
    return ` Take out or replace the field that it names by ${extra}; reasoning models may want '${fields}'.`;
  }
  if (!/max_tokens|max_completion_tokens|context/i.test(refusal)) return "";
  return ` A smaller ${maxTokens} may be what it wants.`;
}
