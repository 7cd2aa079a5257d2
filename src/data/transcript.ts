/** Anthropic's HH rows: whole transcripts as two strings with `\n\nHuman:` and `\n\nAssistant:` turns. */
import { DataError } from "../base/errors.ts";
import type { Message } from "../text/messages.ts";

const turnStart = /\n\n(Human|Assistant):/g;

/** True for a string that begins with a Human turn and holds an Assistant turn. */
export function isTranscript(text: string): boolean {
  return /^\s*Human:/.test(text) && text.includes("\n\nAssistant:");
}

/** The turns of a transcript as messages, white space around them left out. */
function parseTranscript(text: string): Message[] {
  const source = `\n\n${text.trimStart()}`;
  const starts = [...source.matchAll(turnStart)];
  return starts.map((match, i) => ({
    role: match[1] === "Human" ? "user" : "assistant",
    content: source.slice(match.index + match[0].length, starts[i + 1]?.index).trim(),
  }));
}

/** Prompt and answers of a pair of transcripts. */
export interface TranscriptPair {
  prompt: Message[];
  chosen: Message[];
  rejected: Message[];
}

/**
 * The pair's prompt (all turns before the last) and its two last turns.
 *
 * @throws DataError when the transcripts differ in an earlier turn, or do not end with one Assistant turn each
 */
export function splitTranscripts(chosen: string, rejected: string, where: string): TranscriptPair {
  const a = parseTranscript(chosen);
  const b = parseTranscript(rejected);
  const common = commonTurns(a, b);
  const turns = Math.min(common, a.length - 1, b.length - 1);
  if (a.length !== b.length || turns !== a.length - 1) {
    throw new DataError(
      `${where}: expected two transcripts that differ in their last Assistant turn alone, but they part at turn ` +
        `${common + 1} of ${a.length} and ${b.length}. The answers have no common prompt: remove the row.`,
    );
  }
  if (a[turns]?.role !== "assistant" || b[turns]?.role !== "assistant" || a[turns - 1]?.role !== "user") {
    throw new DataError(
      `${where}: expected both transcripts to end with one Assistant turn after a Human turn. Remove the row.`,
    );
  }
  return { prompt: a.slice(0, turns), chosen: a.slice(turns), rejected: b.slice(turns) };
}

function commonTurns(a: readonly Message[], b: readonly Message[]): number {
  let n = 0;
  while (n < Math.min(a.length, b.length) && a[n]?.role === b[n]?.role && a[n]?.content === b[n]?.content)
    n++;
  return n;
}
