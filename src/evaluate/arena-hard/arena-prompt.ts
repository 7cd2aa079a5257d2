/** Arena-Hard's prompt for judges, from the files that it publishes. */
import { existsSync } from "node:fs";
import { parse } from "yaml";
import { FormatError, messageOf } from "../../base/errors.ts";
import { readJsonFile, readTextFile } from "../../base/files.ts";
import { isRecord } from "../../base/is-record.ts";
import type { PairPrompt } from "../judge/judge-prompts.ts";

/**
 * Arena-Hard's prompt: the template, patterns and settings of its YAML file, the system prompt of `judge_settings.json`, its JUDGE_SETTINGS
 * as JSON, for the benchmark that the YAML file names. An older YAML file has `system_prompt` itself.
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
    `${path}: expected the judge's "system_prompt" under "${name}". Write JUDGE_SETTINGS of Arena-Hard's utils/judge_utils.py there, as JSON.`,
  );
}
