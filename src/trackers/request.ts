/** Requests to a tracker's server: JSON both ways, limited in time and size; errors hold no key. */
import { EndpointError, messageOf } from "../base/errors.ts";
import { stringifyNumbers } from "../base/json-numbers.ts";

/** Where a tracker is. */
export interface ServerPlace {
  /** Without credentials and without a slash at its end. */
  address: string;
  /** With the credentials. */
  headers: Readonly<Record<string, string>>;
  /** Texts that no message may hold. */
  secrets: readonly string[];
}

/** Seconds that one request may take. */
const requestSeconds = 20;
/** Bytes of an answer that are read: a run's history of one metric is the longest. */
const mostBytes = 64 * 2 ** 20;
/** Characters of a refusal that its message shows. */
const shownCharacters = 300;

/** What is asked of a server. */
export interface ServerRequest {
  path: string;
  /** Sent as JSON by POST; left out: GET. */
  body?: unknown;
  /** Statuses besides 2xx whose answer is given back as well. */
  accepted?: readonly number[];
}

/** An answer: its status and its JSON. */
export interface ServerAnswer {
  status: number;
  value: unknown;
}

/**
 * A server's answer.
 *
 * @throws {EndpointError} when none comes in time, it refuses, or the answer is no JSON
 */
export async function askServer(place: ServerPlace, request: ServerRequest): Promise<ServerAnswer> {
  const { path, body, accepted = [] } = request;
  const url = `${place.address}${path}`;
  const signal = AbortSignal.timeout(1000 * requestSeconds);
  let response: Response;
  let text: string;
  try {
    response = await fetch(url, {
      headers: { ...place.headers, ...(body === undefined ? {} : { "content-type": "application/json" }) },
      ...(body === undefined ? {} : { method: "POST", body: stringifyNumbers(body) }),
      // a key must not follow to another address
      redirect: "error",
      signal,
    });
    text = await textOf(response);
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? ` (${error.cause.message})` : "";
    const why = signal.aborted ? `no answer in ${requestSeconds} s` : `${messageOf(error)}${cause}`;
    throw new EndpointError(withoutSecrets(`${url.split("?")[0]}: ${why}`, place.secrets), null);
  }
  const { status } = response;
  const said = withoutSecrets(text.slice(0, shownCharacters), place.secrets).replace(/\s+/g, " ").trim();
  if (!response.ok && !accepted.includes(status)) {
    throw new EndpointError(
      `${url.split("?")[0]}: status ${status}${said === "" ? "" : `: ${said}`}`,
      status,
    );
  }
  try {
    return { status, value: JSON.parse(text) };
  } catch {
    throw new EndpointError(`${url.split("?")[0]}: expected JSON, got ${said || "nothing"}`, status);
  }
}

async function textOf(response: Response): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of response.body ?? []) {
    size += part.byteLength;
    if (size > mostBytes) throw new Error(`the answer is longer than ${mostBytes} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}

/** `text` with each secret in it as "***". */
export function withoutSecrets(text: string, secrets: readonly string[]): string {
  return secrets.reduce((clean, secret) => (secret === "" ? clean : clean.replaceAll(secret, "***")), text);
}
