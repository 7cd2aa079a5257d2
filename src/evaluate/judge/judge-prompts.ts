/** Prompts for judges: what they are, and filling them with questions and answers. */
import { FormatError } from "../../base/errors.ts";
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
