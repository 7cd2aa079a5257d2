/** Prompts for judges, from the files that MT-Bench and Arena-Hard publish. */
import { existsSync } from "node:fs";
import { parse } from "yaml";
import { DataError, FormatError, messageOf } from "../../base/errors.ts";
import { readJsonFile, readTextFile } from "../../base/files.ts";
import { didYouMean } from "../../base/suggest.ts";
import { describeOrigin } from "../../data/example.ts";
import { readRows } from "../../data/sources.ts";
import { isRecord } from "../../formats/json-fields.ts";
import type { ChatMessage } from "../endpoint/chat-body.ts";

/** A prompt with places to fill. */
export interface JudgePrompt {
  name: string;
  /** File and line, to begin messages with. */
  where: string;
  system: string;
  /** With places such as `{question}`. */
  template: string;
}

/** What judging pairs takes: a prompt, how to find the verdict, and how the judge is asked. */
export interface PairPrompt extends JudgePrompt {
  /** Regular expressions with one group each. */
  patterns: readonly string[];
  temperature: number;
  /** Longest judgment. */
  maxTokens: number;
}

/**
 * The messages of a prompt whose places are filled. Braces in what is filled in stay as they are.
 *
 * @param answers - how many answers the judge must be shown: one that is rated, or two that are compared
 * @throws {FormatError} for a place that is not known, and for a prompt with too few places for answers
 */
export function fillPrompt(
  prompt: JudgePrompt,
  values: Readonly<Record<string, string>>,
  answers: 1 | 2,
): ChatMessage[] {
  const places = new Set<string>();
  const content = prompt.template.replace(/\{(\w+)\}/g, (_, place: string) => {
    places.add(place);
    const value = values[place];
    if (value !== undefined) return value;
    const known = Object.keys(values).join(", ");
    throw new FormatError(
      `${prompt.where}: prompt ${prompt.name} has a place {${place}} that is not known; known here: ${known}.`,
    );
  });
  if ([...places].filter((place) => /^answer/i.test(place)).length < answers) {
    const wanted = answers === 1 ? "a place such as {answer}" : "places such as {answer_a} and {answer_b}";
    throw new FormatError(
      `${prompt.where}: prompt ${prompt.name}: expected ${wanted}, found ${[...places].map((place) => `{${place}}`).join(", ") || "none"}. ` +
        "The judge would not see what it judges.",
    );
  }
  const user: ChatMessage = { role: "user", content };
  return prompt.system === "" ? [user] : [{ role: "system", content: prompt.system }, user];
}

/**
 * The prompts of a file in MT-Bench's form (rows with `name`, `system_prompt`, `prompt_template`), by name.
 *
 * @throws {DataError} naming file and line of a row of another form
 */
export async function readJudgePrompts(path: string): Promise<Map<string, JudgePrompt>> {
  const prompts = new Map<string, JudgePrompt>();
  for await (const { value, origin } of readRows({ path })) {
    const where = describeOrigin(origin);
    const { name, system_prompt: system = "", prompt_template: template } = value;
    if (typeof name !== "string" || typeof system !== "string" || typeof template !== "string") {
      throw new DataError(
        `${where}: expected a judge's prompt with "name", "system_prompt" and "prompt_template", ` +
          `found the columns ${Object.keys(value).join(", ")}.`,
      );
    }
    prompts.set(name, { name, where, system, template });
  }
  return prompts;
}

/** The prompt called `name`. @throws {DataError} when there is none */
export function promptNamed(
  prompts: ReadonlyMap<string, JudgePrompt>,
  name: string,
  path: string,
): JudgePrompt {
  const prompt = prompts.get(name);
  if (prompt !== undefined) return prompt;
  throw new DataError(
    `${path}: expected a judge's prompt named ${name}, found ${[...prompts.keys()].join(", ")}.${didYouMean(name, prompts.keys())}`,
  );
}

/**
 * Arena-Hard's prompt: the template, patterns and settings of its YAML file, the system prompt of its `judge_settings.json` for the
 * benchmark that the YAML file names. An older YAML file has `system_prompt` itself.
 *
 * @throws {FormatError} naming the file and what it lacks
 */
export function readArenaPrompt(configPath: string, settingsPath: string | null): PairPrompt {
  const config = readYaml(configPath);
  const { bench_name: name, prompt_template: given, regex_patterns: patterns, regex_pattern: one } = config;
  // Older files have a list with one template in it.
  const template: unknown = Array.isArray(given) ? given[0] : given;
  const found = Array.isArray(patterns) ? patterns : [one];
  const wrong = (field: string, what: string): FormatError =>
    new FormatError(`${configPath}: expected "${field}" to be ${what}, as Arena-Hard's own file has it.`);
  if (typeof name !== "string") throw wrong("bench_name", "a name");
  if (typeof template !== "string") throw wrong("prompt_template", "a text");
  if (!found.every((pattern) => typeof pattern === "string"))
    throw wrong("regex_patterns", "a list of texts");
  const system = config["system_prompt"] ?? (settingsPath === null ? null : systemOf(settingsPath, name));
  if (typeof system !== "string") throw wrong("system_prompt", "a text, or a judge_settings.json with it");
  const { temperature = 0, max_tokens: maxTokens = 4096 } = config;
  if (typeof temperature !== "number" || temperature < 0)
    throw wrong("temperature", "a number of at least 0");
  if (typeof maxTokens !== "number" || maxTokens < 1) throw wrong("max_tokens", "a number of at least 1");
  return { name, where: configPath, system, template, patterns: found, temperature, maxTokens };
}

function readYaml(path: string): Record<string, unknown> {
  const text = readTextFile(path);
  let value: unknown;
  try {
    value = parse(text, { maxAliasCount: 10 });
  } catch (cause) {
    throw new FormatError(`${path}: expected YAML: ${messageOf(cause)}`, { cause });
  }
  if (isRecord(value)) return value;
  throw new FormatError(`${path}: expected settings of a judge, as Arena-Hard's YAML file has them.`);
}

function systemOf(path: string, name: string): string {
  const settings = existsSync(path) ? readJsonFile(path) : null;
  const entry = isRecord(settings) ? settings[name] : undefined;
  const system = isRecord(entry) ? entry["system_prompt"] : undefined;
  if (typeof system === "string") return system;
  throw new FormatError(
    `${path}: expected the judge's "system_prompt" under "${name}", as Arena-Hard's judge_settings.json has it.`,
  );
}
