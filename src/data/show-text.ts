/** Rows as the model sees them, for people: prompt, what is learned of each answer, and what is not. */
import { at } from "../base/at.ts";
import { printable } from "../base/terminal-text.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { type ShownPart, type ShownRow, textOf } from "./show-rows.ts";

/** What a run of tokens is. */
type Kind = "prompt" | "learned" | "end" | "not learned" | "truncated";

/** SGR codes of a terminal: grey, green, bold cyan, yellow, struck red; special tokens are in reverse. */
const colours: Readonly<Record<Kind, string>> = {
  prompt: "90",
  learned: "32",
  end: "1;36",
  "not learned": "33",
  truncated: "31;9",
};

interface Run {
  kind: Kind;
  from: number;
  to: number;
}

/**
 * The rows as lines. Without colours the words say what is learned.
 *
 * @param colour - whether ANSI colours may be used
 */
export function formatShownRows(rows: readonly ShownRow[], tokenizer: Tokenizer, colour: boolean): string {
  return rows.map((row) => rowLines(row, tokenizer, colour).join("\n")).join("\n\n");
}

function rowLines({ where, parts, notes }: ShownRow, tokenizer: Tokenizer, colour: boolean): string[] {
  const lines = [visible(where)];
  if (notes.length > 0) lines.push(`  ${"notes".padEnd(11)}  ${notes.join(", ")}`);
  for (const part of parts) {
    lines.push(`  ${part.name.padEnd(11)}  ${countsOf(part)}`);
    for (const run of runsOf(part)) lines.push(...runLines(run, part, { tokenizer, colour }));
  }
  return lines;
}

function countsOf({ name, ids, mask, cut }: ShownPart): string {
  const sum = (bits: readonly number[]): number => bits.reduce((total, bit) => total + bit, 0);
  const lost = sum(cut);
  const learned = name === "prompt" ? "" : `, ${sum(mask)} in the loss`;
  return `${ids.length - lost} tokens${learned}${lost === 0 ? "" : `, ${lost} more truncated`}`;
}

function runsOf(part: ShownPart): Run[] {
  const runs: Run[] = [];
  for (const i of part.ids.keys()) {
    const kind = kindOf(part, i);
    const last = runs.at(-1);
    if (last?.kind === kind) last.to = i + 1;
    else runs.push({ kind, from: i, to: i + 1 });
  }
  return runs;
}

function kindOf({ name, mask, ends, cut }: ShownPart, i: number): Kind {
  if (cut[i] === 1) return "truncated";
  if (name === "prompt") return "prompt";
  if (mask[i] === 0) return "not learned";
  return ends[i] === 1 ? "end" : "learned";
}

function runLines(
  { kind, from, to }: Run,
  part: ShownPart,
  { tokenizer, colour }: { tokenizer: Tokenizer; colour: boolean },
): string[] {
  const code = colours[kind];
  const paint = (text: string, isSpecial: boolean): string =>
    colour && text !== "" ? `\u001b[${code}${isSpecial ? ";7" : ""}m${text}\u001b[0m` : text;
  const lines = [""];
  for (const { text, isSpecial } of segments(part, { from, to }, tokenizer)) {
    for (const [i, line] of visible(text).split("\n").entries()) {
      if (i > 0) lines.push("");
      lines[lines.length - 1] += paint(line, isSpecial);
    }
  }
  // A line break at the end is shown by its sign alone.
  if (lines.length > 1 && lines.at(-1) === "") lines.pop();
  return lines.map((line, i) => `    ${(i === 0 ? kind : "").padEnd(11)}  ${line}`);
}

/** The run's text, its special tokens apart from the rest. */
function segments(
  { ids, special }: ShownPart,
  { from, to }: Pick<Run, "from" | "to">,
  tokenizer: Tokenizer,
): { text: string; isSpecial: boolean }[] {
  const found: { ids: number[]; isSpecial: boolean }[] = [];
  for (let i = from; i < to; i++) {
    const isSpecial = special[i] === 1;
    const last = found.at(-1);
    if (last !== undefined && !isSpecial && !last.isSpecial) last.ids.push(at(ids, i));
    else found.push({ ids: [at(ids, i)], isSpecial });
  }
  return found.map((segment) => ({ text: textOf(tokenizer, segment.ids), isSpecial: segment.isSpecial }));
}

/** `text` with its line breaks marked, and what could steer the terminal or turn the line around written out. */
function visible(text: string): string {
  return printable(text).replaceAll("\n", "⏎\n");
}
