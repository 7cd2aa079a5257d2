/** What a contestant answers, as it comes. */
import { messageOf, PreftuneError } from "../base/errors.ts";
import type { Message } from "../text/messages.ts";
import type { Contestant } from "./contestants.ts";

/** A contestant that can be asked. */
export interface Speaker extends Pick<Contestant, "name" | "max_tokens" | "temperature"> {
  url: string;
  model: string;
  /** Null: it needs none. */
  key: string | null;
  /** Further fields of the request; null takes a field out. */
  extra: Readonly<Record<string, unknown>>;
}

/** Longest answer, characters: an endpoint that never ends must not fill the memory. */
const longest = 200_000;
/** Characters of a refusal that are reported. */
const reportedCharacters = 500;

/**
 * The text of an answer as it comes.
 *
 * @throws {PreftuneError} where the endpoint refuses or ends early
 */
export async function* answerOf(
  speaker: Speaker,
  messages: readonly Message[],
  signal: AbortSignal,
): AsyncGenerator<string> {
  let rest = "";
  let characters = 0;
  for await (const piece of await bodyOf(speaker, messages, signal)) {
    const lines = (rest + piece).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const text = textIn(line, speaker);
      if (text === null || characters > longest) return;
      characters += text.length;
      if (text !== "") yield text;
    }
  }
  throw failure(speaker, "ended before its answer did.");
}

async function bodyOf(
  speaker: Speaker,
  messages: readonly Message[],
  signal: AbortSignal,
): Promise<ReadableStream<string>> {
  const { url, model, key, max_tokens, temperature, extra } = speaker;
  const fields = Object.entries({ model, messages, max_tokens, temperature, ...extra, stream: true });
  const request = {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      ...(key === null ? {} : { Authorization: `Bearer ${key}` }),
    },
    body: JSON.stringify(Object.fromEntries(fields.filter(([, value]) => value !== null))),
    redirect: "error",
    signal,
  } as const;
  const response = await fetch(`${url.replace(/\/$/, "")}/chat/completions`, request).catch(
    (error: unknown) => {
      const { cause = error } = error as { cause?: unknown };
      throw failure(speaker, `cannot be asked: ${messageOf(cause)}`);
    },
  );
  if (response.ok && response.body !== null) return response.body.pipeThrough(new TextDecoderStream());
  const said = (await response.text()).slice(0, reportedCharacters);
  const remedy = /unsupported|not support/i.test(said)
    ? " Take out or replace the field that it names by the contestant's extra in arena.yaml."
    : "";
  throw failure(speaker, `answered with status ${response.status} instead of a stream: ${said}${remedy}`);
}

function failure({ name, url }: Speaker, what: string): PreftuneError {
  return new PreftuneError(`Contestant ${name}, ${url}: ${what}`);
}

/** The text of a line of server-sent events; null at the end. */
function textIn(line: string, speaker: Speaker): string | null {
  const data = /^data:\s*(.*)$/.exec(line.trim())?.[1];
  if (data === undefined) return "";
  if (data === "[DONE]") return null;
  const chunk = JSON.parse(data) as {
    choices?: { delta?: { content?: string | null } }[];
    error?: unknown;
  };
  if (chunk.error !== undefined)
    throw failure(speaker, JSON.stringify(chunk.error).slice(0, reportedCharacters));
  return chunk.choices?.[0]?.delta?.content ?? "";
}
