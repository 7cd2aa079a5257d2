/** The Modelfile beside a GGUF file, which tells Ollama how to run it. */
import { ConfigError } from "../base/errors.ts";

/** Where the Modelfile of a GGUF file is: beside it, model.Modelfile for model.gguf. */
export function modelfilePath(file: string): string {
  return `${file.replace(/\.gguf$/i, "")}.Modelfile`;
}

/** What Ollama is told. */
export interface ModelfileContent {
  /** Name of the GGUF file in the same directory. */
  file: string;
  /** Texts of the tokens that end an answer. */
  stops: readonly string[];
  /** Tokens of prompt and answer together. Ollama's own default cuts longer prompts. */
  contextLength: number;
  /** The system message that all of the training data had; null: none, or several. */
  system: string | null;
  /** Text or name of the licence; null: unknown. */
  license: string | null;
}

/**
 * The text of a Modelfile. It has no TEMPLATE: Ollama takes the chat template of the GGUF file unless it is given another.
 *
 * @throws {ConfigError} for a text that a Modelfile cannot hold
 */
export function modelfileText(content: ModelfileContent): string {
  const lines = [`FROM ./${content.file}`];
  for (const stop of content.stops) lines.push(`PARAMETER stop ${stopText(stop)}`);
  lines.push(`PARAMETER num_ctx ${content.contextLength}`);
  if (content.system !== null) lines.push(`SYSTEM ${quoted(content.system, "the system message")}`);
  if (content.license !== null) lines.push(`LICENSE ${quoted(content.license, "the licence")}`);
  return `${lines.join("\n")}\n`;
}

const quotes = '"""';

/** In quotes, between which Ollama takes every character as it stands: there is no escape, `\"` would be two characters. */
function stopText(stop: string): string {
  return stop.includes('"') ? quoted(stop, "the text of an end token") : `"${stop}"`;
}

function quoted(text: string, what: string): string {
  if (!text.includes(quotes)) return `${quotes}${text}${quotes}`;
  throw new ConfigError(`A Modelfile cannot hold ${what}, which has ${quotes} in it. Take the quotes out.`);
}
