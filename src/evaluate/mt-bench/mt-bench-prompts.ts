/** MT-Bench's prompts for judges, from the file that it publishes. */
import { DataError } from "../../base/errors.ts";
import { didYouMean } from "../../base/suggest.ts";
import { describeOrigin } from "../../data/example.ts";
import { readRows } from "../../data/sources.ts";
import type { JudgePrompt } from "../judge/judge-prompts.ts";

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
