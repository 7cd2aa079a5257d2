/** Contestants of the arena: models behind OpenAI-style endpoints, named in the owner's file, and what they answer as it comes. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { ConfigError, PreftuneError } from "../base/errors.ts";
import { givenByYaml, readConfigText } from "../config/given.ts";
import type { Message } from "../text/messages.ts";

/** Who can answer. */
export interface Contestant {
  /** What is shown after the vote. */
  name: string;
  /** Address up to and including /v1. */
  url: string;
  model: string;
  /** Environment variable with the endpoint's key; null: it needs none. */
  key_env: string | null;
  max_tokens: number;
  temperature: number;
}

const fileName = "arena.yaml";

const schema = z
  .array(
    z.strictObject({
      name: z.string().min(1),
      url: z.url({ protocol: /^https?$/ }),
      model: z.string().min(1),
      key_env: z.string().min(1).nullable().default(null),
      max_tokens: z.int().min(1).default(512),
      temperature: z.number().min(0).max(2).default(0.7),
    }),
  )
  .min(2);

/**
 * The contestants in `arena.yaml` of the workbench.
 *
 * @throws {ConfigError} where there is no such file, or it is wrong: says how to write it
 */
export function readContestants(dir: string): Contestant[] {
  const path = join(dir, fileName);
  const example = `contestants:\n  - { name: base, url: http://127.0.0.1:8000/v1, model: base }\n  - { name: tuned, url: http://127.0.0.1:8000/v1, model: tuned }`;
  if (!existsSync(path)) {
    throw new ConfigError(
      `The arena has no contestants yet. Write them into ${fileName} of the workbench, and start preftune serve for those of one base model:\n${example}`,
    );
  }
  const given = givenByYaml(readConfigText(path), fileName);
  const unknown = given.find(({ key }) => key !== "contestants");
  if (unknown !== undefined)
    throw new ConfigError(`${unknown.where()}: unknown key "${unknown.key}". There is contestants.`);
  const read = schema.safeParse(given[0]?.value);
  if (read.success) return read.data;
  throw new ConfigError(
    `${fileName}: expected a list of two contestants or more, like\n${example}\n${z.prettifyError(read.error)}`,
  );
}

/** Longest answer, characters: an endpoint that never ends must not fill the memory. */
const longest = 200_000;

/**
 * The text of a contestant's answer as it comes.
 *
 * @throws {PreftuneError} where the endpoint refuses or ends early
 */
export async function* answerOf(
  contestant: Contestant,
  messages: readonly Message[],
  signal: AbortSignal,
): AsyncGenerator<string> {
  let rest = "";
  let characters = 0;
  for await (const piece of await bodyOf(contestant, messages, signal)) {
    const lines = (rest + piece).split("\n");
    rest = lines.pop() ?? "";
    for (const text of lines.map(textIn)) {
      if (text === null || characters > longest) return;
      characters += text.length;
      if (text !== "") yield text;
    }
  }
}

async function bodyOf(
  { url, model, key_env, max_tokens, temperature }: Contestant,
  messages: readonly Message[],
  signal: AbortSignal,
): Promise<ReadableStream<string>> {
  const key = key_env === null ? undefined : process.env[key_env];
  const response = await fetch(`${url.replace(/\/$/, "")}/chat/completions`, {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      ...(key === undefined ? {} : { Authorization: `Bearer ${key}` }),
    },
    body: JSON.stringify({ model, messages, max_tokens, temperature, stream: true }),
    redirect: "error",
    signal,
  });
  if (response.ok && response.body !== null) return response.body.pipeThrough(new TextDecoderStream());
  await response.body?.cancel();
  throw new PreftuneError(`${url}: answered with status ${response.status} instead of a stream.`);
}

/** The text of a line of server-sent events; null at the end. */
function textIn(line: string): string | null {
  const data = /^data:\s*(.*)$/.exec(line.trim())?.[1];
  if (data === undefined) return "";
  if (data === "[DONE]") return null;
  const chunk = JSON.parse(data) as { choices?: { delta?: { content?: string | null } }[] };
  return chunk.choices?.[0]?.delta?.content ?? "";
}
